"""Every layer against the dense singular values of its Jacobian, and its certificate. A new layer joins by a row."""

import copy
from functools import partial

import pytest
import torch
from layer_table import LAYERS
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lipnet.certify import lipschitz_bound
from lipnet.certify.plain import to_plain
from lipnet.certify.rounding import rounding_bound
from lipnet.certify.rules.linear import LINEAR_LAYERS
from lipnet.layers import AOCConv2d, AOLConv2d, BCOPConv2d, L2NEConv2d, OSSNConv2d, RKOConv2d, bjorck, cholesky
from lipnet.models.choices import activation, convolution, linear, shuffles
from lipnet.options import GROUPS

SHUFFLED = ("model=large", "conv.groups=2")
ORTHOGONAL = {torch.float32: 1e-5, torch.float64: 1e-10}
LIPSCHITZ = 1e-6
LEARNED = [row for row in LAYERS if any(True for _ in row[1]().parameters())]
PROVED = [pytest.param(*row[1:], id=row[0]) for row in LAYERS]
MOMENTS = [(*row, steps) for rows, steps in ((LAYERS, 0), (LEARNED, 25)) for row in rows]


def train(layer: nn.Module, shape: tuple[int, ...], dtype: torch.dtype, steps: int) -> None:
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2) if steps else None
    inputs = torch.randn(8, *shape, dtype=dtype)
    target = torch.randn_like(layer(inputs))
    for _ in range(steps):
        optimizer.zero_grad()
        (layer(inputs) - target).square().mean().backward()
        optimizer.step()


@torch.no_grad()
def affine_jacobian(layer: nn.Module, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """The outputs on the basis vectors minus the output at zero, in float64; checked on a random point."""
    size = torch.Size(shape).numel()
    basis = torch.eye(size, dtype=dtype).view(size, *shape)
    offset = layer(torch.zeros(1, *shape, dtype=dtype)).double().flatten(1)
    jacobian = (layer(basis).double().flatten(1) - offset).T
    point = torch.randn(1, *shape, dtype=dtype)
    expected = point.double().flatten(1) @ jacobian.T + offset
    torch.testing.assert_close(layer(point).double().flatten(1), expected, atol=ORTHOGONAL[dtype], rtol=0)
    return jacobian


def pointwise_jacobians(layer: nn.Module, shape: tuple[int, ...], dtype: torch.dtype, points: int = 3) -> torch.Tensor:
    inputs = torch.randn(points, *shape, dtype=dtype)
    return torch.stack(
        [
            torch.autograd.functional.jacobian(lambda x: layer(x[None])[0].flatten(), point).flatten(1).double()
            for point in inputs
        ]
    )


def jacobians(layer: nn.Module, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    return (affine_jacobian if isinstance(layer, LINEAR_LAYERS) else pointwise_jacobians)(layer, shape, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(
    ("constructor", "shape", "kind", "steps"),
    [pytest.param(*row[1:], id=f"{row[0]}-{'trained' if row[4] else 'initial'}") for row in MOMENTS],
)
def test_singular_values(constructor, shape, kind, steps, dtype):
    torch.manual_seed(0)
    layer = constructor().to(dtype)
    train(layer, shape, dtype, steps)
    matrix = jacobians(layer, shape, dtype)
    values = torch.linalg.svdvals(matrix)
    assert values.shape[-1] == min(torch.Size(shape).numel(), layer(torch.zeros(1, *shape, dtype=dtype)).numel())
    if kind == "orthogonal":
        assert float((values - 1).abs().max()) <= ORTHOGONAL[dtype]
    elif kind == "unit rows":
        assert float((matrix.norm(dim=1) - 1).abs().max()) <= ORTHOGONAL[dtype]
    elif kind == "1-lipschitz":
        assert float(values.max()) <= 1 + LIPSCHITZ
    else:
        assert float(values.max()) <= lipschitz_bound(layer.eval(), shape) * (1 + LIPSCHITZ)


@pytest.mark.parametrize(("make", "shape", "kind"), PROVED)
def test_the_certificate_is_no_less_than_the_largest_singular_value(make, shape, kind):
    layer = make().double().eval()
    bound, largest = (
        lipschitz_bound(layer, shape),
        float(torch.linalg.svdvals(jacobians(layer, shape, torch.float64)).max()),
    )
    assert largest <= bound * (1 + 1e-12)
    if kind in ("orthogonal", "1-lipschitz"):
        assert bound <= 1 + 1e-9


@torch.no_grad()
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("make", "shape", "kind"), PROVED)
def test_float32_rounds_no_more_than_is_proved(make, shape, kind, scale):
    plain = to_plain(make().eval())
    found, inputs = rounding_bound(plain, shape, torch.float32), scale * torch.randn(20, *shape)
    exact = copy.deepcopy(plain).double()(inputs.double())
    error = (plain(inputs).double() - exact).flatten(1).norm(dim=1)
    assert bool((error <= found.error.at(found.norms(inputs))).all())


def test_every_registered_layer_is_in_the_table(make_config):
    """One that is not would be certified by a rule that nothing holds against numbers."""
    kinds = {type(row[1]()) for row in LAYERS}
    made = {
        "conv": lambda name: convolution(make_config(f"conv={name}"), (4, 4))(4, 4, 2, 2),
        "shuffle": lambda name: (*shuffles(make_config(*SHUFFLED, f"shuffle={name}"), 4, 2, 0), nn.Identity())[0],
        "linear": lambda name: linear(make_config(f"linear={name}"))(4, 4),
        "activation": lambda name: activation(make_config(f"activation={name}"), 4),
    }
    missing = [f"{group}={name}" for group in made for name in GROUPS[group] if type(made[group](name)) not in kinds]
    assert missing == []


class Counting(TorchDispatchMode):
    """Counts the operations of torch that run inside."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


GROUPED = [
    AOCConv2d, partial(AOCConv2d, stride=2), BCOPConv2d, partial(BCOPConv2d, orthogonalize=bjorck), RKOConv2d,
    L2NEConv2d, partial(AOLConv2d, steps=2),
]  # fmt: skip


@pytest.mark.parametrize("make", [*GROUPED, partial(OSSNConv2d, image_size=4)])
def test_all_groups_are_built_in_one_batch(make):
    """As many operations for eight groups as for two: none is repeated for each."""
    counts = []
    for groups in (2, 8):
        layer = make(32, 32, 3, groups=groups)
        parameters = layer.free_parameters()
        with Counting() as counting:
            layer.build_weight(*parameters).square().sum().backward()
        counts.append(counting.count)
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("orthogonalize", [cholesky, bjorck])
@pytest.mark.parametrize(("inputs", "outputs"), [(16, 12), (12, 16), (16, 16)])
def test_zero_padding_loses_norm_only_at_the_border(inputs, outputs, orthogonalize):
    """Zero padding is a true compression: nothing above 1, and something clearly below."""
    torch.manual_seed(0)
    layer = BCOPConv2d(inputs, outputs, 3, padding_mode="zeros", orthogonalize=orthogonalize).double()
    values = torch.linalg.svdvals(affine_jacobian(layer, (inputs, 3, 3), torch.float64))
    assert float(values.max()) <= 1 + 1e-12
    assert float(values.min()) < 0.9
