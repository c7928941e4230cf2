#!/usr/bin/env python
"""Random networks, changed behind their rules' backs: every bound must be refused, or hold for what then runs.

    python scripts/stress/perturb_networks.py --networks 2000         # some minutes on one core

A rule speaks of a class. Each network here is changed in one way that may make an instance compute something else: a
hook, an overridden or replaced method, an attribute or a weight that no constructor gives, a parametrization, work in
place, training mode, a shape with other axes, a wrapper, a patched function of torch's. Then

* ``lipschitz_bound`` must refuse it, or be at least the steepest slope that is measured of the network as it runs;
* ``to_plain`` must refuse it, or compute the same;
* ``certify`` must refuse it, or its float64 radii withstand an attack on the network as it runs.

Counts are printed by kind of change. Exit code 1 where one is wrong.
"""

import argparse
import contextlib
import copy
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from check_bounds import jacobian_norms, random_layer, random_network, random_shape, steepest_quotient
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrize

from lipnet import layers
from lipnet.certify import certify, lipschitz_bound
from lipnet.certify.bound import output_shape
from lipnet.certify.plain import to_plain
from lipnet.layers import OrthogonalizationError

Shape = tuple[int, ...]
Random = random.Random
_OWN_ERROR = 1e-9  # of measured slopes: float64 rounding, where weights are huge
_POINTS = 3


class Unfit(Exception):
    """The change does not apply to this network."""


@dataclass
class Changed:
    """A network, and the shape of the inputs that it is asked about."""

    network: nn.Module
    shape: Shape


Change = Callable[[Random, Changed], Any]
CHANGES: dict[str, Change] = {}


def change(function: Change) -> Change:
    """Registers a change; one that is undone afterwards returns a context manager."""
    CHANGES[function.__name__.replace("_", " ")] = function
    return function


def any_module(draw: Random, changed: Changed, wanted: Callable[[nn.Module], bool] = lambda module: True) -> nn.Module:
    """One of the network's modules, containers included."""
    found = [module for module in changed.network.modules() if wanted(module)]
    if not found:
        raise Unfit
    return draw.choice(found)


def any_called_module(draw: Random, changed: Changed) -> nn.Module:
    """One that a call passes through: what hangs on a list of modules has no effect."""
    return any_module(draw, changed, lambda module: not isinstance(module, nn.ModuleList))


def any_factor(draw: Random) -> float:
    """A number that makes a slope larger, or turns its sign."""
    return draw.choice([10.0, -3.0, 1.5, 1e4])


@change
def nothing(draw: Random, changed: Changed) -> None:
    """The network as it is: its bound must be given."""


@change
def forward_hook(draw: Random, changed: Changed) -> None:
    """Returns another output, or changes it in place."""
    factor, module = any_factor(draw), any_called_module(draw, changed)
    kind = draw.choice(["returns", "in place", "kwargs", "always", "first"])
    if kind == "returns":
        module.register_forward_hook(lambda module, inputs, output: factor * output)
    elif kind == "in place":
        module.register_forward_hook(lambda module, inputs, output: (output.data.mul_(factor), None)[1])
    elif kind == "kwargs":
        module.register_forward_hook(lambda module, inputs, named, output: factor * output, with_kwargs=True)
    elif kind == "always":
        module.register_forward_hook(lambda module, inputs, output: factor * output, always_call=True)
    else:
        module._forward_hooks[0] = lambda module, inputs, output: factor * output


@change
def forward_pre_hook(draw: Random, changed: Changed) -> None:
    """Returns another input, or changes it in place."""
    factor, module = any_factor(draw), any_called_module(draw, changed)
    kind = draw.choice(["returns", "kwargs", "tuple"])
    if kind == "returns":
        module.register_forward_pre_hook(lambda module, inputs: factor * inputs[0])
    elif kind == "tuple":
        module.register_forward_pre_hook(lambda module, inputs: (factor * inputs[0],), prepend=True)
    else:
        module.register_forward_pre_hook(lambda module, inputs, named: ((factor * inputs[0],), named), with_kwargs=True)


@change
def hook_on_all_modules(draw: Random, changed: Changed) -> Any:
    """Registered once, for every module there is."""
    factor = any_factor(draw)
    if draw.choice([True, False]):
        handle = torch_module.register_module_forward_hook(lambda module, inputs, output: factor * output)
    else:
        handle = torch_module.register_module_forward_pre_hook(lambda module, inputs: (factor * inputs[0],))
    return contextlib.closing(_Handle(handle))


