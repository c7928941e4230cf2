"""Networks as data: a list of layers, each of a known type with plain arguments, and a dict of tensors.

What is read back is built from this table alone: a file can name no other class, and no size beyond the ranges here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify.faithful import unfaithful
from lipnet.errors import UserError
from lipnet.layers import Abs, BlockedConv2d, BlockedLinear, GroupSort, MaxMin, Normalize, PaddedConv2d
from lipnet.options.checks import Check, boolean, list_of, one_of, optional, whole

_COUNT = whole(1, at_most=2**20)
_SIZE = whole(1, at_most=1024)
_PIXELS = whole(0, at_most=1024)


@dataclass(frozen=True)
class Part:
    """A type of layer.

    Attributes:
        build: the type, or what makes it from the arguments.
        checks: argument -> the values that it takes, in the constructor's order.
        describe: layer -> arguments.
        code: the same layer in torch and ``lipnet.export.deployed``, where ``{arguments}`` are put in.
    """

    build: Callable[..., nn.Module]
    checks: dict[str, Check]
    describe: Callable[[Any], dict[str, Any]]
    code: str


def _convolution(layer: PaddedConv2d) -> dict[str, Any]:
    conv = layer.conv
    return {
        "in_channels": conv.in_channels, "out_channels": conv.out_channels, "kernel_size": conv.kernel_size[0],
        "stride": conv.stride[0], "dilation": conv.dilation[0], "groups": conv.groups, "bias": conv.bias is not None,
        "padding_mode": layer.padding_mode,
    }  # fmt: skip


def _blocked_convolution(layer: BlockedConv2d) -> dict[str, Any]:
    shape = _convolution(layer)
    del shape["groups"]  # it has none
    return shape | {"block": layer.block}


def _linear(layer: nn.Linear) -> dict[str, Any]:
    return {"in_features": layer.in_features, "out_features": layer.out_features, "bias": layer.bias is not None}


PARTS: dict[str, Part] = {
    "Normalize": Part(
        lambda channels: Normalize([0.0] * channels, [1.0] * channels),
        {"channels": _COUNT},
        lambda layer: {"channels": layer.mean.numel()},
        "Normalize({channels})",
    ),
    "ZeroPad2d": Part(
        nn.ZeroPad2d,
        {"padding": list_of(_PIXELS, length=4)},
        lambda layer: {"padding": list(layer.padding)},
        "nn.ZeroPad2d({padding})",
    ),
    "Upsample": Part(
        lambda factor: nn.Upsample(scale_factor=factor, mode="nearest"),
        {"factor": whole(1, at_most=64)},
        lambda layer: {"factor": int(layer.scale_factor)},
        'nn.Upsample(scale_factor={factor}, mode="nearest")',
    ),
    "PaddedConv2d": Part(
        PaddedConv2d,
        {
            "in_channels": _COUNT, "out_channels": _COUNT, "kernel_size": _SIZE, "stride": _SIZE, "dilation": _SIZE,
            "groups": _COUNT, "bias": boolean, "padding_mode": one_of("circular", "zeros"),
        },
        _convolution,
        "nn.Sequential(\n            {padding},\n            nn.Conv2d({in_channels}, {out_channels}, {kernel_size}, "
        "stride={stride}, dilation={dilation}, groups={groups}, bias={bias}),\n        )",
    ),
    "BlockedConv2d": Part(
        BlockedConv2d,
        {
            "in_channels": _COUNT, "out_channels": _COUNT, "kernel_size": _SIZE, "stride": _SIZE, "dilation": _SIZE,
            "bias": boolean, "padding_mode": one_of("circular", "zeros"), "block": _COUNT,
        },
        _blocked_convolution,
        "nn.Sequential(\n            {padding},\n            BlockedConv2d({in_channels}, {out_channels}, "
        "{kernel_size}, stride={stride}, dilation={dilation}, bias={bias}, block={block}),\n        )",
    ),
    "Flatten": Part(nn.Flatten, {}, lambda layer: {}, "nn.Flatten()"),
    "Linear": Part(
        nn.Linear,
        {"in_features": _COUNT, "out_features": _COUNT, "bias": boolean},
        _linear,
        "nn.Linear({in_features}, {out_features}, bias={bias})",
    ),
    "BlockedLinear": Part(
        BlockedLinear,
        {"in_features": _COUNT, "out_features": _COUNT, "bias": boolean, "block": _COUNT},
        lambda layer: _linear(layer) | {"block": layer.block},
        "BlockedLinear({in_features}, {out_features}, bias={bias}, block={block})",
    ),
    "MaxMin": Part(MaxMin, {}, lambda layer: {}, "MaxMin()"),
    "GroupSort": Part(
        GroupSort,
        {"group_size": optional(whole(1, at_most=2**20))},
        lambda layer: {"group_size": layer.group_size},
        "GroupSort({group_size})",
    ),
    "ReLU": Part(nn.ReLU, {}, lambda layer: {}, "nn.ReLU()"),
    "Abs": Part(Abs, {}, lambda layer: {}, "Abs()"),
    "Identity": Part(nn.Identity, {}, lambda layer: {}, "nn.Identity()"),
}  # fmt: skip


def describe(network: nn.Sequential) -> list[dict[str, Any]]:
    """``[{"name": "0", "type": "Normalize", "channels": 1}, ...]`` of a network that ``to_plain`` made.

    Raises:
        UserError: a layer is of no type that can be exported.
    """
    layers = []
    for number, layer in enumerate(network):
        kind = type(layer).__name__
        if kind not in PARTS:
            raise UserError(f"layer {number} ({layer}) cannot be exported; these can: {', '.join(PARTS)}.")
        described = PARTS[kind].describe(layer)
        with torch.device("meta"):
            reason = _difference(layer, PARTS[kind].build(**described))
        if reason is not None:
            raise UserError(f"layer {number} ({layer}) cannot be exported: {reason}.")
        layers.append({"name": str(number), "type": kind, **described})
    return layers


def _difference(layer: nn.Module, rebuilt: nn.Module) -> str | None:
    """What an export would lose of a layer; ``None`` if it is all in the description."""
    if type(layer) is not type(rebuilt):
        return f"it is not {type(rebuilt).__module__}.{type(rebuilt).__name__} itself"
    reason = unfaithful(layer, type(layer))
    if reason is not None:
        return reason
    for part, other in zip(layer.modules(), rebuilt.modules(), strict=True):
        for name, value in vars(other).items():
            compared = not name.startswith("_") and name not in ("training", "inplace")
            if compared and getattr(part, name, None) != value:
                return f"it has {name}={getattr(part, name, None)}, and an export has {value}"
    return None


def exported_state(network: nn.Sequential) -> dict[str, Tensor]:
    """The tensors of a plain network on the CPU, the normalisation's mean and std included."""
    state = dict(network.state_dict())
    for number, layer in enumerate(network):
        if isinstance(layer, Normalize):
            state |= {f"{number}.mean": layer.mean, f"{number}.std": layer.std}
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}


