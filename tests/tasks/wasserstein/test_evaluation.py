import pytest
import torch
from scipy import stats
from torch import nn

from lipnet.data.pairs import Pair
from lipnet.data.pairs.pair import independent
from lipnet.errors import CertificateViolation, UserError
from lipnet.layers import Scale
from lipnet.tasks.wasserstein import evaluation as estimation
from lipnet.tasks.wasserstein.evaluation import critic_values, estimate_distance, measure_gap
from lipnet.tasks.wasserstein.interval import bernstein_margin


@pytest.fixture
def config(make_config):
    return make_config(
        "task=wasserstein", "dataset=translation", "dataset.dimension=2", "dataset.evaluation_samples=2000",
        "estimate.transport_samples=200", "seed=1",
    )  # fmt: skip


def gaussian(shift):
    def draw(count, random):
        return torch.randn(count, 2, generator=random, dtype=torch.float64) + torch.tensor([shift, 0.0])

    return draw


def pair(**known):
    """A Gaussian moved by 2 along the first axis."""
    return Pair(draw=independent(gaussian(2.0), gaussian(0.0)), true_value=2.0, **known)


def first_coordinate(factor=1.0):
    """The critic ``factor * x_0``: the optimal one for factor 1, up to a shift."""
    linear = nn.Linear(2, 1)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[factor, 0.0]]))
        linear.bias.fill_(3.0)
    return nn.Sequential(linear)


@pytest.mark.parametrize("factor", [1.0, 0.25, 8.0])
def test_every_figure_is_over_the_lipschitz_bound(config, factor):
    found = estimate_distance(first_coordinate(factor), pair(), config)
    first, second = pair().samples("evaluation", 2000, 1)
    gap = float(first[:, 0].mean() - second[:, 0].mean())
    welch = stats.ttest_ind(first[:, 0], second[:, 0], equal_var=False).confidence_interval(0.95)
    assert found.lipschitz == pytest.approx(factor, rel=1e-9)
    assert found.gap.estimate == pytest.approx(gap, rel=1e-6)
    assert (found.gap.low, found.gap.high) == pytest.approx(welch, rel=1e-6)
    few = float(first[:200, 0].mean() - second[:200, 0].mean())
    assert found.sample_gap == pytest.approx(few, rel=1e-6)
    assert found.sample_gap <= found.sample_transport
    assert found.lower == pytest.approx(factor, rel=1e-6)


def test_the_certified_bound_is_the_clipped_gap_less_both_margins(config):
    found = estimate_distance(first_coordinate(), pair(), config)
    reference = torch.cat(pair().samples("range", 10_000, 1))[:, 0]
    low, high = float(reference.min()), float(reference.max())
    values = [side[:, 0].clamp(low, high) for side in pair().samples("evaluation", 2000, 1)]
    margins = [bernstein_margin(side, high - low, 0.025) for side in values]
    assert found.certified == pytest.approx(float(values[0].mean() - values[1].mean()) - sum(margins), abs=1e-6)
    assert found.certified < found.gap.low < 2.0


def test_the_certified_bound_holds_as_often_as_it_says(config, make_config):
    """At confidence 0.5 of ever new samples; the optimal critic, so that nothing but the samples' noise is between."""
    missed = 0
    for seed in range(40):
        changed = make_config(
            "task=wasserstein", "dataset=translation", "dataset.dimension=2", "dataset.evaluation_samples=100",
            "estimate.transport_samples=1", "estimate.confidence=0.5",
        )  # fmt: skip
        object.__setattr__(changed, "seed", seed)
        missed += estimate_distance(first_coordinate(), pair(), changed).certified > 2.0
    assert missed <= 20


def test_a_critic_that_proves_nothing_is_certified_at_zero(config):
    assert estimate_distance(first_coordinate(-1.0), pair(), config).certified == 0.0


def test_gradients_against_the_optimal_potential(config):
    critic = nn.Sequential(nn.Linear(2, 1))
    with torch.no_grad():
        critic[0].weight.copy_(torch.tensor([[0.6, 0.8]]))
    found = estimate_distance(critic, pair(potential=lambda points: points[:, 0]), config)
    for side in ("first", "second"):
        assert found.gradients[side]["cosine"] == pytest.approx(0.6, rel=1e-6)
        assert found.gradients[side]["squared_error"] == pytest.approx(0.4**2 + 0.8**2, rel=1e-6)
        assert found.gradients[side]["share_of_norm_at_least_0.99"] == 1.0


def test_where_the_optimal_potential_has_no_gradient_there_is_no_cosine(config):
    points = Pair(
        draw=independent(gaussian(1.0), lambda count, random: torch.zeros(count, 2, dtype=torch.float64)),
        potential=lambda points: points.norm(dim=1),
    )
    found = estimate_distance(first_coordinate(), points, config)
    assert "cosine" in found.gradients["first"]
    assert "cosine" not in found.gradients["second"]


def test_a_wrong_bound_is_caught_by_the_exact_transport(config, monkeypatch):
    """A bound half as large as the truth doubles the gap, which then exceeds what transport of the samples costs."""
    monkeypatch.setattr(estimation, "lipschitz_bound", lambda model, shape: 0.5)
    with pytest.raises(CertificateViolation, match="exceeds the exact transport cost of the same 200 samples"):
        estimate_distance(first_coordinate(), pair(), config)


def test_a_critic_with_two_outputs_is_refused(config):
    with pytest.raises(UserError, match=r"one output for each sample, and this one maps \(2000, 2\) to \(2000, 3\)"):
        estimate_distance(nn.Sequential(nn.Linear(2, 3)), pair(), config)


def test_a_critic_without_parameters_has_values():
    values = critic_values(nn.Sequential(Scale(2.0)), torch.tensor([[1.0], [3.0]]))
    assert values.tolist() == [2.0, 6.0]


def test_paired_samples_have_the_interval_of_their_differences():
    first = torch.tensor([1.0, 2.0, 3.0, 6.0])
    gap = measure_gap(first, first - torch.tensor([1.0, 1.0, 1.0, 1.0]), 2.0, paired=True, confidence=0.95)
    assert gap == (0.5, 0.5, 0.5)
    unpaired = measure_gap(first, first - 1, 2.0, paired=False, confidence=0.95)
    assert unpaired.high - unpaired.low > 2


def test_units_scale_with_the_samples(config):
    """Twice the distances: twice the estimate, the interval and the exact cost."""
    doubled = Pair(draw=lambda *arguments: tuple(2 * side for side in pair().draw(*arguments)))
    small, large = (estimate_distance(first_coordinate(), distributions, config) for distributions in (pair(), doubled))
    for name in ("sample_gap", "sample_transport", "certified"):
        assert getattr(large, name) == pytest.approx(2 * getattr(small, name), rel=1e-6)
    assert large.gap == pytest.approx([2 * figure for figure in small.gap], rel=1e-6)
