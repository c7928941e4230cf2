"""Networks as data: a list of layers, each of a known type with plain arguments, and a dict of tensors.

What is read back is built from the table here and the registered activations alone: a file can name no other class,
and no argument beyond the ranges of their checks.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify.faithful import unfaithful
from lipnet.certify.walk import named_layers
from lipnet.errors import UserError, reason_of
from lipnet.export.activations import activation_names, activation_part
from lipnet.export.part import Part
from lipnet.layers.activations.spline import FixedSpline, PlainSpline
from lipnet.layers.blocked import BlockedConv2d, BlockedLinear
from lipnet.layers.blocks.composition import Concat, Residual
from lipnet.layers.blocks.convex_potential import PlainConvexPotential
from lipnet.layers.blocks.lipnext import ChannelShift
from lipnet.layers.blocks.mirrored import Mirrored
from lipnet.layers.blocks.sandwich import PlainSandwich
from lipnet.layers.centering import BatchCentering, PlainBatchCentering
from lipnet.layers.convolutions.padded import PaddedConv2d
from lipnet.layers.shape import FitChannels, Normalize, PixelUnshuffle, Scale
from lipnet.layers.shuffle import ChannelShuffle
from lipnet.layers.translation import Translation
from lipnet.options.checks import boolean, list_of, number, one_of, whole

_COUNT = whole(1, at_most=2**20)
_SIZE = whole(1, at_most=1024)
_PIXELS = whole(0, at_most=1024)


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


def _plain_convolution(layer: nn.Conv2d) -> dict[str, Any]:
    return {
        "in_channels": layer.in_channels, "out_channels": layer.out_channels, "kernel_size": layer.kernel_size[0],
        "stride": layer.stride[0], "padding": layer.padding[0], "groups": layer.groups, "bias": layer.bias is not None,
    }  # fmt: skip


def _transposed(layer: nn.ConvTranspose2d) -> dict[str, Any]:
    padding = layer.padding[0]
    assert isinstance(padding, int)
    return {
        "in_channels": layer.in_channels, "out_channels": layer.out_channels, "kernel_size": layer.kernel_size[0],
        "stride": layer.stride[0], "padding": padding, "bias": layer.bias is not None,
    }  # fmt: skip


def _normalization(kind: type[nn.BatchNorm1d] | type[nn.BatchNorm2d]) -> Part:
    """A layer that in evaluation is affine in each channel."""
    code = f"nn.{kind.__name__}({{num_features}})"
    return Part(kind, {"num_features": _COUNT}, lambda layer: {"num_features": layer.num_features}, code)


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
    "PixelUnshuffle": Part(
        PixelUnshuffle, {"factor": _SIZE}, lambda layer: {"factor": layer.factor}, "nn.PixelUnshuffle({factor})"
    ),
    "PixelShuffle": Part(
        nn.PixelShuffle, {"upscale_factor": _SIZE}, lambda layer: {"upscale_factor": layer.upscale_factor},
        "nn.PixelShuffle({upscale_factor})",
    ),
    "FitChannels": Part(
        FitChannels, {"channels": _COUNT}, lambda layer: {"channels": layer.channels}, "FitChannels({channels})"
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
    "Conv2d": Part(
        nn.Conv2d,
        {
            "in_channels": _COUNT, "out_channels": _COUNT, "kernel_size": _SIZE, "stride": _SIZE, "padding": _PIXELS,
            "groups": _COUNT, "bias": boolean,
        },
        _plain_convolution,
        "nn.Conv2d({in_channels}, {out_channels}, {kernel_size}, stride={stride}, padding={padding}, "
        "groups={groups}, bias={bias})",
    ),
    "ConvTranspose2d": Part(
        nn.ConvTranspose2d,
        {
            "in_channels": _COUNT, "out_channels": _COUNT, "kernel_size": _SIZE, "stride": _SIZE, "padding": _PIXELS,
            "bias": boolean,
        },
        _transposed,
        "nn.ConvTranspose2d({in_channels}, {out_channels}, {kernel_size}, stride={stride}, padding={padding}, "
        "bias={bias})",
    ),
    "AvgPool2d": Part(
        nn.AvgPool2d,
        {"kernel_size": _SIZE, "stride": _SIZE, "padding": _PIXELS},
        lambda layer: {"kernel_size": layer.kernel_size, "stride": layer.stride, "padding": layer.padding},
        "nn.AvgPool2d({kernel_size}, {stride}, {padding})",
    ),
    "AdaptiveAvgPool2d": Part(
        nn.AdaptiveAvgPool2d,
        {"output_size": _SIZE},
        lambda layer: {"output_size": layer.output_size},
        "nn.AdaptiveAvgPool2d({output_size})",
    ),
    "BatchNorm1d": _normalization(nn.BatchNorm1d),
    "BatchNorm2d": _normalization(nn.BatchNorm2d),
    "ChannelShuffle": Part(
        lambda channels, signed: ChannelShuffle(range(channels), [1.0] * channels if signed else None),
        {"channels": _COUNT, "signed": boolean},
        lambda layer: {"channels": layer.channels, "signed": layer.signs is not None},
        "ChannelShuffle({channels}, {signed})",
    ),
    "Unflatten": Part(
        lambda size: nn.Unflatten(1, tuple(size)),
        {"size": list_of(_COUNT, at_least=1)},
        lambda layer: {"size": list(layer.unflattened_size)},
        "nn.Unflatten(1, {size})",
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
    "FixedSpline": Part(
        FixedSpline,
        {"splines": _COUNT, "knots": whole(3, at_most=1025), "range": number(above=0)},
        lambda layer: {"splines": layer.splines, "knots": layer.knots, "range": layer.range},
        "PlainSpline({splines}, {knots}, {range})",
        PlainSpline,
    ),
    "PlainConvexPotential": Part(
        PlainConvexPotential,
        {"channels": _COUNT, "hidden": _COUNT, "kernel_size": _SIZE, "padding_mode": one_of("circular", "zeros")},
        lambda layer: {
            "channels": layer.channels, "hidden": layer.hidden, "kernel_size": layer.kernel_size,
            "padding_mode": layer.padding_mode,
        },
        "PlainConvexPotential({channels}, {hidden}, {kernel_size}, {padding_mode!r})",
        PlainConvexPotential,
    ),
    "PlainSandwich": Part(
        PlainSandwich,
        {"in_features": _COUNT, "out_features": _COUNT},
        lambda layer: {"in_features": layer.in_features, "out_features": layer.out_features},
        "PlainSandwich({in_features}, {out_features})",
        PlainSandwich,
    ),
    "ChannelShift": Part(
        ChannelShift, {"moved": _COUNT}, lambda layer: {"moved": layer.moved}, "ChannelShift({moved})", ChannelShift
    ),
    "Translation": Part(
        lambda shape: Translation(tuple(shape)),
        {"shape": list_of(_COUNT, at_least=1)},
        lambda layer: {"shape": list(layer.shape)},
        "Translation(tuple({shape}))",
        Translation,
    ),
    "BatchCentering": Part(
        BatchCentering,
        {"channels": _COUNT, "momentum": number(at_least=0, at_most=1)},
        lambda layer: {"channels": layer.channels, "momentum": layer.momentum},
        "PlainBatchCentering({channels}, {momentum})",
        PlainBatchCentering,
    ),
    "PReLU": Part(
        nn.PReLU,
        {"num_parameters": _COUNT},
        lambda layer: {"num_parameters": layer.num_parameters},
        "nn.PReLU({num_parameters})",
    ),
    "Scale": Part(Scale, {"factor": number()}, lambda layer: {"factor": layer.factor}, "Scale({factor!r})", Scale),
    "Tanh": Part(nn.Tanh, {}, lambda layer: {}, "nn.Tanh()"),
}  # fmt: skip


# Layers that hold others, which follow them in the list with names of their own: ``2``, ``2.shortcut``, ``2.branch.0``.
BLOCKS: dict[str, type[nn.Module]] = {
    "Sequential": nn.Sequential, "Residual": Residual, "Concat": Concat, "Mirrored": Mirrored,
}  # fmt: skip
_DEEPEST = 32  # names in a name: more may be too much for Python's stack


def part_of(kind: str) -> Part | None:
    """How a type of layer is exported, by its name; ``None`` of a block, and where there is no such type."""
    return PARTS.get(kind) or activation_part(kind)


def _kinds() -> str:
    return ", ".join((*PARTS, *activation_names(), *BLOCKS))


def describe(network: nn.Sequential) -> list[dict[str, Any]]:
    """``[{"name": "0", "type": "Normalize", "channels": 1}, ...]`` of a network that ``to_plain`` made.

    Raises:
        UserError: a layer is of no type that can be exported.
    """
    reason = unfaithful(network, nn.Sequential, parts=False)
    if reason is not None:
        raise UserError(f"the network ({type(network).__name__}) cannot be exported: {reason}.")
    return [_described(name, layer) for name, layer in named_layers(network)]


def _described(name: str, layer: nn.Module) -> dict[str, Any]:
    kind, own = type(layer).__name__, name.rpartition(".")[2]
    if not own.isdecimal() and own not in ("shortcut", "branch", "inner"):
        raise UserError(f"layer {name} cannot be exported: those of a sequence are numbered there, not named.")
    part = part_of(kind)
    if part is None and kind not in BLOCKS:
        raise UserError(f"layer {name} ({layer}) cannot be exported; these can: {_kinds()}.")
    arguments, reason = _arguments(layer, part) if part else ({}, _not_itself(layer, BLOCKS[kind]))
    if reason is not None:
        raise UserError(f"layer {name} ({layer}) cannot be exported: {reason}.")
    return {"name": name, "type": kind, **arguments}


def _arguments(layer: nn.Module, part: Part) -> tuple[dict[str, Any], str | None]:
    """What a layer is built from, or why an export would lose something of it."""
    try:
        given = part.describe(layer)
    except AttributeError as error:  # not what its name says, or it keeps no argument
        return {}, str(error)
    arguments = {}
    for key, check in part.checks.items():
        try:
            arguments[key] = check(given[key])
        except ValueError as error:
            return {}, f"{key}={given[key]}: {error}"
    return arguments, _difference(layer, part, arguments)


def _not_itself(layer: nn.Module, kind: type[nn.Module]) -> str | None:
    return None if type(layer) is kind else f"it is not {kind.__module__}.{kind.__name__} itself"


def _difference(layer: nn.Module, part: Part, arguments: dict[str, Any]) -> str | None:
    """What an export would lose of a layer; ``None`` if it is all in the description."""
    with torch.device("meta"):
        rebuilt = part.build(**arguments)
    reason = _not_itself(layer, type(rebuilt)) or unfaithful(layer, type(layer))
    if reason is not None:
        return reason
    for own, other in zip(layer.modules(), rebuilt.modules(), strict=True):
        for name, value in vars(other).items():
            compared = not name.startswith("_") and name not in ("training", "inplace")
            if compared and getattr(own, name, None) != value:
                return f"it has {name}={getattr(own, name, None)}, and an export has {value}"
    return None


def exported_state(network: nn.Sequential) -> dict[str, Tensor]:
    """The tensors of a plain network on the CPU, the normalisation's mean and std included."""
    state = dict(network.state_dict())
    for name, layer in named_layers(network):
        if isinstance(layer, Normalize):
            state |= {f"{name}.mean": layer.mean, f"{name}.std": layer.std}
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}