class _Handle:
    def __init__(self, handle: Any) -> None:
        self.close = handle.remove


@change
def backward_hook(draw: Random, changed: Changed) -> None:
    """It changes gradients alone: no slope."""
    any_module(draw, changed).register_full_backward_hook(lambda module, before, after: None)


def _scaled(method: Callable, factor: float) -> Callable:
    def scaled(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        return factor * result if isinstance(result, Tensor) else result

    return scaled


_METHODS = ("forward", "__call__", "_call_impl", "_wrapped_call_impl", "_conv_forward", "__iter__", "__getattr__")


@change
def overridden_method(draw: Random, changed: Changed) -> None:
    """A class that derives from the module's and computes a multiple of something."""
    factor, module = any_factor(draw), any_module(draw, changed)
    name = draw.choice([name for name in _METHODS if hasattr(module, name)])
    kind = type(module)
    if name == "__iter__":
        members = {name: lambda self: iter([*self._modules.values(), layers.Scale(factor)])}
    elif name == "__getattr__":
        members = {name: lambda self, key: _multiple(nn.Module.__getattr__(self, key), factor)}
    else:
        original = getattr(kind, name)
        members = {name: lambda self, *args, **kwargs: _multiple(original(self, *args, **kwargs), factor)}
    module.__class__ = type(f"My{kind.__name__}", (kind,), members)


def _multiple(value: Any, factor: float) -> Any:
    return factor * value if isinstance(value, Tensor) and value.is_floating_point() else value


@change
def overridden_attribute(draw: Random, changed: Changed) -> None:
    """A property that stands for a weight."""
    module = any_module(draw, changed, lambda module: "weight" in module._parameters)
    factor, kind = any_factor(draw), type(module)
    reads = {"count": 0}

    def weight(self: nn.Module) -> Any:
        reads["count"] += 1  # the rule's look is the first
        found = self._parameters["weight"]
        return found if found is None or reads["count"] < 3 else factor * found

    module.__class__ = type(f"My{kind.__name__}", (kind,), {"weight": property(weight)})


@change
def harmless_subclass(draw: Random, changed: Changed) -> None:
    """It adds a name and a text, and must not be refused."""
    module = any_module(draw, changed, lambda module: not isinstance(module, layers.ConstrainedConv2d))
    kind = type(module)
    module.__class__ = type(f"My{kind.__name__}", (kind,), {"extra_repr": lambda self: "mine", "note": 1})


@change
def replaced_method(draw: Random, changed: Changed) -> None:
    """A function on the instance, where the class has a method."""
    factor, module = any_factor(draw), any_module(draw, changed)
    name = draw.choice([name for name in _METHODS[:1] + _METHODS[2:5] if hasattr(module, name)])
    vars(module)[name] = _scaled(getattr(module, name), factor)


@change
def compiled_call(draw: Random, changed: Changed) -> None:
    """What ``module.compile()`` sets."""
    factor, module = any_factor(draw), any_called_module(draw, changed)
    module._compiled_call_impl = _scaled(module._call_impl, factor)


@change
def patched_function(draw: Random, changed: Changed) -> Any:
    """A function of torch's that modules call by name."""
    name = draw.choice(["relu", "linear", "conv2d", "conv1d", "pad", "elu", "gelu", "avg_pool2d", "batch_norm", "silu"])
    return _attribute(functional, name, _scaled(getattr(functional, name), any_factor(draw)))


@change
def patched_class(draw: Random, changed: Changed) -> Any:
    """A method of the class itself."""
    kind = type(any_module(draw, changed))
    forward = kind.forward
    factor = any_factor(draw)
    return _attribute(kind, "forward", lambda self, *args, **kwargs: factor * forward(self, *args, **kwargs))


@contextlib.contextmanager
def _attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    before, own = getattr(owner, name), name in vars(owner)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before) if own else delattr(owner, name)


@change
def attribute(draw: Random, changed: Changed) -> None:
    """A number that the constructor would not have set so."""
    module = any_module(draw, changed)
    numbers = [name for name, value in vars(module).items() if _number(value) and name != "training"]
    if not numbers:
        raise Unfit
    name = draw.choice(numbers)
    vars(module)[name] = _another(draw, vars(module)[name])


