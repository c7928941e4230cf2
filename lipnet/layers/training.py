"""What a layer may say of its training: any module, at any depth of a network, may have these methods.

``regularizer() -> Tensor``: a scalar that is added to the loss of every step, its weight included.

``is_regularized() -> bool``: of a layer with a ``regularizer``, whether that weighs anything.
Without this method it does.

``hardened() -> nn.Module``: of a layer that is another function while it trains than when it is deployed (a soft
permutation, say), the module that stands for it then, with its weights as they are now. ``to_plain`` takes that one,
and validation and evaluation see it.

``end_step(share)``: called after every step of the training with the share of all steps that are done, above 0 and at
most 1. What it changes must be in the state dict, so that a resumed run goes on with it.

``rate_factor: float``: what multiplies the learning rate for the layer's own parameters, at least 0. They are not
decayed: 0 is not what they would be without examples.

``diagnostics() -> dict[str, float]``: numbers that an epoch reports, by name.
"""

from typing import Any

from torch import nn


def regularized(model: nn.Module) -> list[Any]:
    """The layers of a network that have a regularizer which weighs anything, each once."""
    layers: list[Any] = [layer for layer in model.modules() if _has(layer, "regularizer")]
    return [layer for layer in layers if not _has(layer, "is_regularized") or layer.is_regularized()]


def stepped(model: nn.Module) -> list[Any]:
    """The layers that are told of every step, each once."""
    return [layer for layer in model.modules() if _has(layer, "end_step")]


def diagnostics(model: nn.Module) -> dict[str, float]:
    """What the layers report, by ``layers/NAME_WHAT``."""
    found: dict[str, float] = {}
    layer: Any
    for name, layer in model.named_modules():
        if _has(layer, "diagnostics"):
            found |= {f"layers/{name}_{what}": value for what, value in layer.diagnostics().items()}
    return found


def rate_factor(layer: nn.Module) -> float | None:
    """What multiplies the learning rate for the layer's own parameters; ``None`` where it does not say."""
    factor = getattr(layer, "rate_factor", None)
    return float(factor) if isinstance(factor, int | float) else None


def is_soft(layer: nn.Module) -> bool:
    """Whether the layer itself is deployed as another one."""
    return _has(layer, "hardened")


def has_soft_layers(model: nn.Module) -> bool:
    """Whether any layer of a network is."""
    return any(map(is_soft, model.modules()))


def _has(layer: nn.Module, method: str) -> bool:
    return callable(getattr(type(layer), method, None))  # of the class: a child may have any name