def rebuild(layers: Sequence[Any], state: Mapping[str, Tensor]) -> nn.Sequential:
    """The network of a description and its tensors, in evaluation mode.

    Raises:
        UserError: an unknown type or argument, or tensors that do not fit the layers; all problems are named.
    """
    reader = _Reader(layers)
    with torch.device("meta"):  # sizes are compared before anything is allocated
        network = reader.network()
    if reader.problems:
        raise UserError(*reader.problems)
    rest = dict(state)
    for name, part in named_layers(network):
        if isinstance(part, Normalize):
            for key in ("mean", "std"):
                tensor = rest.pop(f"{name}.{key}", None)
                if tensor is None or tensor.shape != getattr(part, key).shape:
                    raise UserError(f"{name}.{key}: the normalisation's {key} is missing or of another shape.")
                setattr(part, key, tensor)
    try:
        network.load_state_dict(rest, assign=True)
    except RuntimeError as error:
        raise UserError(f"the weights do not fit the layers ({reason_of(error, 300)}).") from None
    for name, part in named_layers(network):
        problem = part.problem() if isinstance(part, ChannelShuffle) else None
        if problem is not None:
            raise UserError(f"layer {name}, ChannelShuffle: it needs {problem}.")
    return network.eval().requires_grad_(False)