def rebuild(layers: Sequence[Any], state: Mapping[str, Tensor]) -> nn.Sequential:
    """The network of a description and its tensors, in evaluation mode.

    Raises:
        UserError: an unknown type or argument, or tensors that do not fit the layers; all problems are named.
    """
    problems: list[str] = []
    with torch.device("meta"):  # sizes are compared before anything is allocated
        parts = {str(number): _build(layer, number, problems) for number, layer in enumerate(layers)}
    if problems:
        raise UserError(*problems)
    network, rest = nn.Sequential(), dict(state)
    for name, part in parts.items():
        if isinstance(part, Normalize):
            for key in ("mean", "std"):
                tensor = rest.pop(f"{name}.{key}", None)
                if tensor is None or tensor.shape != getattr(part, key).shape:
                    raise UserError(f"{name}.{key}: the normalisation's {key} is missing or of another shape.")
                setattr(part, key, tensor)
        network.append(part)
    try:
        network.load_state_dict(rest, assign=True)
    except RuntimeError as error:
        raise UserError(f"the weights do not fit the layers ({' '.join(str(error).split())[:300]}).") from None
    return network.eval().requires_grad_(False)


def _build(layer: Any, number: int, problems: list[str]) -> nn.Module:
    """The layer without numbers in it; where it cannot be built, says why and gives an empty one."""
    kind = layer.get("type") if isinstance(layer, dict) else None
    if not isinstance(kind, str) or kind not in PARTS or layer.get("name") != str(number):
        problems.append(f"layer {number} is not described as one of {', '.join(PARTS)}.")
        return nn.Identity()
    part = PARTS[kind]
    given = {key: value for key, value in layer.items() if key not in ("name", "type", "lipschitz_upper_bound")}
    if set(given) != set(part.checks):
        problems.append(f"layer {number}: {kind} takes {', '.join(part.checks) or 'nothing'}, not {', '.join(given)}.")
        return nn.Identity()
    try:
        return part.build(**{key: check(given[key]) for key, check in part.checks.items()})
    except ValueError as error:
        problems.append(f"layer {number}, {kind}: {error}.")
        return nn.Identity()
