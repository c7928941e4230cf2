import math

import pytest
import torch

from lipnet.losses import build_loss
from lipnet.losses.cross_entropy import offset_cross_entropy

LOGITS = torch.tensor([[2.0, 1.5, 0.0], [0.0, 1.0, 3.0], [1.0, 1.0, 1.0]])
LABELS = torch.tensor([0, 1, 2])
MARGINS = [(0.5, 1.0), (1.58, 1.0), (0.5, 4.0), (36 / 255, 2.0)]  # epsilon, L


@pytest.fixture
def margin_loss(make_config):
    return lambda epsilon, lipschitz: build_loss(make_config("loss=margin", f"loss.epsilon={epsilon}").loss, lipschitz)


@pytest.fixture
def offset_loss(make_config):
    def build(epsilon, lipschitz, temperature):
        overrides = ("loss=cross_entropy", f"loss.epsilon={epsilon}", f"loss.temperature={temperature}")
        return build_loss(make_config(*overrides).loss, lipschitz)

    return build


def test_margin_loss_by_hand(margin_loss):
    """The margin is 1; each example is the mean over 3 classes of max(0, 1 - z_y + z_j), j != y."""
    loss = margin_loss(1 / math.sqrt(2), 1.0)
    expected = torch.tensor([(0.5 + 0) / 3, (0 + 3) / 3, (1 + 1) / 3])
    torch.testing.assert_close(loss(LOGITS, LABELS), expected)


@pytest.mark.parametrize(("epsilon", "lipschitz"), MARGINS)
def test_margin_loss_is_any_hinge(margin_loss, epsilon, lipschitz):
    margin = math.sqrt(2) * epsilon * lipschitz
    expected = [
        sum(max(0.0, margin - float(z[y]) + float(z[j])) for j in range(3) if j != y) / 3
        for z, y in zip(LOGITS, LABELS.tolist(), strict=True)
    ]
    assert margin_loss(epsilon, lipschitz)(LOGITS, LABELS).tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("epsilon", "lipschitz"), MARGINS)
def test_margin_loss_vanishes_where_the_radius_is_certified(margin_loss, epsilon, lipschitz):
    """A certified radius of epsilon is a logit difference of sqrt(2) * epsilon * L."""
    gaps = math.sqrt(2) * epsilon * lipschitz * torch.tensor([1.001, 0.999], dtype=torch.float64)
    logits = torch.stack((gaps, torch.zeros(2, dtype=torch.float64)), dim=1)
    certified, short = margin_loss(epsilon, lipschitz)(logits, torch.tensor([0, 0]))
    assert certified == 0
    assert short > 0


@pytest.mark.parametrize("temperature", [0.25, 1.0])
@pytest.mark.parametrize(("epsilon", "lipschitz"), [(0.0, 1.0), *MARGINS])
def test_offset_cross_entropy_by_formula(offset_loss, epsilon, lipschitz, temperature):
    offset = math.sqrt(2) * epsilon * lipschitz
    expected = []
    for z, y in zip(LOGITS.tolist(), LABELS.tolist(), strict=True):
        scaled = [(value - offset * (j == y)) / temperature for j, value in enumerate(z)]
        expected.append(math.log(sum(map(math.exp, scaled))) - scaled[y])
    loss = offset_loss(epsilon, lipschitz, temperature)
    assert loss(LOGITS, LABELS).tolist() == pytest.approx(expected, rel=1e-5)


def test_offset_cross_entropy_becomes_a_hinge_at_low_temperature():
    """temperature * loss tends to max_j (z_j + offset [j != y]) - z_y."""
    loss = 1e-3 * offset_cross_entropy(LOGITS.double(), LABELS, 1.0, 1e-3)
    torch.testing.assert_close(loss, torch.tensor([0.5, 3.0, 1.0], dtype=torch.float64), atol=2e-3, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_losses_keep_shape_and_type(margin_loss, offset_loss, dtype):
    for loss in (margin_loss(0.5, 1.0), offset_loss(0.5, 1.0, 0.25)):
        found = loss(LOGITS.to(dtype), LABELS)
        assert found.shape == (3,)
        assert found.dtype == dtype
