"""Every loss against its formula, and what each promises besides. A new loss joins by a row of LOSSES."""

import math

import pytest
import torch

from lipnet.losses import build_loss, loss_slope
from lipnet.losses.cross_entropy import offset_cross_entropy
from lipnet.options.registry import GROUPS, names_for
from lipnet.tasks.online.predictor import regression_loss

LOGITS = torch.tensor([[2.0, 1.5, 0.0], [0.0, 1.0, 3.0], [1.0, 1.0, 1.0]])
LABELS = torch.tensor([0, 1, 2])
MARGINS = [(0.5, 1.0), (1.58, 1.0), (0.5, 4.0), (36 / 255, 2.0)]  # epsilon, L


def hinge(z, y, margin, option):
    return sum(max(0.0, margin - z[y] + z[j]) for j in range(3) if j != y) / 3


def offset_log_likelihood(z, y, margin, option):
    scaled = [(value - margin * (j == y)) / option.temperature for j, value in enumerate(z)]
    return math.log(sum(map(math.exp, scaled))) - scaled[y]


# Every loss of labelled images: overrides beside its defaults, and one example's loss as a formula of its logits z, its
# label y, the margin that is asked for and the option.
LOSSES = {
    "margin": ([()], hinge),
    "cross_entropy": ([(), ("loss.temperature=0.25",), ("loss.epsilon=0",)], offset_log_likelihood),
}
ROWS = [
    pytest.param(name, overrides, formula, id="-".join((name, *overrides)))
    for name, (variants, formula) in LOSSES.items()
    for overrides in variants
]
over_losses = pytest.mark.parametrize(("name", "overrides", "formula"), ROWS)


@pytest.fixture
def make(make_config):
    """``make(name, overrides, epsilon, lipschitz) -> (option, loss)``."""

    def build(name, overrides, epsilon, lipschitz):
        option = make_config(f"loss={name}", *(overrides or [f"loss.epsilon={epsilon}"])).loss
        return option, build_loss(option, lipschitz)

    return build


def test_every_loss_is_tested():
    assert set(names_for("loss", "images")) == set(LOSSES)


@over_losses
@pytest.mark.parametrize(("epsilon", "lipschitz"), MARGINS)
def test_a_loss_is_its_formula(name, overrides, formula, epsilon, lipschitz, make):
    option, loss = make(name, overrides, epsilon, lipschitz)
    margin = math.sqrt(2) * option.epsilon * lipschitz
    expected = [formula(z, y, margin, option) for z, y in zip(LOGITS.tolist(), LABELS.tolist(), strict=True)]
    assert loss(LOGITS, LABELS).tolist() == pytest.approx(expected, rel=1e-5)


@over_losses
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_losses_keep_shape_and_type_and_have_gradients(name, overrides, formula, dtype, make):
    logits = LOGITS.to(dtype).requires_grad_()
    found = make(name, overrides, 0.5, 1.0)[1](logits, LABELS)
    assert (found.shape, found.dtype) == ((3,), dtype)
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    assert bool(gradient.isfinite().all())
    true = gradient.gather(1, LABELS[:, None])
    assert bool((true < 0).all())  # it falls as the true logit rises


def test_margin_loss_by_hand(make):
    """The margin is 1; each example is the mean over 3 classes of max(0, 1 - z_y + z_j), j != y."""
    loss = make("margin", (), 1 / math.sqrt(2), 1.0)[1]
    expected = torch.tensor([(0.5 + 0) / 3, (0 + 3) / 3, (1 + 1) / 3])
    torch.testing.assert_close(loss(LOGITS, LABELS), expected)


@pytest.mark.parametrize(("epsilon", "lipschitz"), MARGINS)
def test_margin_loss_vanishes_where_the_radius_is_certified(make, epsilon, lipschitz):
    """A certified radius of epsilon is a logit difference of sqrt(2) * epsilon * L."""
    gaps = math.sqrt(2) * epsilon * lipschitz * torch.tensor([1.001, 0.999], dtype=torch.float64)
    logits = torch.stack((gaps, torch.zeros(2, dtype=torch.float64)), dim=1)
    certified, short = make("margin", (), epsilon, lipschitz)[1](logits, torch.tensor([0, 0]))
    assert certified == 0
    assert short > 0


def test_offset_cross_entropy_becomes_a_hinge_at_low_temperature():
    """temperature * loss tends to max_j (z_j + offset [j != y]) - z_y."""
    loss = 1e-3 * offset_cross_entropy(LOGITS.double(), LABELS, 1.0, 1e-3)
    torch.testing.assert_close(loss, torch.tensor([0.5, 3.0, 1.0], dtype=torch.float64), atol=2e-3, rtol=0)


@over_losses
def test_no_gradient_is_steeper_than_the_slope(name, overrides, formula, make_config):
    """At random logits, and where the loss is steepest: the true class far behind all others."""
    option = make_config(f"loss={name}", *overrides).loss
    if not GROUPS["loss"][name].slope:
        with pytest.raises(TypeError, match="registered without slope="):
            loss_slope(option, 3)
        return
    torch.manual_seed(0)
    logits = torch.cat([3 * torch.randn(200, 3), torch.tensor([[-50.0, 50.0, 0.0], [-50.0, 0.0, 0.0]])]).double()
    logits.requires_grad_()
    labels = torch.cat([torch.arange(200) % 3, torch.tensor([0, 0])])
    (gradients,) = torch.autograd.grad(build_loss(option, lipschitz=2.0)(logits, labels).sum(), logits)
    steepest, bound = float(gradients.norm(dim=1).max()), loss_slope(option, 3)
    assert 0.99 * bound <= steepest <= bound * (1 + 1e-12)


# Every loss of a prediction of numbers: overrides, and one coordinate's loss as a formula of its error, outcome minus
# prediction, and the option.
REGRESSION = {
    "squared": ([()], lambda error, option: error**2),
    "absolute": ([()], lambda error, option: abs(error)),
    "pinball": (
        [(), ("loss.quantile=0.2",)],
        lambda error, option: error * option.quantile if error > 0 else -error * (1 - option.quantile),
    ),
}
REGRESSION_ROWS = [(name, overrides) for name, (variants, _) in REGRESSION.items() for overrides in variants]


def test_every_loss_of_predictions_is_tested():
    assert set(names_for("loss", "stream")) == set(REGRESSION)


@pytest.mark.parametrize(("name", "overrides"), REGRESSION_ROWS)
def test_a_loss_of_predictions_is_its_formula(name, overrides, make_config):
    """The mean over coordinates; several predictions may be charged by one outcome."""
    config = make_config("task=online", "dataset=setar", f"loss={name}", *overrides)
    predictions, outcome = torch.tensor([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]]), torch.tensor([0.5, 1.0])
    expected = [
        sum(REGRESSION[name][1](x - y, config.loss) for y, x in zip(row, outcome.tolist(), strict=True)) / 2
        for row in predictions.tolist()
    ]
    assert regression_loss(config)(predictions, outcome).tolist() == pytest.approx(expected)