class _Reader:
    """Builds the layers of a list, one after the other, without numbers in them.

    Attributes:
        problems: of layers that cannot be built, in whose place is an empty one.
    """

    def __init__(self, layers: Sequence[Any]) -> None:
        self.layers, self.at = layers, 0
        self.problems: list[str] = []

    def network(self) -> nn.Sequential:
        found = nn.Sequential()
        while self.at < len(self.layers):
            found.append(self._layer(str(len(found))))
        return found

    def _sequence(self, prefix: str) -> nn.Sequential:
        """Those that follow now and are named ``PREFIX0``, ``PREFIX1``, ..."""
        found = nn.Sequential()
        while self._coming("name") == f"{prefix}{len(found)}":
            found.append(self._layer(f"{prefix}{len(found)}"))
        return found

    def _layer(self, name: str) -> nn.Module:
        """The one that follows now, which must be named so."""
        layer, kind, named = self._coming(), self._coming("type"), self._coming("name")
        self.at += 1
        part = part_of(kind) if isinstance(kind, str) else None
        if named != name or (part is None and not (isinstance(kind, str) and kind in BLOCKS)):
            return self._none(f"layer {name} is not described as one of {_kinds()}.")
        if name.count(".") >= _DEEPEST:
            return self._none(f"layer {name} lies in more than {_DEEPEST} others.")
        checks = part.checks if part else {}
        given = {key: value for key, value in layer.items() if key not in ("name", "type", "lipschitz_upper_bound")}
        if set(given) != set(checks):
            return self._none(f"layer {name}: {kind} takes {', '.join(checks) or 'nothing'}, not {', '.join(given)}.")
        if part is None:
            return self._block(kind, name)
        try:
            return part.build(**{key: check(given[key]) for key, check in checks.items()})
        except ValueError as error:
            return self._none(f"layer {name}, {kind}: {error}.")

    def _block(self, kind: str, name: str) -> nn.Module:
        if kind == "Sequential":
            return self._sequence(f"{name}.")
        if kind == "Residual":
            shortcut = self._layer(f"{name}.shortcut")
            return Residual(self._layer(f"{name}.branch"), shortcut)
        if kind == "Mirrored":
            return Mirrored(self._layer(f"{name}.inner"))
        branches = self._sequence(f"{name}.branches.")
        return Concat(*branches) if len(branches) else self._none(f"layer {name}: it has no branches.")

    def _coming(self, key: str | None = None) -> Any:
        """The layer that follows now, or what it has at a key; ``None`` where there is none."""
        layer = self.layers[self.at] if self.at < len(self.layers) else None
        return layer if key is None else layer.get(key) if isinstance(layer, dict) else None

    def _none(self, problem: str) -> nn.Module:
        self.problems.append(problem)
        return nn.Identity()
