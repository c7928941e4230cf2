"""Plain networks under everything that torch does with ``nn.Conv2d``: transforms, tracers, tangents, batched gradients.

Each way is a function of (module, inputs) that gives what the module should, computed the ordinary way, and what it
does. A new activation joins by its row of the table of all layers, a new way by a row of WAYS.
"""

import copy
import io
import warnings
from collections.abc import Callable
from functools import partial

import pytest
import torch
from layer_table import others
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from lipnet.certify.plain import to_plain
from lipnet.layers import (
    Abs,
    BCOPConv2d,
    BlockedConv2d,
    BlockedLinear,
    Concat,
    Cones,
    GroupSort,
    MaxMin,
    Normalize,
    OrthogonalLinear,
    PaddedConv2d,
    PixelUnshuffle,
    Residual,
    Scale,
)

SHAPE = (2, 4, 4)


def network() -> nn.Module:
    return to_plain(
        nn.Sequential(
            Normalize([0.1, 0.2], [0.3, 0.4]), BCOPConv2d(2, 4, 3), MaxMin(), BCOPConv2d(4, 6, 4, stride=2),
            GroupSort(3), nn.Flatten(), OrthogonalLinear(24, 10), MaxMin(), OrthogonalLinear(10, 3),
        )
    )  # fmt: skip


MODULES: dict[str, Callable[[], nn.Module]] = {
    "conv": lambda: nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular"),  # torch's own, by which to judge
    "padded": lambda: PaddedConv2d(2, 4, 3),
    "blocked": lambda: BlockedConv2d(2, 4, 3, block=1),
    "blocked_linear": lambda: nn.Sequential(nn.Flatten(), BlockedLinear(32, 5, block=7)),
    "blocked_zeros": lambda: BlockedConv2d(2, 4, 4, stride=2, bias=False, padding_mode="zeros", block=1),
    "padded_zeros": lambda: PaddedConv2d(2, 4, 3, padding_mode="zeros"),
    "padded_k1": lambda: PaddedConv2d(2, 4, 1),
    "padded_stride": lambda: PaddedConv2d(2, 4, 4, stride=2),
    "padded_dilation": lambda: PaddedConv2d(2, 4, 3, dilation=2),
    "padded_groups": lambda: PaddedConv2d(2, 4, 3, groups=2, bias=False),
    "maxmin": MaxMin,
    "groupsort": GroupSort,
    "groupsort_all": lambda: GroupSort(None),
    "normalize": lambda: Normalize([0.1, 0.2], [0.3, 0.4]),
    "abs": Abs,
    "scale": lambda: Scale(2.0),
    "unshuffle": lambda: PixelUnshuffle(2),
    "residual": lambda: Residual(PaddedConv2d(2, 2, 3)),
    "concat": lambda: Concat(PaddedConv2d(2, 2, 3), nn.Identity()),
    "cones": lambda: Cones(32, 4),
    "network": network,
}
MODULES |= {  # activations that have no row above
    name: partial(lambda make, channels: nn.Sequential(PaddedConv2d(2, channels, 1), make()), make, shape[0])
    for name, (make, shape) in others(MODULES.values()).items()
    if not list(make().parameters())
}
over_modules = pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
# In float64 convolutions have a path of their own.
KINDS = [pytest.param(make, torch.float32, id=name) for name, make in MODULES.items()]
KINDS += [
    pytest.param(MODULES[name], torch.float64, id=f"{name}_float64") for name in ("padded", "padded_stride", "network")
]


