import math
from fractions import Fraction

import pytest
import torch
from torch import nn

from lipnet.certify import certified_radii, lipschitz_bound, margins

NAN, INF = math.nan, math.inf


def radius(logits, label, lipschitz=1.0, dtype=torch.float64):
    return certified_radii(torch.tensor([logits], dtype=dtype), torch.tensor([label]), lipschitz)


# logits, label, Lipschitz bound, margin
CORRECT = [
    ([3.0, 1.0, 0.0], 0, 1.0, 2),
    ([0.0, 0.0, 5.0], 2, 0.5, 5),
    ([-1.0, -3.0], 0, 1.0, 2),
    ([0.0, 0.25], 1, 1e-3, 0.25),
    ([100.0, 99.0, 98.0], 0, 7.0, 1),
    ([0.75, 0.5, 0.25, 0.0], 0, 1 + 2**-23, 0.25),
]
WITHOUT_RADIUS = {
    "tie": ([1.0, 1.0, 0.0], 0),
    "tie of all": ([0.0, 0.0, 0.0], 2),
    "wrong": ([1.0, 2.0, 0.0], 0),
    "NaN at the label": ([NAN, 1.0, 0.0], 0),
    "NaN elsewhere": ([5.0, 1.0, NAN], 0),
    "all NaN": ([NAN, NAN, NAN], 1),
    "infinity at the label": ([INF, 1.0, 0.0], 0),
    "infinity elsewhere": ([5.0, 1.0, INF], 0),
    "minus infinity elsewhere": ([5.0, -INF, -INF], 0),
    "margin below rounding": ([1e9, 1e9 - 1e-6, 0.0], 0),
}


@pytest.mark.parametrize(("logits", "label", "lipschitz", "margin"), CORRECT)
def test_radius_is_the_margin_over_root_two_lipschitz(logits, label, lipschitz, margin):
    found = float(radius(logits, label, lipschitz))
    assert found == pytest.approx(margin / (math.sqrt(2) * lipschitz), rel=1e-7)
    # never above it, in exact arithmetic
    assert 2 * (Fraction(found) * Fraction(lipschitz)) ** 2 <= Fraction(margin) ** 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("logits", "label"), list(WITHOUT_RADIUS.values()), ids=list(WITHOUT_RADIUS))
def test_examples_without_a_radius(logits, label, dtype):
    assert radius(logits, label, dtype=dtype).tolist() == [0.0]


def test_one_bad_example_leaves_the_others_alone():
    logits = torch.tensor([[3.0, 1.0], [NAN, 1.0], [0.0, 2.0], [1.0, 4.0]], dtype=torch.float64)
    radii = certified_radii(logits, torch.tensor([0, 0, 0, 1]), 1.0)
    assert radii.shape == (4,)
    assert radii.dtype == torch.float64
    expected = torch.tensor([2, 0, 0, 3], dtype=torch.float64) / math.sqrt(2)
    torch.testing.assert_close(radii, expected, rtol=1e-7, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64])
def test_coarse_logits_are_refused(dtype):
    with pytest.raises(TypeError, match="float32 or float64"):
        radius([3, 1], 0, dtype=dtype)


@pytest.mark.parametrize("lipschitz", [0.0, -1.0, NAN, -INF])
def test_lipschitz_bound_must_be_positive(lipschitz):
    with pytest.raises(ValueError, match="> 0"):
        radius([3.0, 1.0], 0, lipschitz)


def test_larger_lipschitz_bound_gives_a_smaller_radius():
    radii = [float(radius([3.0, 1.0], 0, lipschitz)) for lipschitz in (0.5, 1.0, 1.001, 2.0, 1e6)]
    assert radii == sorted(radii, reverse=True)
    assert len(set(radii)) == len(radii)
    assert radii[-1] > 0
    assert float(radius([3.0, 1.0], 0, INF)) == 0


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e3])
def test_float32_logits_never_give_more_than_float64(scale):
    logits, labels = scale * torch.randn(500, 10), torch.randint(10, (500,))
    labels[:250] = logits[:250].argmax(1)
    single, double = certified_radii(logits, labels, 1.0), certified_radii(logits.double(), labels, 1.0)
    assert (single <= double).all()
    assert single.sum() > 0.9 * double.sum() - 0.1


def linear_classifier(classes, inputs):
    return nn.Linear(inputs, classes).double()


def distance_to_misclassification(model, inputs, labels):
    """``min_j (z_y - z_j) / |w_y - w_j|``, the exact distance to the nearest decision boundary of a linear model."""
    logits, weight = model(inputs), model.weight
    gaps = logits.gather(1, labels[:, None]) - logits
    lengths = (weight[labels][:, None] - weight).norm(dim=2)
    return (gaps / lengths).scatter(1, labels[:, None], math.inf).amin(1)


@torch.no_grad()
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_radius_is_sound_for_linear_models(classes):
    model, inputs = linear_classifier(classes, 20), 10 * torch.randn(200, 20, dtype=torch.float64)
    logits = model(inputs)
    labels = logits.argmax(1)
    radii = certified_radii(logits, labels, lipschitz_bound(model, (20,)))
    assert (radii > 0).all()
    assert (radii <= distance_to_misclassification(model, inputs, labels)).all()


@torch.no_grad()
def test_radius_is_exact_for_two_opposite_classes():
    """With weights w and -w the factor √2 is attained."""
    model, inputs = linear_classifier(2, 20), 10 * torch.randn(50, 20, dtype=torch.float64)
    model.weight[1] = -model.weight[0]
    logits = model(inputs)
    labels = logits.argmax(1)
    radii = certified_radii(logits, labels, lipschitz_bound(model, (20,)))
    torch.testing.assert_close(radii, distance_to_misclassification(model, inputs, labels), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("logits", "label", "expected"),
    [([3.0, 1.0, 2.0], 0, 1), ([3.0, 1.0, 2.0], 1, -2), ([3.0, 1.0, 3.0], 2, 0), ([-5.0, -1.0], 1, 4)],
)
def test_margins(logits, label, expected):
    assert margins(torch.tensor([logits]), torch.tensor([label])).tolist() == [expected]
