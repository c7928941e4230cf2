"""Which modules of a network are units, and of what kind; and which mix examples, so that no gradient is one's own."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils.parametrize import is_parametrized

from lipnet.layers.blocked import BlockedConv2d, BlockedLinear
from lipnet.layers.constrained import Constrained
from lipnet.layers.convolutions.constrained import ConstrainedConv2d, EstimatedConv2d
from lipnet.layers.convolutions.padded import PaddedConv2d
from lipnet.layers.dense.constrained import ConstrainedLinear
from lipnet.layers.dense.orthogonal import OrthogonalLinear
from lipnet.layers.learned_shuffle import LearnedShuffle
from lipnet.per_example.convolution import ConvUnit
from lipnet.per_example.effective import Source, effective_parameters
from lipnet.per_example.generic import GenericUnit
from lipnet.per_example.matrix import LinearUnit, MatrixUnit, ShuffleUnit
from lipnet.per_example.unit import Unit


class Kind(NamedTuple):
    """Modules that a formula is for: of a class, with one of the forward passes that compute what it differentiates."""

    module: type[nn.Module]
    forwards: tuple[Callable, ...]
    unit: type[MatrixUnit]
    parameters: Callable[[nn.Module], Mapping[str, object]]


def _of_torch(module: nn.Module) -> Mapping[str, object]:
    return {"weight": module.weight, "bias": module.bias}


def _of_constrained(module: nn.Module) -> Mapping[str, object]:
    return {"weight": module, "bias": module.bias}


def _of_shuffle(module: nn.Module) -> Mapping[str, object]:
    return {"weight": module.matrix}


KINDS = (
    Kind(nn.Linear, (nn.Linear.forward, BlockedLinear.forward), LinearUnit, _of_torch),
    Kind(nn.Conv1d, (nn.Conv1d.forward,), ConvUnit, _of_torch),
    Kind(nn.Conv2d, (nn.Conv2d.forward,), ConvUnit, _of_torch),
    Kind(nn.Conv3d, (nn.Conv3d.forward,), ConvUnit, _of_torch),
    Kind(PaddedConv2d, (PaddedConv2d.forward, BlockedConv2d.forward), ConvUnit, _of_torch),
    Kind(ConstrainedLinear, (ConstrainedLinear.forward, OrthogonalLinear.forward), LinearUnit, _of_constrained),
    Kind(ConstrainedConv2d, (ConstrainedConv2d.forward, EstimatedConv2d.forward), ConvUnit, _of_constrained),
    Kind(LearnedShuffle, (LearnedShuffle.forward,), ShuffleUnit, _of_shuffle),
)


def units_of(
    model: nn.Module, sources: Mapping[str, Source], values: Mapping[str, Tensor], strategy: str
) -> list[Unit]:
    """The units of a network, each once."""
    names = {id(source): name for name, source in sources.items()}
    return [_unit(prefix, module, names, values, strategy) for prefix, module in _units(model, names, "", set())]


def _units(module: nn.Module, names: Mapping[int, str], prefix: str, seen: set[int]) -> Iterator[tuple[str, nn.Module]]:
    """The outermost modules that have parameters which learn, and are a unit or no mere container."""
    if id(module) in seen:
        return
    seen.add(id(module))
    if _is_unit(module):
        if any(id(source) in names for source in effective_parameters(module).values()):
            yield prefix, module
        return
    for name, child in module.named_children():
        yield from _units(child, names, f"{prefix}.{name}" if prefix else name, seen)


def _is_unit(module: nn.Module) -> bool:
    own = any(parameter.requires_grad for parameter in module.parameters(recurse=False))
    known = isinstance(module, (Constrained, *(kind.module for kind in KINDS)))
    return own or known or is_parametrized(module)


def _unit(
    prefix: str, module: nn.Module, names: Mapping[int, str], values: Mapping[str, Tensor], strategy: str
) -> Unit:
    inner = effective_parameters(module)
    for kind in KINDS:
        if isinstance(module, kind.module) and type(module).forward in kind.forwards and "forward" not in vars(module):
            if is_parametrized(module):
                break
            slots = {slot: id(part) for slot, part in kind.parameters(module).items() if id(part) in names}
            if {id(source) for source in inner.values()} <= set(slots.values()):
                return kind.unit(module, prefix, {slot: names[part] for slot, part in slots.items()}, values, strategy)
    slots_of_all = {slot: names[id(source)] for slot, source in inner.items()}
    return GenericUnit(module, prefix, slots_of_all, values, strategy, inner)


def check_separable(model: nn.Module) -> None:
    """Refuses networks in which an example's output depends on others.

    Raises:
        ValueError: with the name of every such module, and why.
    """
    reasons = {name or "the network": _mixes(module) for name, module in model.named_modules()}
    found = [f"{name} {reason}" for name, reason in reasons.items() if reason]
    if found:
        raise ValueError(f"no gradient is one example's own: {'; '.join(found)}")


def _mixes(module: nn.Module) -> str:
    kind = type(module).__name__
    if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None):
        return f"({kind}) normalises by the batch; nn.GroupNorm and nn.InstanceNorm do not"
    if isinstance(module, _InstanceNorm) and module.training and module.track_running_stats:
        return f"({kind}) keeps running statistics of all examples; track_running_stats=False does not"
    if getattr(module, "batch_first", True) is False:
        return f"({kind}) takes examples along axis 1; batch_first=True takes them along axis 0"
    return ""
