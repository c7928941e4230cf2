"""torch's transforms over every layer, as over ``nn.Conv2d`` and ``nn.Linear``, against ordinary operations."""

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from layer_table import others
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, stack_module_state, vjp, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from lipnet.layers import (
    BCOPConv2d,
    GroupSort,
    L2NEConv2d,
    MaxMin,
    OrthogonalLinear,
    OSSNConv2d,
    RKOConv2d,
    SOCConv2d,
    SpectralLinear,
    SVCMConv2d,
    UnitRowLinear,
    bjorck,
)
from lipnet.layers.constrained import Constrained, Estimated
from lipnet.layers.convolutions.constrained import ConstrainedConv2d

# torch's own forward-mode formulas warn when they are first compiled.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
SIZE = (4, 6)
LAYERS = {
    "bcop": (partial(BCOPConv2d, 3, 4, 3), (2, 3, 4, 5)),
    "bcop_more_out": (partial(BCOPConv2d, 2, 5, 2), (2, 2, 3, 4)),
    "bcop_stride_groups": (partial(BCOPConv2d, 2, 6, 4, stride=2, groups=2), (2, 2, 4, 6)),
    "bcop_zeros": (partial(BCOPConv2d, 4, 3, 3, padding_mode="zeros"), (2, 4, 4, 3)),
    "bcop_k1": (partial(BCOPConv2d, 4, 3, 1), (2, 4, 3, 3)),
    "bcop_bjorck": (partial(BCOPConv2d, 4, 3, 2, orthogonalize=bjorck), (2, 4, 3, 4)),
    "rko": (partial(RKOConv2d, 2, 5, 3), (2, 2, 4, 5)),
    "rko_bjorck": (partial(RKOConv2d, 2, 5, 3, orthogonalize=bjorck), (2, 2, 4, 5)),
    "l2ne": (partial(L2NEConv2d, 2, 5, 3), (2, 2, 4, 5)),
    "ossn": (partial(OSSNConv2d, 2, 4, 3, image_size=SIZE, iterations=4), (2, 2, *SIZE)),
    "ossn_stride": (partial(OSSNConv2d, 2, 4, 4, stride=2, image_size=SIZE, iterations=4), (2, 2, *SIZE)),
    "svcm": (partial(SVCMConv2d, 2, 4, 3, image_size=SIZE, every=3, iterations=3), (2, 2, *SIZE)),
    "linear_wide": (partial(OrthogonalLinear, 7, 4), (9, 7)),
    "linear_wide_few_rows": (partial(OrthogonalLinear, 7, 4), (2, 7)),
    "linear_tall_few_rows": (partial(OrthogonalLinear, 4, 7), (2, 4)),
    "linear_square": (partial(OrthogonalLinear, 4, 4), (2, 4)),
    "linear_bjorck": (partial(OrthogonalLinear, 6, 4, orthogonalize=bjorck), (2, 6)),
    "spectral": (partial(SpectralLinear, 6, 4), (2, 6)),
    "unit_rows": (partial(UnitRowLinear, 6, 4), (2, 6)),
    "maxmin": (MaxMin, (2, 4, 3, 2)),
    "maxmin_flat": (MaxMin, (2, 6)),
    "groupsort": (partial(GroupSort, 4), (2, 8, 3)),
}
LAYERS |= {
    name: (make, (2, *shape))
    for name, (make, shape) in others(make for make, _ in LAYERS.values()).items()
    if isinstance(make(), Constrained)
}
LEARNED = {name: row for name, row in LAYERS.items() if any(True for _ in row[0]().parameters())}
over_layers = pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)
over_learned = pytest.mark.parametrize(
    ("make", "shape"),
    [pytest.param(*row, id=name) for name, row in LEARNED.items()],
)
over_modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


