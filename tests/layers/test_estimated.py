"""Layers that train with an estimate of their norm: what is evaluated has the exact one, of the present parameters."""

from functools import partial

import pytest
import torch
from torch import nn

from lipnet.certify import lipschitz_bound
from lipnet.certify.plain import to_plain
from lipnet.layers import OSSNConv2d, PaddedConv2d, SpectralLinear, SVCMConv2d

SIZE = (6, 8)
LAYERS = {
    "ossn": (partial(OSSNConv2d, 3, 5, 3, image_size=SIZE), (3, *SIZE)),
    "ossn_stride": (partial(OSSNConv2d, 2, 6, 4, stride=2, image_size=SIZE), (2, *SIZE)),
    "ossn_zeros": (partial(OSSNConv2d, 3, 4, 3, image_size=SIZE, padding_mode="zeros"), (3, *SIZE)),
    "svcm": (partial(SVCMConv2d, 3, 5, 3, image_size=SIZE, every=4), (3, *SIZE)),
    "svcm_stride": (partial(SVCMConv2d, 2, 6, 4, stride=2, image_size=SIZE, every=4), (2, *SIZE)),
    "spectral": (partial(SpectralLinear, 7, 5), (7,)),
}
over_layers = pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)
over_normalised = pytest.mark.parametrize(
    ("make", "shape"), [row for name, row in LAYERS.items() if "svcm" not in name and "zeros" not in name]
)


def enlarge(layer: nn.Module, factor: float = 5.0) -> None:
    with torch.no_grad():
        layer.raw_weight.mul_(factor)


def norm(layer: nn.Module, shape: tuple[int, ...], dense_matrix) -> float:
    return float(torch.linalg.matrix_norm(dense_matrix(layer, shape), ord=2))


@over_layers
def test_every_step_is_evaluated_with_its_own_norm(make, shape, dense_matrix):
    """Steps that change the norm a lot: a scale that is one step old would be far off."""
    layer = make()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.3)
    for _ in range(6):
        optimizer.zero_grad()
        layer.train()
        layer(torch.randn(4, *shape)).square().mean().backward()
        optimizer.step()
        enlarge(layer, 1.5)
        layer.eval()
        assert norm(layer, shape, dense_matrix) <= 1 + 1e-6
        assert lipschitz_bound(layer, shape) <= 1 + 1e-6


@over_layers
def test_modes_that_evaluate(make, shape):
    """Without gradients, or in evaluation mode, the weight is the exact one, also right after training."""
    layer = make()
    enlarge(layer)
    layer.train()
    estimated = layer.weight
    assert estimated.requires_grad
    with torch.no_grad():
        exact = layer.weight
    assert not exact.requires_grad
    layer.eval()
    assert torch.equal(layer.weight, exact)
    assert layer.train().weight is estimated
    inputs = torch.randn(3, *shape)
    with torch.no_grad():
        torch.testing.assert_close(layer.eval()(inputs), to_plain(layer.train())(inputs))


@over_layers
def test_evaluation_changes_nothing(make, shape):
    layer = make()
    enlarge(layer)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    layer.eval()(torch.randn(2, *shape))
    lipschitz_bound(layer, shape)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


@over_normalised
def test_small_weights_are_left_alone(make, shape):
    layer = make().eval()
    enlarge(layer, 1e-3)
    assert torch.equal(layer.weight, layer.raw_weight)
    torch.testing.assert_close(layer.train().weight, layer.raw_weight)


@over_normalised
def test_power_iteration_converges_and_differentiates_like_the_exact_norm(make, shape):
    layer = make().double()
    enlarge(layer)
    layer.iterations = 3000
    weight = layer.weight
    with torch.no_grad():
        torch.testing.assert_close(weight, layer.weight)
    direction = torch.randn_like(weight)
    (gradient,) = torch.autograd.grad(weight, layer.raw_weight, direction)
    exact = layer.raw_weight.detach().clone().requires_grad_()
    if isinstance(layer, SpectralLinear):
        scale = torch.linalg.matrix_norm(exact, ord=2)
    else:
        from lipnet.layers.frequency import conv_operator

        blocks = conv_operator(exact, SIZE, layer.stride, 1, 1, "circular")
        scale = torch.linalg.matrix_norm(blocks, ord=2).amax()
    (expected,) = torch.autograd.grad(exact / scale, exact, direction)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)


@over_normalised
def test_the_estimate_is_a_lower_one_and_warm(make, shape):
    layer = make()
    layer.iterations = 1
    enlarge(layer)
    scales = []
    for _ in range(8):
        enlarge(layer, 1.0)  # the same values, a new version
        scales.append(float((layer.raw_weight / layer.weight).detach().mean()))
    with torch.no_grad():
        exact = float((layer.raw_weight / layer.weight).mean())
    assert all(scale <= exact * (1 + 1e-5) for scale in scales)
    assert scales[-1] >= scales[0] - 1e-5 * exact


def test_svcm_projects_every_so_many_steps():
    layer = SVCMConv2d(3, 5, 3, image_size=SIZE, every=4, iterations=200)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-3)
    enlarge(layer)
    norms = []
    for _ in range(8):
        optimizer.zero_grad()
        layer(torch.randn(2, 3, *SIZE)).sum().backward()
        norms.append(float(layer.exact_norm(layer.raw_weight)))
        optimizer.step()
    assert min(norms[:3]) > 1.5
    assert norms[3] < 1.01
    assert norms[7] < 1.01
    assert int(layer.steps) == 8


