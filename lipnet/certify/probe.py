"""A module run on a few inputs, to find out where it is steeper than its rule says.

A rule reads attributes and weights; what runs may use others. This proves nothing: it is the second look at what
``faithful`` cannot see, and costs a few forward passes on four examples.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lipnet.errors import reason_of
from lipnet.layers.constrained import Constrained

Shape = tuple[int, ...]
_EXAMPLES = 4
# What a module raises where it is set up wrongly or its inputs do not fit, and a rule that reads what it is set to.
MISFITS = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError)
_STEPS = 3  # of power iteration, towards the steepest direction


def refute(module: nn.Module, shape: Shape, bound: float) -> str | None:
    """Why ``bound`` is no Lipschitz bound of the module on inputs of ``shape`` (without batch axis), or ``None``."""
    misfits = misfit(module, shape)
    if misfits is not None:
        return misfits
    inputs = _inputs(module, shape)
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(inputs.device.type, enabled=False):
        return _refute(module, shape, bound, inputs)


def misfit(module: nn.Module, shape: Shape) -> str | None:
    """Why the module cannot be called with inputs of ``shape``, or ``None``."""
    try:
        with torch.no_grad():
            module(_inputs(module, shape))
    except MISFITS as error:
        return f"it does not take inputs of shape {shape} ({reason_of(error)})"
    return None


def _refute(module: nn.Module, shape: Shape, bound: float, inputs: Tensor) -> str | None:
    outputs = module(inputs.clone())
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
        return "its outputs are no real numbers"
    if outputs.dim() == 0 or len(outputs) != _EXAMPLES:
        return f"of {_EXAMPLES} inputs of shape {shape} it makes outputs of shape {tuple(outputs.shape)}: no batch axis"
    if not math.isfinite(bound) or not outputs.numel() or not inputs.numel():
        return None
    alone = torch.cat([module(example[None].clone()) for example in inputs])
    if not _close(alone, outputs):
        return "an example's output depends on the others of its batch, or on chance"
    steepest = max(_slope(module, inputs, scale) for scale in (1.0, 0.05))
    if steepest > bound * (1 + _tolerance(inputs)):
        return f"its rule allows {bound:.6g}, and it was seen to be {steepest:.6g} steep: it computes something else"
    return None


def _inputs(module: nn.Module, shape: Shape) -> Tensor:
    """Numbers of both signs, of a size from 0.1 to 30, the same at every call."""
    tensors = [tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.is_floating_point()]
    example = tensors[0] if tensors else torch.zeros(())
    random = torch.Generator().manual_seed(0)
    sizes = torch.logspace(-1, 1.5, _EXAMPLES).view(-1, *[1] * len(shape))
    return (torch.randn(_EXAMPLES, *shape, generator=random) * sizes).to(example)


def _slope(module: nn.Module, inputs: Tensor, scale: float) -> float:
    """The steepest quotient ``|f(x + d) - f(x)| / |d|`` that was found, with ``|d|`` about ``scale`` of ``|x|``."""
    random = torch.Generator().manual_seed(1)
    direction = torch.randn(inputs.shape, generator=random).to(inputs)
    length = scale * _norms(inputs).clamp_min(1e-3)
    steepest = 0.0
    for _ in range(_STEPS + 1):
        moved = inputs + _scaled(direction, length)
        distance = _norms(moved - inputs)
        before, after = module(inputs.clone()), module(moved.clone())
        difference = after - before
        rounding = 0.1 * _tolerance(inputs) * (_norms(before) + _norms(after))
        quotients = ((_norms(difference) - rounding) / distance).nan_to_num(0.0, 0.0, 0.0)
        steepest = max(steepest, float(quotients.max()))
        steeper = _steeper(module, moved, difference)
        if steeper is None:
            break
        direction = steeper
    return steepest


def _steeper(module: Callable[[Tensor], Tensor], inputs: Tensor, direction: Tensor) -> Tensor | None:
    """``Jᵀ d``: a step of power iteration; ``None`` for layers whose weight would be built anew for it."""
    if isinstance(module, Constrained):
        return None
    try:
        with torch.enable_grad():
            inputs = inputs.detach().clone().requires_grad_()
            outputs = module(inputs.clone())
            (gradient,) = torch.autograd.grad(outputs, inputs, direction, allow_unused=True)
    except RuntimeError:  # it has no derivative, or its parameters were made in inference mode
        return None
    return gradient if gradient is not None and bool(torch.isfinite(gradient).all()) else None


def _scaled(vectors: Tensor, lengths: Tensor) -> Tensor:
    factors = lengths / _norms(vectors).clamp_min(1e-30)
    return vectors * factors.view(-1, *[1] * (vectors.dim() - 1)).to(vectors.dtype)


def _norms(vectors: Tensor) -> Tensor:
    return vectors.double().reshape(len(vectors), -1).norm(dim=1)


def _close(first: Tensor, second: Tensor) -> bool:
    if first.shape != second.shape:
        return False
    finite = torch.isfinite(first) & torch.isfinite(second)
    size = float(second[finite].double().abs().max()) if bool(finite.any()) else 0.0
    error = float((first - second)[finite].double().abs().max()) if bool(finite.any()) else 0.0
    return error <= _tolerance(first) * max(size, 1e-30)


def _tolerance(tensor: Tensor) -> float:
    """What rounding may make of a quotient: far more than it does, far less than a fault."""
    if tensor.dtype is torch.float64:
        return 1e-6
    return 1e-3 if tensor.dtype is torch.float32 and tensor.device.type == "cpu" else 0.25  # others may use TF32