def sample(make: Callable[[], nn.Module], shape: tuple[int, ...], training: bool) -> tuple[nn.Module, Tensor]:
    """A layer away from its start, with a norm that no clamp leaves alone, and a batch."""
    torch.manual_seed(0)
    layer = make().double().train(training)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter)).mul_(2)
    return layer, torch.randn(shape, dtype=torch.float64)


def plain(layer: nn.Module, weight: Tensor | None, bias: Tensor | None, inputs: Tensor) -> Tensor:
    """The layer by ordinary operations on its weight."""
    if isinstance(layer, MaxMin):
        first, second = inputs.chunk(2, 1)
        keep = first >= second
        return torch.cat((torch.where(keep, first, second), torch.where(keep, second, first)), 1)
    if isinstance(layer, GroupSort):
        return inputs.unflatten(1, (layer.group_size, -1)).sort(1, descending=True).values.flatten(1, 2)
    if isinstance(layer, SOCConv2d):
        return series(layer, weight, bias, inputs)
    if not isinstance(layer, ConstrainedConv2d):
        return inputs @ weight.mT + bias
    mode = {"circular": "circular", "zeros": "constant"}[layer.padding_mode]
    padded = functional.pad(inputs, layer.padding * 2, mode)
    return functional.conv2d(padded, weight, bias, layer.stride, 0, layer.dilation, layer.groups)


def series(layer: SOCConv2d, weight: Tensor, bias: Tensor, inputs: Tensor) -> Tensor:
    """A layer of as many channels in as out or more, with stride 1."""
    reach, total, term = weight.shape[-1] // 2, inputs, inputs
    for number in range(1, layer.terms):
        term = functional.conv2d(functional.pad(term, (reach,) * 4, "circular"), weight) / number
        total = total + term
    return total[..., : layer.out_channels, :, :] + bias[:, None, None]


def frozen(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    """``plain`` with the layer's present weight."""
    weight = layer.weight.detach().clone() if hasattr(layer, "weight") else None
    return partial(plain, layer, weight, getattr(layer, "bias", None))


def loss(outputs: Tensor) -> Tensor:
    return outputs.pow(3).sum()


def close(actual: object, expected: object) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-10)