def test_svcm_clips_singular_values(dense_matrix):
    """A kernel as large as its image is masked by nothing: one round is the exact projection."""
    layer = SVCMConv2d(2, 3, 3, image_size=(3, 3), iterations=1).double()
    enlarge(layer, 2.0)
    raw = layer.raw_weight.detach()
    before = operator(raw, dense_matrix)
    after = operator(layer.project(raw), dense_matrix)
    left, values, right = torch.linalg.svd(before, full_matrices=False)
    assert float(values.max()) > 1.2
    torch.testing.assert_close(after, left * values.clamp_max(1.0) @ right)


def operator(kernel: torch.Tensor, dense_matrix) -> torch.Tensor:
    plain = PaddedConv2d(kernel.shape[1], kernel.shape[0], kernel.shape[-1]).double()
    return dense_matrix(plain.copy_from(kernel, None), (kernel.shape[1], 3, 3))


def leave_zero_weight(layer: nn.Module) -> None:
    with torch.no_grad():
        layer.raw_weight.zero_()
    for _ in range(3):
        with torch.no_grad():
            layer.raw_weight.mul_(1)  # the same values, a new version
        layer.weight.sum().backward()


def leave_nan(layer: nn.Module) -> None:
    with torch.no_grad():
        layer.raw_weight.fill_(torch.nan)
    layer.weight.sum().backward()


def leave_nothing_in_common(layer: nn.Module) -> None:
    """A weight whose null space holds the vector."""
    with torch.no_grad():
        layer.raw_weight.zero_()
        layer.raw_weight[:, 0] = 1
        layer.vector.zero_()
        layer.vector.select(-1 if isinstance(layer, SpectralLinear) else 1, 1).fill_(1)
    layer.weight.sum().backward()


LEFT = {
    "zero weight": leave_zero_weight,
    "NaN weight": leave_nan,
    "another null space": leave_nothing_in_common,
    "a checkpoint with a vector of zeros": lambda layer: layer.vector.zero_(),
    "a checkpoint with a vector of NaN": lambda layer: layer.vector.fill_(torch.nan),
}


@over_normalised
@pytest.mark.parametrize("leave", LEFT.values(), ids=LEFT)
def test_the_estimate_recovers(make, shape, leave):
    """Whatever vector was left behind: two steps later the training norm is near the exact one again."""
    layer = make().train()
    weight = 20 * torch.randn_like(layer.raw_weight)
    leave(layer)
    for _ in range(2):
        with torch.no_grad():
            layer.raw_weight.copy_(weight)
        estimated = layer.weight.detach()
    with torch.no_grad():
        exact = layer.weight
    assert float(weight.norm() / exact.norm()) > 5
    torch.testing.assert_close(estimated, exact, rtol=0.1, atol=0)


@pytest.mark.parametrize(
    ("size", "kernel_size", "stride"),
    [
        ((2, 2), 3, 1), ((1, 1), 3, 1), ((2, 3), 5, 1), ((2, 2), 4, 2), ((4, 4), 6, 2), ((3, 2), 4, 1), ((2, 8), 3, 1),
    ],
    ids=str,
)  # fmt: skip
def test_kernels_larger_than_their_image(size, kernel_size, stride, dense_matrix):
    """Taps then fall on the same pixels: against the singular value decomposition of the dense matrix."""
    shape, sizes = (2, *size), (2, 3 * stride**2, kernel_size, stride)
    ossn, svcm = (make(*sizes, image_size=size, bias=False).double().eval() for make in (OSSNConv2d, SVCMConv2d))
    enlarge(ossn)
    svcm.load_state_dict({"raw_weight": ossn.raw_weight.detach(), "steps": svcm.steps})
    free = dense_matrix(PaddedConv2d(*sizes, bias=False).copy_from(ossn.raw_weight, None), shape)
    left, values, right = torch.linalg.svd(free, full_matrices=False)
    assert float(values[0]) > 1.5
    torch.testing.assert_close(dense_matrix(ossn, shape), free / values[0])
    assert norm(svcm, shape, dense_matrix) == pytest.approx(1)
    if max(size) <= kernel_size:  # otherwise taps are masked, and this is no projection
        torch.testing.assert_close(dense_matrix(svcm, shape), left * values.clamp_max(1) @ right)


@pytest.mark.parametrize("layer", [OSSNConv2d, SVCMConv2d])
def test_refuses_images_of_another_size(layer):
    with pytest.raises(ValueError, match=r"is 1-Lipschitz on images of \(6, 8\), got \(8, 8\)"):
        layer(3, 4, 3, image_size=SIZE)(torch.zeros(1, 3, 8, 8))


@over_layers
def test_two_backward_passes_through_one_weight(make, shape):
    layer = make().train()
    for _ in range(2):
        layer(torch.randn(2, *shape)).pow(2).sum().backward()
    assert bool(torch.isfinite(layer.raw_weight.grad).all())


@over_layers
def test_state_survives_saving(make, shape):
    layer, other = make(), make()
    for _ in range(3):
        enlarge(layer, 1.1)
        layer.weight.sum().backward()
    other.load_state_dict(layer.state_dict())
    for both in (layer, other):
        enlarge(both, 1.1)
    assert torch.equal(layer.weight, other.weight)
