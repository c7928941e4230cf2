"""Labels of every type, batches of every size, and a sentence for labels that are none."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lipnet import to_plain
from lipnet.certify import certified_radii, certify, jacobian_lower_bound, margins, pairwise_certified_radii
from lipnet.certify.radius import model_logits
from lipnet.layers import (
    BCOPConv2d,
    GroupSort,
    MaxMin,
    Normalize,
    OrthogonalLinear,
    PixelUnshuffle,
    Residual,
)

CLASSES, EXAMPLES = 3, 4


def network(dtype: torch.dtype) -> nn.Module:
    model = nn.Sequential(
        Normalize([0.5], [0.25]), PixelUnshuffle(2), BCOPConv2d(4, 6, 3), MaxMin(), Residual(BCOPConv2d(6, 6, 2)),
        GroupSort(3), nn.Flatten(), OrthogonalLinear(96, CLASSES),
    )  # fmt: skip
    return to_plain(model.eval()).to(dtype).requires_grad_(False)


def all_radii(images: Tensor, labels: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    found = certify(network(dtype), images, labels)
    logits, constants = found.logits, found.constants
    return {
        "margins of the certificate": found.margins,
        "radii": found.radii(),
        "deployed": found.radii(torch.float32),
        "per pair": found.radii_per_pair(),
        "without allowance": found.radii_without_allowance(),
        "margins": margins(logits, labels),
        "certified_radii": certified_radii(logits, labels, 2.0),
        "pairwise": pairwise_certified_radii(logits, labels, constants),
    }


# name, a call with labels of EXAMPLES examples
CALLS: dict[str, Callable[[Tensor], object]] = {
    "certify": lambda labels: certify(network(torch.float32), torch.rand(EXAMPLES, 1, 8, 8), labels),
    "margins": lambda labels: margins(torch.rand(EXAMPLES, CLASSES), labels),
    "certified_radii": lambda labels: certified_radii(torch.rand(EXAMPLES, CLASSES), labels, 1.0),
    "pairwise_certified_radii": lambda labels: pairwise_certified_radii(
        torch.rand(EXAMPLES, CLASSES), labels, torch.ones(CLASSES, CLASSES)
    ),
}
INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.uint16, torch.uint32, torch.uint64]
over_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


@pytest.mark.parametrize("integer", INTEGERS, ids=str)
@pytest.mark.parametrize("examples", [EXAMPLES, 1, 0])
def test_labels_of_any_integer_type(integer, examples):
    images, labels = torch.rand(EXAMPLES, 1, 8, 8)[:examples], torch.tensor([0, 2, 1, 1])[:examples]
    state = torch.get_rng_state()
    expected = all_radii(images, labels, torch.float64)
    torch.set_rng_state(state)  # the same network
    found = all_radii(images, labels.to(integer), torch.float64)
    for name, radii in found.items():
        assert radii.shape == (examples,), name
        assert torch.equal(radii, expected[name]), name


@over_types
def test_no_examples(dtype):
    images, labels = torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.int64)
    for name, radii in all_radii(images, labels, dtype).items():
        assert radii.shape == (0,), name
    model = network(dtype)
    assert certify(model, images, labels).logits.shape == (0, CLASSES)
    assert model_logits(model, images.to(dtype)).shape == (0, CLASSES)
    assert jacobian_lower_bound(model, images.to(dtype)) == 0.0


# labels, what the sentence says
REFUSALS = [
    (torch.tensor([0, 1, 2, 3]), "labels must be from 0 to 2 for 3 classes, got 3"),
    (torch.tensor([0, -1, 2, 0]), "labels must be from 0 to 2 for 3 classes, got -1"),
    (torch.tensor([255, 0, 1, 0], dtype=torch.uint8), "labels must be from 0 to 2 for 3 classes, got 255"),
    (torch.tensor([2**63, 0, 1, 0], dtype=torch.uint64), f"labels must be from 0 to 2 for 3 classes, got {2**63}"),
    (torch.tensor([0, 1, 2]), r"labels must be one for each of the 4 examples, got \(3,\)"),
    (torch.tensor([0, 1, 2, 0, 1]), r"labels must be one for each of the 4 examples, got \(5,\)"),
    (torch.tensor([[0], [1], [2], [0]]), r"labels must be one for each of the 4 examples, got \(4, 1\)"),
    (torch.tensor(1), r"labels must be one for each of the 4 examples, got \(\)"),
    (torch.tensor([0.0, 1.0, 2.0, 0.0]), "labels must be whole numbers, the numbers of classes, got torch.float32"),
    (torch.tensor([True, False, True, True]), "labels must be whole numbers, the numbers of classes, got torch.bool"),
]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(("labels", "reason"), REFUSALS, ids=[reason for _, reason in REFUSALS])
def test_refuses_labels(call, labels, reason):
    with pytest.raises(ValueError, match=reason):
        call(labels)


@pytest.mark.parametrize("shape", [(3,), (4, 0), (2, 3, 4)], ids=str)
def test_refuses_logits(shape):
    with pytest.raises(ValueError, match=r"logits must be \(examples, classes\), got"):
        margins(torch.zeros(shape), torch.zeros(shape[0], dtype=torch.int64))
