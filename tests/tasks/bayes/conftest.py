import pytest
import torch

from lipnet.data.problems import load_problem
from lipnet.models.posterior import build_member
from lipnet.options.facts import inputs_and_outputs
from lipnet.tasks.bayes.constraints import constraints_of
from lipnet.tasks.bayes.density import Density, Functions, gaussian


@pytest.fixture
def make_density(make_config):
    """``make_density("quartic", "model.hidden=[4]", ...)``: the density of these overrides, and its constraints."""

    def make(name, *overrides):
        config = make_config("task=bayes", f"dataset={name}", *overrides)
        member = build_member(config, *inputs_and_outputs(config.dataset)).double().eval()
        functions, problem = Functions(member), load_problem(config.dataset, config.seed)
        constraints = constraints_of(config.dataset, problem.domain)
        noise = getattr(config.dataset, "noise", 1.0)
        return Density(functions, problem, gaussian(config.task.deviation, functions.size), constraints, noise)

    return make


@pytest.fixture
def vectors():
    """``vectors(density, count)``: draws of its prior."""
    return lambda density, count: torch.randn(count, density.functions.size, dtype=torch.float64)