def _number(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(_number(part) for part in value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _another(draw: Random, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_another(draw, part) for part in value)
    if isinstance(value, float):
        return draw.choice([math.nan, -value, 10 * value, 0.0, math.inf, -1e-3])
    return draw.choice([value + 1, max(0, value - 1), 2 * value, -value])


@change
def switch(draw: Random, changed: Changed) -> None:
    """An option that is true or false, or a mode by name."""
    module = any_module(draw, changed)
    names = [name for name, value in vars(module).items() if isinstance(value, bool | str) and name != "training"]
    if not names:
        raise Unfit
    name = draw.choice(names)
    value = vars(module)[name]
    modes = ["zeros", "circular", "reflect", "replicate", "nearest", "bilinear", "bicubic", "linear", "tanh", "none"]
    vars(module)[name] = not value if isinstance(value, bool) else draw.choice(modes)


@change
def in_place(draw: Random, changed: Changed) -> None:
    """Activations that overwrite their input, some of them where it is used twice."""
    activation = draw.choice([nn.SELU, nn.ELU, nn.ReLU6, nn.LeakyReLU, nn.SiLU, nn.Hardswish])(inplace=True)
    kind = draw.choice(["first", "residual", "shortcut", "concat", "switched"])
    if kind == "switched":
        for module in changed.network.modules():
            if hasattr(module, "inplace"):
                module.inplace = True
    first = {
        "first": [activation],
        "residual": [layers.Residual(nn.Sequential(nn.Identity(), activation))],
        "shortcut": [layers.Residual(nn.Tanh(), activation)],
        "concat": [layers.Concat(nn.Identity(), activation, nn.Identity())],
    }.get(kind, [])
    if kind == "concat":
        changed.network = nn.Sequential(*first).eval()
    else:
        changed.network = nn.Sequential(*first, changed.network).eval()


@change
def shared_module(draw: Random, changed: Changed) -> None:
    """The same module several times over."""
    twice = draw.choice([nn.ELU(2.0), layers.Scale(-1.7), nn.SELU(), nn.BatchNorm1d(1).eval()])
    if isinstance(twice, nn.BatchNorm1d):
        linear = nn.Linear(changed.shape[-1], changed.shape[-1])
        first = [linear, layers.Residual(linear), linear]
    else:
        first = [twice, layers.Residual(twice, twice), twice]
    changed.network = nn.Sequential(*first, changed.network).eval()


class _Times(nn.Module):
    def __init__(self, factor: float, noisy: bool) -> None:
        super().__init__()
        self.factor, self.noisy = factor, noisy

    def forward(self, weight: Tensor) -> Tensor:
        return self.factor * (weight + torch.randn_like(weight) if self.noisy else weight)


@change
def parametrization(draw: Random, changed: Changed) -> None:
    """A weight that is computed from another one, the same at each call or not."""
    module = any_module(draw, changed, lambda module: "weight" in module._parameters and module.weight is not None)
    parametrize.register_parametrization(module, "weight", _Times(any_factor(draw), draw.choice([True, False])))
    changed.network.train(draw.choice([True, False, False]))


@change
def odd_shape(draw: Random, changed: Changed) -> None:
    """Axes are missing, or too many."""
    shape = changed.shape
    fitting = [shape[1:], shape[:-1], (1, *shape), (*shape, 1), (2, *shape), (shape[0],), ()]
    changed.shape = draw.choice(fitting)


@change
def odd_number(draw: Random, changed: Changed) -> None:
    """A weight, bias or statistic that is not finite, negative or denormal."""
    tensors = [*changed.network.parameters(), *changed.network.buffers()]
    tensors = [tensor for tensor in tensors if tensor.is_floating_point() and tensor.numel()]
    if not tensors:
        raise Unfit
    values = draw.choice(tensors).detach()
    kind = draw.choice(["nan", "inf", "-inf", "negative", "denormal", "zero", "all denormal"])
    if kind == "negative":
        values.neg_()
    elif kind == "all denormal":
        values.fill_(1e-42)
    else:
        values.view(-1)[draw.randrange(values.numel())] = {"denormal": 1e-42, "zero": 0.0}.get(kind, 0.0) or (
            float(kind) if kind in ("nan", "inf", "-inf") else 0.0
        )


@change
def complex_weights(draw: Random, changed: Changed) -> None:
    """Numbers that no rule is proved for."""
    module = any_module(draw, changed, lambda module: any(True for _ in module.parameters(recurse=False)))
    for name, parameter in list(module.named_parameters(recurse=False)):
        module._parameters[name] = nn.Parameter(parameter.detach().to(torch.complex128) * (1 + 5j))


@change
def training_mode(draw: Random, changed: Changed) -> None:
    """Of one module or of all."""
    any_module(draw, changed).train() if draw.choice([True, False]) else changed.network.train()


class _Twice(nn.Sequential):
    def forward(self, inputs: Tensor) -> Tensor:
        return 2 * super().forward(inputs)


class _Around(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, inputs: Tensor) -> Tensor:
        return 3 * self.inner(inputs)


class _Identity(nn.Identity):
    def __call__(self, inputs: Tensor) -> Tensor:
        return 7 * inputs


@change
def wrapped(draw: Random, changed: Changed) -> None:
    """The network inside another module."""
    inner = changed.network
    around = draw.choice([_Twice, _Around, lambda part: nn.Sequential(_Identity(), part), nn.DataParallel])
    changed.network = around(inner).eval()


class _Loud(Tensor):
    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        plain = [arg.as_subclass(Tensor) if isinstance(arg, _Loud) else arg for arg in args]
        result = function(*plain, **(kwargs or {}))
        named = getattr(function, "__name__", "")
        return 5 * result if named in ("linear", "conv1d", "conv2d", "conv3d", "batch_norm") else result


@change
def tensor_subclass(draw: Random, changed: Changed) -> None:
    """A weight that takes part in what is done with it."""
    module = any_module(draw, changed, lambda module: module._parameters.get("weight") is not None)
    loud = module._parameters["weight"].detach().as_subclass(_Loud)
    del module._parameters["weight"]
    module.register_buffer("weight", None)
    module._buffers["weight"] = loud


@dataclass
class Verdict:
    """What became of one changed network."""

    kind: str
    refused: bool
    wrong: str | None


def judge(draw: Random, kind: str, changed: Changed) -> Verdict | None:
    """Applies a change and asks for a bound, a plain copy and radii; ``None`` where it does not apply."""
    changed.network.double()
    try:
        undo = CHANGES[kind](draw, changed)
    except Unfit:
        return None
    network, shape = changed.network, changed.shape
    if kind != "tensor subclass":  # converted, it would be a plain one
        network.double()
    with undo if undo is not None else contextlib.nullcontext():
        try:
            bound = lipschitz_bound(network, shape)
        except (TypeError, OrthogonalizationError):  # of weights that are not finite
            if kind in ("nothing", "harmless subclass", "backward hook", "in place", "shared module"):
                return Verdict(kind, True, "refused without a reason")
            return Verdict(kind, True, _plain_fault(network, shape))
        with _differentiable(network):
            wrong = _slope_fault(network, shape, bound) or _plain_fault(network, shape)
            return Verdict(kind, False, wrong or _certificate_fault(network, shape))


@contextlib.contextmanager
def _differentiable(network: nn.Module) -> Iterator[None]:
    """Has what torch refuses to differentiate in place, leaky ReLUs of negative slope, work out of place meanwhile."""
    found = [module for module in network.modules() if isinstance(module, nn.LeakyReLU) and module.inplace]
    for module in found:
        module.inplace = False
    try:
        yield
    finally:
        for module in found:
            module.inplace = True


def _points(shape: Shape) -> Tensor:
    random = torch.Generator().manual_seed(3)
    return torch.randn(_POINTS, *shape, generator=random, dtype=torch.float64)


def _slope_fault(network: nn.Module, shape: Shape, bound: float) -> str | None:
    """The network as it runs, in float64, is steeper than its bound."""
    if not bound > 0:
        return f"bound {bound}"
    if math.isinf(bound):
        return None
    points = _points(shape)
    slopes = jacobian_norms(_protected(network), points)
    steepest = max(*slopes, steepest_quotient(_protected(network), points, steps=8))
    return f"bound {bound!r}, slope {steepest!r}" if steepest > bound * (1 + _OWN_ERROR) else None


def _protected(network: nn.Module) -> Any:
    """The network on copies: it may work in place, and gradients are asked of its inputs."""
    return lambda inputs: network(inputs.clone())


def _plain_fault(network: nn.Module, shape: Shape) -> str | None:
    """The plain copy computes something else."""
    try:
        plain = to_plain(network)
    except (TypeError, ValueError, RuntimeError):
        return None
    points = _points(shape)
    network, plain = network.eval(), plain.eval()  # in training mode both are random
    with torch.no_grad():
        try:
            expected = network(points.clone())
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):
            return None
        found = plain(points.clone())
    pairs = zip(_tensors(found), _tensors(expected), strict=True)
    return None if all(_close(one, other) for one, other in pairs) else "to_plain computes something else"


def _tensors(outputs: Any) -> list[Tensor]:
    """One, or the maxima and their indices."""
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def _close(found: Tensor, expected: Tensor) -> bool:
    if not expected.numel() or found.shape != expected.shape:
        return found.shape == expected.shape
    error = (found - expected).abs().nan_to_num(0.0, 0.0, 0.0)
    size = 1 + float(expected.abs().nan_to_num(0.0, 0.0, 0.0).max())
    return float(error.max()) <= 1e-4 * size


def _certificate_fault(network: nn.Module, shape: Shape) -> str | None:
    """A point of a certified ball has another class, or the certified images were changed."""
    points = 2 * _points(shape)
    try:
        with torch.no_grad():
            logits = network(points.clone())
        if logits.dim() != 2 or logits.shape[1] < 2:
            return None
        labels, before = logits.argmax(1), points.clone()
        radii = certify(network, points, labels).radii(torch.float64)
    except TypeError:
        return None
    if not torch.equal(points, before):
        return "certify changes the images that it is given"
    for direction in _attacks(network, points, labels):
        lengths = direction.reshape(_POINTS, -1).norm(dim=1)
        steps = torch.where(lengths > 0, 0.999 * radii / lengths, 0.0)
        moved = points + steps.view(-1, *[1] * len(shape)) * direction
        with torch.no_grad():
            fallen = (network(moved.clone()).argmax(1) != labels) & (radii > 0)
        if bool(fallen.any()):
            return f"a certificate of radius {float(radii[fallen][0]):.3g} is broken"
    return None


def _attacks(network: nn.Module, points: Tensor, labels: Tensor) -> Iterator[Tensor]:
    """Directions towards each other class."""
    with torch.enable_grad():
        inputs = points.clone().requires_grad_()
        logits = network(inputs.clone())
        true = logits.gather(1, labels[:, None])[:, 0]
        for other in range(logits.shape[1]):
            (gradient,) = torch.autograd.grad((logits[:, other] - true).sum(), inputs, retain_graph=True)
            yield gradient


def verdicts(draw: Random, count: int, kinds: list[str] | None = None) -> Iterator[Verdict]:
    """One verdict a network, kinds in turn; networks without parameters that matter are drawn again."""
    kinds = kinds or list(CHANGES)
    made = 0
    while made < count:
        shape = random_shape(draw)
        network = random_network(draw, shape, draw.randint(2, 5)) if draw.random() < 0.6 else random_layer(draw, shape)
        network = copy.deepcopy(network).eval().requires_grad_(False)
        outputs = output_shape(network, shape)
        if min(outputs) < 1:
            continue
        if len(outputs) != 1 and draw.random() < 0.5 and math.prod(outputs) <= 200:
            network = (
                nn.Sequential(network, nn.Flatten(), nn.Linear(math.prod(outputs), 3)).eval().requires_grad_(False)
            )
        verdict = judge(draw, kinds[made % len(kinds)], Changed(network, shape))
        if verdict is not None:
            made += 1
            yield verdict


def main() -> int:
    """Prints what was refused, held and broken, by kind of change."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=2000, help="how many changed networks (2000)")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing (0)")
    arguments = parser.parse_args()
    started = time.perf_counter()
    total: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    broken: list[Verdict] = []
    for verdict in verdicts(Random(arguments.seed), arguments.networks):
        total[verdict.kind] += 1
        refused[verdict.kind] += verdict.refused
        if verdict.wrong is not None:
            broken.append(verdict)
            print(f"VIOLATION by {verdict.kind}: {verdict.wrong}", flush=True)
    for kind, number in total.items():
        print(f"  {kind:<22} {number:4} networks, {refused[kind]:4} refused, {number - refused[kind]:4} bounded")
    seconds = time.perf_counter() - started
    print(f"{sum(total.values())} networks, {len(broken)} violations, {seconds:.0f} s")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
