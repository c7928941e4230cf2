"""Every loss against its formula, and what each promises besides. A new loss joins by a row of LOSSES."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from lipnet.layers import OrthogonalLinear, UnitRowLinear
from lipnet.losses import build_loss, loss_slope
from lipnet.losses.cross_entropy import offset_cross_entropy
from lipnet.losses.demand import pair_constants
from lipnet.losses.schedule import epsilon_at
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


def rewarded(z, y, margin, option):
    radius = option.epsilon * min(z[y] - z[j] for j in range(3) if j != y) / margin  # of an epsilon that is not 0
    return offset_log_likelihood(z, y, margin, option) - option.weight * max(0.0, radius)


def as_far_as_reached(z, y, margin, option):
    reached = [min(1.0, max(0.01, (z[y] - value) / margin)) * (j != y) for j, value in enumerate(z)]
    raised = [value + share * margin for value, share in zip(z, reached, strict=True)]
    return offset_log_likelihood(raised, y, 0.0, option)


def annealed(z, y, margin, option):
    likelihood = as_far_as_reached if option.emma else offset_log_likelihood
    entropy = likelihood(z, y, margin, option)
    return option.temperature * (1 - math.exp(-entropy)) ** option.beta * entropy


def undecided(z, y, margin, option):
    """With ⊥ and without, as two lists of probabilities and their divergence."""
    predicted = z.index(max(z))
    bottom = max(value + margin for j, value in enumerate(z) if j != predicted)
    powers = [math.exp(value / option.temperature) for value in [*z, bottom]]
    without, whole = [power / sum(powers[:-1]) for power in powers[:-1]], [power / sum(powers) for power in powers]
    divergence = sum(p * math.log(p / q) for p, q in zip(without, whole, strict=False))
    return offset_log_likelihood(z, y, 0.0, option) + option.weight * divergence


def transport_and_hinge(z, y, margin, option):
    """Of LOGITS, with one example of each class: two others of three for each."""
    hinge = sum(
        2 * max(0.0, margin / 2 - value) if j == y else max(0.0, margin / 2 + value) for j, value in enumerate(z)
    )
    transport = sum(3 * value if j == y else -3 * value / 2 for j, value in enumerate(z))
    return (option.alpha * hinge - (1 - option.alpha) * transport) / 3


# Every loss of labelled images: overrides beside its defaults, and one example's loss as a formula of its logits z, its
# label y, the margin that is asked for and the option.
LOSSES = {
    "margin": ([()], hinge),
    "cross_entropy": ([(), ("loss.temperature=0.25",), ("loss.epsilon=0",)], offset_log_likelihood),
    "certificate": ([(), ("loss.epsilon=0.3", "loss.weight=2", "loss.temperature=1")], rewarded),
    "emma": ([(), ("loss.temperature=1",)], as_far_as_reached),
    "logit_annealing": ([(), ("loss.beta=0",), ("loss.beta=1.5", "loss.epsilon=0"), ("loss.emma=true",)], annealed),
    "trades": ([(), ("loss.weight=0.3",), ("loss.temperature=1",)], undecided),
    "hkr": ([(), ("loss.alpha=0",), ("loss.alpha=1", "loss.epsilon=10")], transport_and_hinge),
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


@over_losses
def test_gradients_are_those_of_differences(name, overrides, formula, make):
    """Where the loss is smooth: no kink is near, and of EMMA what is reached is constant, as no gradient runs there."""
    loss = make(name, overrides, 0.5, 1.0)[1]
    logits = torch.tensor([[2.0, 0.3, -1.1], [5.0, 1.0, 3.7], [0.4, 1.3, -2.0], [0.1, -0.2, 9.0]]).double()
    labels = torch.tensor([0, 1, 2, 2])
    if name == "emma":  # won by more than the margin, or lost already
        logits[0, 0], logits[2, 0] = 12.0, 1.0
    assert torch.autograd.gradcheck(lambda given: loss(given, labels), logits.requires_grad_())


# Constants of the differences of three logits, no two alike.
PAIRS = torch.tensor([[0.0, 1.0, 0.4], [1.0, 0.0, 1.7], [0.4, 1.7, 0.0]])
PAIRWISE = [row for row in ROWS if "hkr" not in row.values]


@pytest.mark.parametrize(("name", "overrides", "formula"), PAIRWISE)
def test_a_loss_whose_pairs_all_have_one_constant_is_the_global_one(name, overrides, formula, make):
    option, loss = make(name, overrides, 0.5, 2.0)
    alike = math.sqrt(2) * 2.0 * (1 - torch.eye(3))
    found = build_loss(option, 2.0, pairs=alike)(LOGITS, LABELS)
    torch.testing.assert_close(found, loss(LOGITS, LABELS))


def log_likelihood(z, y, temperature):
    return math.log(sum(math.exp(value / temperature) for value in z)) - z[y] / temperature


# Each loss of one example by hand, with the margins m and the constants c of its pairs.
OF_PAIRS = {
    "margin": lambda z, y, m, c, option: sum(max(0.0, m[j] - z[y] + z[j]) for j in range(3) if j != y) / 3,
    "cross_entropy": lambda z, y, m, c, option: log_likelihood(
        [z[j] + m[j] for j in range(3)], y, option.temperature
    ),
    "certificate": lambda z, y, m, c, option: (
        offset_log_likelihood(z, y, 0.5 * math.sqrt(2), option)
        - option.weight * max(0.0, min((z[y] - z[j]) / c[j] for j in range(3) if j != y))
    ),
    "emma": lambda z, y, m, c, option: log_likelihood(
        [z[j] + m[j] * min(1.0, max(0.01, (z[y] - z[j]) / m[j])) if j != y else z[j] for j in range(3)],
        y, option.temperature,
    ),
    "logit_annealing": lambda z, y, m, c, option: (
        option.temperature
        * (1 - math.exp(-log_likelihood([z[j] + m[j] for j in range(3)], y, option.temperature))) ** option.beta
        * log_likelihood([z[j] + m[j] for j in range(3)], y, option.temperature)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_PAIRS)
def test_margins_of_pairs(name, make):
    option = make(name, (), 0.5, 1.0)[0]
    found = build_loss(option, 1.0, pairs=PAIRS)(LOGITS, LABELS).tolist()
    constants = [PAIRS[y].tolist() for y in LABELS.tolist()]
    expected = [
        OF_PAIRS[name](z, y, [0.5 * constant for constant in c], c, option)
        for z, y, c in zip(LOGITS.tolist(), LABELS.tolist(), constants, strict=True)
    ]
    assert found == pytest.approx(expected, rel=1e-5)


def test_what_trades_compares_is_what_the_predicted_class_has_to_fear(make):
    """The first example is predicted 0, and its label is 1: the margins are those of class 0."""
    option = make("trades", ("loss.temperature=1", "loss.epsilon=0.5"), 0.5, 1.0)[0]
    (found,) = build_loss(option, 1.0, pairs=PAIRS)(LOGITS[:1], torch.tensor([1])).tolist()
    bottom = max(1.5 + 0.5 * 1.0, 0.0 + 0.5 * 0.4)
    whole = math.log(sum(math.exp(value) for value in (2.0, 1.5, 0.0)))
    assert found == pytest.approx(whole - 1.5 + math.log1p(math.exp(bottom - whole)))


@pytest.mark.parametrize("name", [*OF_PAIRS, "trades"])
def test_margins_of_pairs_shrink_as_rows_come_together(name, make):
    """The gradient reaches the last layer by the constants too; without a margin there is none."""
    option = make(name, (), 0.5, 1.0)[0]
    for epsilon in (0.5, 0.0):
        pairs = PAIRS.clone().requires_grad_()
        loss = build_loss(option, 1.0, epsilon, pairs)
        loss(LOGITS, LABELS).sum().backward()
        assert bool(pairs.grad.isfinite().all())
        pairs.grad.fill_diagonal_(0)  # which no distance of a row to itself passes on
        if name != "certificate":
            assert bool((pairs.grad >= 0).all())
            assert bool((pairs.grad > 0).any()) == (epsilon > 0)


def test_the_constants_of_pairs_are_row_distances_and_learn():
    torch.manual_seed(0)
    network = nn.Sequential(OrthogonalLinear(8, 6), UnitRowLinear(6, 4))
    found = pair_constants(network, 3.0)
    rows = network[-1].weight.detach()
    expected = [[3 * float((one - other).norm()) for other in rows] for one in rows]
    torch.testing.assert_close(found, torch.tensor(expected))
    found.sum().backward()
    gradient = network[-1].raw_weight.grad
    assert bool(gradient.isfinite().all())  # though each row has the distance 0 to itself
    assert bool((gradient != 0).any())


@pytest.mark.parametrize("network", [nn.Sequential(nn.Linear(3, 2), nn.ReLU()), nn.Sequential(), nn.ReLU()])
def test_a_network_without_rows_has_no_constants_of_pairs(network):
    with pytest.raises(TypeError, match="need a fully connected last layer, not"):
        pair_constants(network, 1.0)


def test_emma_leaves_what_is_reached_out_of_the_gradient(make):
    """It is that of cross-entropy with the raise as a constant."""
    option, loss = make("emma", (), 0.5, 1.0)
    logits = torch.tensor([[2.0, 1.9, 0.0], [0.0, 1.0, 3.0]], requires_grad=True)
    labels = torch.tensor([0, 1])
    (found,) = torch.autograd.grad(loss(logits, labels).sum(), logits)
    margin = math.sqrt(2) * 0.5
    raised = torch.tensor([[0.0, 0.1, margin], [margin, 0.0, 0.01 * margin]])
    entropy = functional.cross_entropy((logits + raised) / option.temperature, labels, reduction="sum")
    (expected,) = torch.autograd.grad(entropy, logits)
    torch.testing.assert_close(found, expected)


def test_a_learned_example_fades_from_logit_annealing(make):
    """And some of it is left where its probability is 1 but for the rounding of float32."""
    loss = make("logit_annealing", (), 0.5, 1.0)[1]
    logits = torch.tensor([[1.0, 0, 0], [4.0, 0, 0], [16.0, 0, 0]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(logits, torch.tensor([0, 0, 0])).sum(), logits)
    steep = gradient.norm(dim=1).tolist()
    assert steep[0] > 10 * steep[1] > 100 * steep[2] > 0


@pytest.mark.parametrize("classes", [2, 3])
def test_hkr_of_enough_margin_is_transport_alone(make, classes):
    """An example without hinge has the radius: of two classes by their difference, of more by each logit."""
    epsilon, lipschitz = 0.5, 2.0
    loss = make("hkr", ("loss.alpha=1", f"loss.epsilon={epsilon}"), epsilon, lipschitz)[1]
    half = math.sqrt(2) * epsilon * lipschitz / 2
    labels = torch.arange(classes)
    for factor, right in ((1.001, 0.0), (0.999, None)):
        logits = factor * half * (2 * functional.one_hot(labels, classes) - 1).double()
        found = loss(logits, labels)
        assert bool((found == 0).all()) if right == 0.0 else bool((found > 0).all())


def test_binary_hkr_by_hand(make):
    """One output f as (z_1 - z_0) / sqrt(2); the means of both classes apart."""
    alpha, epsilon, lipschitz = 0.7, 0.4, 1.5
    overrides = (f"loss.alpha={alpha}", f"loss.epsilon={epsilon}")
    loss = make("hkr", overrides, epsilon, lipschitz)[1]
    logits, labels = torch.tensor([[1.0, 0.2], [0.3, 0.1], [-1.0, 2.0], [0.0, 0.9], [0.5, 0.4]]), [0, 0, 1, 1, 1]
    f = [(second - first) / math.sqrt(2) for first, second in logits.tolist()]
    hinge = [max(0.0, epsilon * lipschitz - (1 if y else -1) * value) for y, value in zip(labels, f, strict=True)]
    transport = sum(f[2:]) / 3 - sum(f[:2]) / 2
    found = float(loss(logits, torch.tensor(labels)).mean())
    assert found == pytest.approx(alpha * sum(hinge) / 5 - (1 - alpha) * transport)


@pytest.mark.parametrize(("classes", "labels"), [(2, [0, 0, 1]), (3, [0, 0, 1]), (3, [2, 2, 2]), (2, [1, 1, 1])])
def test_transport_of_hkr_sees_no_shift(make, classes, labels):
    """Of a batch that lacks a class too, where a mean over nothing would let it drive all logits up."""
    loss = make("hkr", ("loss.alpha=0",), 0.5, 1.0)[1]
    torch.manual_seed(0)
    logits, labels = torch.randn(3, classes).double(), torch.tensor(labels)
    shifts = torch.tensor([0.0, 5.0, -7.0][:classes])
    assert float(loss(logits + shifts, labels).mean()) == pytest.approx(float(loss(logits, labels).mean()))


# How a radius of 2 moves: overrides, share of the steps that are done -> radius.
SCHEDULES = {
    "": {0.0: 2.0, 0.3: 2.0, 1.0: 2.0},
    "loss.schedule=linear": {0.0: 0.0, 0.25: 0.5, 1.0: 2.0},
    "loss.schedule=cosine": {0.0: 0.0, 0.25: 1 - math.sqrt(0.5), 0.5: 1.0, 1.0: 2.0},
    "loss.schedule=linear loss.schedule_until=0.5": {0.25: 1.0, 0.5: 2.0, 0.75: 2.0},
    "loss.schedule=linear loss.schedule_from=2 loss.schedule_to=0.5": {0.0: 4.0, 0.5: 2.5, 1.0: 1.0},
    "loss=emma": {0.0: 0.2, 0.25: 2 * (0.1 + 2.9 * 0.5), 0.5: 6.0, 1.0: 6.0},
}


@pytest.mark.parametrize("row", SCHEDULES)
def test_the_radius_moves_as_its_schedule_says(row, make_config):
    option = make_config("loss.epsilon=2", *row.split()).loss
    assert {share: epsilon_at(option, share) for share in SCHEDULES[row]} == pytest.approx(SCHEDULES[row])


def test_a_loss_asks_for_the_radius_that_it_is_given(make):
    loss = make("cross_entropy", ("loss.epsilon=0.25",), 0.25, 1.0)[1]
    other = make("cross_entropy", ("loss.epsilon=1",), 1.0, 1.0)[0]
    torch.testing.assert_close(build_loss(other, 1.0, epsilon=0.25)(LOGITS, LABELS), loss(LOGITS, LABELS))


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
