import importlib.util

import pytest
import torch

from lipnet.tasks.bayes.diagnostics import PACKAGE, diagnose, notices

# What is poor -> what is said of it.
POOR = {
    "r_hat": (
        {"r_hat": 1.2},
        "R-hat is 1.200: the chains do not agree yet; more inference.burn_in and inference.thin.",
    ),
    "draws": (
        {"effective_samples": 12.4},
        "12 effective samples: the draws depend on each other; more inference.thin.",
    ),
    "divergences": (
        {"divergences": 0.05},
        "5.0% of the trajectories diverged; a higher inference.acceptance, or a smaller step.",
    ),
    "large steps": ({"acceptance": 0.1}, "10.0% of the proposals are accepted: inference.step is too large."),
    "small steps": ({"acceptance": 0.99}, "99.0% of the proposals are accepted: inference.step is too small."),
}


@pytest.mark.parametrize("name", POOR)
def test_what_is_poor_is_said(name):
    found, told = POOR[name]
    assert list(notices(found)) == [told]


def test_what_is_well_is_not_mentioned():
    assert list(notices({"r_hat": 1.01, "effective_samples": 400.0, "divergences": 0.0, "acceptance": 0.8})) == []
    assert list(notices({})) == []


@pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason="needs ArviZ")
def test_chains_that_agree_are_told_from_others():
    together = torch.randn(4 * 200, 3, dtype=torch.float64)
    found = diagnose(together, chains=4)
    assert found["r_hat"] < 1.03
    assert found["effective_samples"] > 400
    apart = together + 3 * torch.arange(4).repeat_interleave(200)[:, None]
    assert diagnose(apart, chains=4)["r_hat"] > 1.5


@pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason="needs ArviZ")
def test_the_fewest_draws_that_are_judged_tell_chains_that_do_not_move():
    moving = torch.randn(20 * 10, 3, dtype=torch.float64)
    stuck = torch.randn(20, 3, dtype=torch.float64).repeat_interleave(10, 0) + 0.01 * moving
    assert diagnose(moving, chains=20)["effective_samples"] > 100
    found = diagnose(stuck, chains=20)
    assert found["effective_samples"] < 60
    assert found["r_hat"] > 2


@pytest.mark.parametrize("chains", [1, 10, 40])
def test_one_chain_or_few_draws_say_nothing(chains):
    assert diagnose(torch.randn(40, 3), chains=chains) == {}