def alone(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """The module as a function of one example."""
    return lambda example: module(example[None])[0]


def energy(module: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda inputs: module(inputs).pow(2).sum()


def gradient(module: nn.Module, inputs: Tensor) -> Tensor:
    learned = inputs.clone().requires_grad_()
    return torch.autograd.grad(energy(module)(learned), learned)[0]


def jacobian(module: nn.Module, inputs: Tensor) -> Tensor:
    """Row by row, from ordinary backward passes."""
    return torch.autograd.functional.jacobian(module, inputs)


def batched_gradients(module: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    learned = inputs.clone().requires_grad_()
    outputs = module(learned)
    directions = torch.randn(4, *outputs.shape, dtype=inputs.dtype)
    each = [torch.autograd.grad(outputs, learned, one, retain_graph=True)[0] for one in directions]
    return torch.stack(each), torch.autograd.grad(outputs, learned, directions, is_grads_batched=True)[0]


def directional(module: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """A point, a direction and the derivative along it, from the Jacobian."""
    direction = torch.randn_like(inputs[:1])
    rows = jacobian(module, inputs[:1]).flatten(-len(SHAPE) - 1)
    return direction, rows @ direction.flatten()


def with_tangent(module: nn.Module, inputs: Tensor, learns: bool) -> tuple[Tensor, Tensor]:
    direction, expected = directional(module, inputs)
    with forward_ad.dual_level():
        point = forward_ad.make_dual(inputs[:1].clone().requires_grad_(learns), direction)
        tangent = forward_ad.unpack_dual(module(point)).tangent
    return expected, tangent


def under_jvp(module: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    direction, expected = directional(module, inputs)
    return expected, jvp(module, (inputs[:1],), (direction,))[1]


def second_derivatives(module: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    return torch.autograd.functional.hessian(energy(module), inputs[:1]), hessian(energy(module))(inputs[:1])


def pulled_back(module: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    outputs, pull = vjp(module, inputs)
    return gradient(module, inputs), pull(2 * outputs)[0]


def gradients_of_parameters(module: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """One for each example, summed: the gradient of the batch."""
    parameters = dict(module.named_parameters())
    if not parameters:
        return torch.zeros(()), torch.zeros(())

    def loss(values: dict[str, Tensor], example: Tensor) -> Tensor:
        return functional_call(module, values, (example[None],)).pow(2).sum()

    each = vmap(grad(loss), in_dims=(None, 0))(parameters, inputs)
    expected = torch.autograd.grad(energy(module)(inputs), list(parameters.values()))
    flat = [values.sum(0).flatten() for values in each.values()]
    return torch.cat([values.flatten() for values in expected]), torch.cat(flat)


def ensemble(module: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    parameters = {name: torch.stack((value, 2 * value)).detach() for name, value in module.named_parameters()}
    if not parameters:
        return torch.zeros(()), torch.zeros(())
    outputs = vmap(lambda values: functional_call(module, values, (inputs,)))(parameters)
    return module(inputs), outputs[0]


def traced(module: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Traced on three examples, saved, loaded and asked for two others."""
    others, file = torch.randn(2, *SHAPE, dtype=inputs.dtype), io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.* is deprecated")
        torch.jit.save(torch.jit.trace(module, (inputs,)), file)
        file.seek(0)
        return module(others), torch.jit.load(file)(others)


def symbolically(module: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    return module(inputs), torch.fx.symbolic_trace(module)(inputs)


def gradients_one_by_one(module: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    return gradient(module, inputs), vmap(grad(lambda example: energy(module)(example[None])))(inputs)


WAYS: dict[str, Callable[[nn.Module, Tensor], tuple[Tensor, Tensor]]] = {
    "grad": lambda module, inputs: (gradient(module, inputs), grad(energy(module))(inputs)),
    "vmap": lambda module, inputs: (module(inputs), vmap(alone(module))(inputs)),
    "vmap without gradients": lambda module, inputs: (module(inputs), torch.no_grad()(vmap(alone(module)))(inputs)),
    "vmap of grad": gradients_one_by_one,
    "jacrev": lambda module, inputs: (jacobian(module, inputs[:1]), jacrev(module)(inputs[:1])),
    "jacfwd": lambda module, inputs: (jacobian(module, inputs[:1]), jacfwd(module)(inputs[:1])),
    "jacobian, vectorised": lambda module, inputs: (
        jacobian(module, inputs[:1]),
        torch.autograd.functional.jacobian(module, inputs[:1], vectorize=True),
    ),
    "vjp": pulled_back,
    "jvp": under_jvp,
    "hessian": second_derivatives,
    "tangents": lambda module, inputs: with_tangent(module, inputs, False),
    "tangents and gradients": lambda module, inputs: with_tangent(module, inputs, True),
    "is_grads_batched": batched_gradients,
    "gradients of parameters": gradients_of_parameters,
    "ensemble": ensemble,
    "jit.trace": traced,
    "jit.trace with gradients": lambda module, inputs: traced(module, inputs.clone().requires_grad_()),
    "fx": symbolically,
    "make_fx": lambda module, inputs: (module(inputs), make_fx(module)(inputs)(inputs)),
}  # fmt: skip


@pytest.mark.parametrize(("make", "dtype"), KINDS)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # jvp of torch's own circular padding
def test_like_torchs_own(make, dtype, way):
    module, inputs = make().to(dtype).eval(), torch.randn(3, *SHAPE, dtype=dtype)
    expected, found = way(module, inputs)
    assert found.shape == expected.shape or found.numel() == expected.numel()
    torch.testing.assert_close(found.flatten(), expected.flatten(), rtol=1e-4, atol=1e-5)


@over_modules
def test_on_the_meta_device(make):
    module, inputs = make(), torch.randn(3, *SHAPE)
    outputs = copy.deepcopy(module).to("meta")(inputs.to("meta"))
    assert outputs.is_meta
    assert outputs.shape == module(inputs).shape


def test_fx_shows_torchs_own_layers():
    """So that what rewrites ``nn.Conv2d`` in a graph (fusion, quantisation) finds it."""
    graph = torch.fx.symbolic_trace(nn.Sequential(PaddedConv2d(2, 4, 3), nn.ReLU()))
    kinds = [type(module) for name, module in graph.named_modules() if "." in name]
    assert nn.Conv2d in kinds
    assert [node.op for node in graph.graph.nodes] == ["placeholder", *["call_module"] * 3, "output"]