def plain_grad(function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    inputs = inputs.clone().requires_grad_()
    return torch.autograd.grad(loss(function(inputs)), inputs)[0]


def dual(function: Callable[[Tensor], Tensor], inputs: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor]:
    with forward_ad.dual_level():
        outputs = forward_ad.unpack_dual(function(forward_ad.make_dual(inputs, tangent)))
        return outputs.primal.clone(), outputs.tangent.clone()


def batched_gradients(function: Callable[[Tensor], Tensor], inputs: Tensor, create_graph: bool = False) -> Tensor:
    inputs = inputs.clone().requires_grad_()
    outputs = function(inputs)
    directions = torch.stack([torch.ones_like(outputs), outputs.detach().cos(), outputs.detach().sin()])
    return torch.autograd.grad(
        outputs, inputs, directions, is_grads_batched=True, create_graph=create_graph
    )[0].detach()  # fmt: skip


# What is done with a function of a batch of inputs. The same is done with the layer and with ordinary operations.
OVER_INPUTS: dict[str, Callable[[Callable[[Tensor], Tensor], Tensor], object]] = {
    "grad": lambda f, x: grad(lambda y: loss(f(y)))(x),
    "grad_without_grad_mode": lambda f, x: torch.no_grad()(grad(lambda y: loss(f(y))))(x),
    "vmap": lambda f, x: vmap(f)(torch.stack([x, 2 * x, x - 1])),
    "vmap_without_gradients": lambda f, x: torch.no_grad()(vmap(f))(torch.stack([x, 2 * x, x - 1])),
    "vmap_in_inference_mode": lambda f, x: torch.inference_mode()(vmap(f))(torch.stack([x, x - 1])),
    "vmap_one_by_one": lambda f, x: vmap(lambda y: f(y[None])[0])(x),
    "vmap_another_axis": lambda f, x: vmap(f, in_dims=-1, out_dims=-1)(torch.stack([x, x - 1], -1)),
    "jacrev": lambda f, x: jacrev(f)(x),
    "jacfwd": lambda f, x: jacfwd(f)(x),
    "jvp": lambda f, x: jvp(f, (x,), (x.cos(),)),
    "vjp": lambda f, x: vjp(f, x)[1](f(x).detach().cos())[0],
    "hessian": lambda f, x: hessian(lambda y: loss(f(y)))(x[:1]),
    "grad_of_grad": lambda f, x: grad(lambda y: grad(lambda z: loss(f(z)))(y).pow(2).sum())(x),
    "vmap_of_grad": lambda f, x: vmap(grad(lambda y: loss(f(y[None]))))(x),
    "vmap_of_jvp": lambda f, x: vmap(lambda t: jvp(f, (x,), (t,))[1])(torch.stack([x, x.cos()])),
    "dual_numbers": lambda f, x: dual(f, x, x.cos()),
    "is_grads_batched": batched_gradients,
    "is_grads_batched_create_graph": partial(batched_gradients, create_graph=True),
    "jacobian_vectorized": lambda f, x: torch.autograd.functional.jacobian(f, x, vectorize=True),
    "jacobian_forward": lambda f, x: torch.autograd.functional.jacobian(
        f, x, vectorize=True, strategy="forward-mode"
    ),
    "make_fx": lambda f, x: make_fx(f)(x)(x - 1),
    "make_fx_fake": lambda f, x: make_fx(f, tracing_mode="fake", _allow_non_fake_inputs=True)(x)(x - 1),
}  # fmt: skip


# To record the hundreds of operations of an iteration or a series takes a second: each way of it in one of the modes.
LONG = {("make_fx", False), ("make_fx_fake", True)}
OF_INPUTS = [
    pytest.param(*row, training, name, id=f"{name}-{'train' if training else 'eval'}-{layer}")
    for layer, row in LAYERS.items()
    for training in (True, False)
    for name in OVER_INPUTS
    if not (layer.endswith(("_bjorck", "soc_k3", "lot_k3")) and (name, training) in LONG)
]


@pytest.mark.parametrize(("make", "shape", "training", "name"), OF_INPUTS)
def test_of_inputs(make, shape, training, name):
    """Of a layer that has built nothing yet; and, so that nothing of the transform is left behind, once more."""
    layer, inputs = sample(make, shape, training)
    transform = OVER_INPUTS[name]
    found = transform(layer, inputs)
    with torch.set_grad_enabled(name not in EVALUATES):
        reference = frozen(layer)
        close(found, transform(reference, inputs))
        if not (training and isinstance(layer, Estimated) and "make_fx" in name):  # iterates on from the last vector
            close(transform(layer, inputs), found)
        close(layer(inputs).detach(), reference(inputs).detach())


EVALUATES = ("vmap_without_gradients", "vmap_in_inference_mode")  # layers that estimate their norm in training


def state(layer: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in layer.named_parameters() if parameter.numel()}


def autograd_gradients(layer: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    twin = copy.deepcopy(layer)
    parameters = {name: parameter for name, parameter in twin.named_parameters() if parameter.numel()}
    return dict(zip(parameters, torch.autograd.grad(loss(twin(inputs)), list(parameters.values())), strict=True))


def slope(layer: nn.Module, inputs: Tensor, name: str, direction: Tensor, step: float = 1e-5) -> float:
    """A central difference of the loss."""
    values = []
    for sign in (1, -1):
        twin = copy.deepcopy(layer)
        getattr(twin, name).data.add_(direction, alpha=sign * step)
        values.append(float(loss(twin(inputs)).detach()))
    return (values[0] - values[1]) / (2 * step)


def of_parameters(layer: nn.Module, inputs: Tensor) -> Callable[[dict[str, Tensor]], Tensor]:
    """The loss as their function: of copies, because a build in training moves a layer's buffers."""
    return lambda parameters: loss(functional_call(copy.deepcopy(layer), parameters, (inputs,)))


@over_learned
@over_modes
def test_gradients_of_parameters(make, shape, training):
    """By reverse and forward mode, against finite differences; in training of an estimate, against autograd."""
    layer, inputs = sample(make, shape, training)
    estimates = isinstance(layer, Estimated) and training  # by vectors that a finite difference would move along
    function, parameters = of_parameters(layer, inputs), state(layer)
    gradients = grad(function)(parameters)
    if estimates or not isinstance(layer, Estimated):
        close(gradients, autograd_gradients(layer, inputs))
    for name, value in parameters.items():
        direction = torch.randn_like(value)
        expected = (gradients[name] * direction).sum()
        along = jvp(lambda moved: function({**parameters, name: moved}), (value,), (direction,))[1]  # noqa: B023
        torch.testing.assert_close(along, expected, rtol=1e-8, atol=1e-8)
        if not estimates:
            assert float(expected) == pytest.approx(slope(layer, inputs, name, direction), rel=1e-5, abs=1e-5)


@over_learned
@over_modes
def test_gradients_of_each_example(make, shape, training):
    layer, inputs = sample(make, shape, training)
    if isinstance(layer, SVCMConv2d) and not training:
        pytest.skip("torch cannot batch the backward pass of its complex singular value decomposition")
    parameters = state(layer)
    each = vmap(grad(lambda p, x: loss(functional_call(layer, p, (x[None],)))), in_dims=(None, 0))(parameters, inputs)
    for index, example in enumerate(inputs):
        alone = grad(of_parameters(layer, example[None]))(parameters)
        close({name: value[index] for name, value in each.items()}, alone)


@over_learned
@over_modes
def test_ensembles(make, shape, training):
    """One call for the stacked parameters of several layers."""
    layers = [sample(make, shape, training)[0] for _ in range(3)]
    inputs = torch.randn(shape, dtype=torch.float64)
    for number, layer in enumerate(layers):
        for parameter in layer.parameters():
            parameter.data.add_(0.1 * number * torch.randn_like(parameter))
    parameters, buffers = stack_module_state(layers)
    outputs = vmap(lambda p, b: functional_call(layers[0], (p, b), (inputs,)))(parameters, buffers)
    for output, layer in zip(outputs, layers, strict=True):
        close(output, copy.deepcopy(layer)(inputs))


@over_learned
def test_second_derivatives_of_parameters(make, shape):
    """Of autograd's own, ``create_graph=True``, against those of ``torch.func``."""
    layer, inputs = sample(make, shape, True)
    parameters = state(layer)
    name = next(iter(name for name in parameters if name.startswith("raw_")))
    direction = torch.randn_like(parameters[name])

    def penalty(value: Tensor) -> Tensor:
        gradient = grad(lambda moved: of_parameters(layer, inputs)({**parameters, name: moved}))(value)
        return (gradient * direction).sum()

    expected = grad(penalty)(parameters[name])
    parameter = getattr(layer, name)
    (gradient,) = torch.autograd.grad(loss(layer(inputs)), parameter, create_graph=True)
    (found,) = torch.autograd.grad((gradient * direction).sum(), parameter)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7)


@over_learned
@over_modes
def test_parameters_are_still_learned_within_a_transform(make, shape, training):
    """The gradients of the parameters through a transform of the inputs alone, as for ``nn.Linear``."""
    layer, inputs = sample(make, shape, training)
    twin = copy.deepcopy(layer)
    total = vmap(lambda x: layer(x[None]).pow(3).sum())(inputs).sum()
    if isinstance(layer, Estimated) and not training:
        total.backward()  # the bias alone
        assert layer.bias.grad is not None
        return
    total.backward()
    loss(twin(inputs)).backward()
    for parameter, other in zip(layer.parameters(), twin.parameters(), strict=True):
        if parameter.numel():
            close(parameter.grad, other.grad)
