"""What must hold between the keys of ``model=residual``, its layers and its images."""

from collections.abc import Iterator
from typing import Any

from lipnet.options.messages import multiples
from lipnet.options.models import ResidualNet

_KEPT = 4  # channels that a pixel-unshuffle makes of one
_SHIFTED = 4  # channels that a block of lipnext moves at least


def check_residual(model: ResidualNet, conv: Any, dataset: str, shape: tuple[int, ...]) -> Iterator[str]:
    """Whether every stage has images that its kernels fit on, and channels that its layers can be made for."""
    if len(shape) != 3:
        yield f"model={model.name}: needs images, and dataset={dataset} draws vectors; use model=fc."
        return
    if None in (model.patch, model.channels, model.blocks, model.kernel_sizes):
        return
    counts = {key: len(getattr(model, key)) for key in ("channels", "blocks", "kernel_sizes")}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"model.{key} has {count}" for key, count in counts.items())
        yield f"{listed}: these lists describe the stages and must have one entry for each."
        return
    yield from _check_sizes(model, dataset, shape)
    yield from _check_channels(model, conv, shape)


def _check_sizes(model: ResidualNet, dataset: str, shape: tuple[int, ...]) -> Iterator[str]:
    _, *sides = shape
    if any(side % model.patch for side in sides):
        yield f"model.patch={model.patch}: does not divide the image, and {dataset} has {sides[0]}x{sides[1]}."
        return
    sides = [side // model.patch for side in sides]
    for index, kernel_size in enumerate(model.kernel_sizes):
        if index and any(side % 2 for side in sides):
            yield (
                f"model.channels has {len(model.channels)} entries: each stage but the first halves the image, which "
                f"is {sides[0]}x{sides[1]} in stage {index}; use {index}, or another model.patch."
            )
            return
        sides = [side // 2 for side in sides] if index else sides
        if kernel_size > min(sides):
            yield (
                f"model.kernel_sizes[{index}]={kernel_size}: larger than the image, which is {sides[0]}x{sides[1]} "
                f"there; use at most {min(sides)}."
            )
            return


def _check_channels(model: ResidualNet, conv: Any, shape: tuple[int, ...]) -> Iterator[str]:
    """Whether a pixel-unshuffle can make a stage's channels, and groups split them."""
    if model.down == "crop":
        reason = "with model.down=crop a stage has four times the channels that are kept"
        yield from multiples("model.channels", model.channels[1:], _KEPT, reason, first=1)
    seen = shape[0] * model.patch**2
    if model.stem == "zeros" and model.channels[0] < seen:
        yield (
            f"model.channels[0]={model.channels[0]}: with model.stem=zeros nothing of the image may be left out, so "
            f"this must be at least {seen}."
        )
    if model.block == "lipnext":
        for index, width in enumerate(model.channels):
            if width < _SHIFTED:
                least = f"use at least {_SHIFTED}"
                yield f"model.channels[{index}]={width}: lipnext moves four groups of channels; {least}."
    groups = getattr(conv, "groups", None) or 1
    yield from multiples("model.channels", model.channels, groups, f"conv.groups={groups} splits them")
