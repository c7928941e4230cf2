"""Optimizers and learning rates. A schedule is a function of the step alone: a resumed run needs no state of it."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from lipnet.layers.training import rate_factor
from lipnet.options.option import Named
from lipnet.options.registry import load
from lipnet.options.training import Cosine, Exponential, OneCycle, Optimizer


def parameter_groups(model: nn.Module, rates: dict[str, float]) -> list[dict[str, Any]]:
    """An optimizer's groups, each with what multiplies the learning rate as its ``factor``.

    The first is of all parameters but those of the child modules in ``rates``, which have one each, and of the layers
    that learn at a rate of their own, which are never decayed.
    """
    groups: dict[tuple[str, float | None], dict[str, Any]] = {("", None): {"params": [], "factor": 1.0}}
    groups |= {(name, None): {"params": [], "factor": factor} for name, factor in rates.items()}
    seen: set[nn.Parameter] = set()
    for name, layer in model.named_modules():
        child, own = name.partition(".")[0], rate_factor(layer)
        place = (child if child in rates else "", own)
        new = [parameter for parameter in layer.parameters(recurse=False) if parameter not in seen]
        if new and own is not None:
            groups.setdefault(place, {"params": [], "factor": rates.get(child, 1.0) * own, "weight_decay": 0.0})
        if new:
            groups[place]["params"] += new
            seen.update(new)
    return list(groups.values())


def build_optimizer(option: Optimizer, parameters: Iterable[Any]) -> torch.optim.Optimizer:
    """The option's optimizer."""
    optimizer: torch.optim.Optimizer = load("optimizer", option.name)(parameters, **option.own_keys())
    return optimizer


def adam(parameters: Iterable[Any], betas: list[float], **keys: Any) -> torch.optim.Optimizer:
    """Adam, fused: one pass over the parameters instead of ten."""
    return torch.optim.Adam(parameters, betas=(betas[0], betas[1]), fused=True, **keys)


def adamw(parameters: Iterable[Any], betas: list[float], **keys: Any) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay, fused too."""
    return torch.optim.AdamW(parameters, betas=(betas[0], betas[1]), fused=True, **keys)


def sgd(parameters: Iterable[Any], **keys: Any) -> torch.optim.Optimizer:
    """Fused as well."""
    return torch.optim.SGD(parameters, fused=True, **keys)


Schedule = Callable[[int], float]


def learning_rate(option: Named, peak: float, steps: int, steps_per_epoch: int) -> Schedule:
    """``step -> learning rate`` for a run of ``steps`` steps."""
    schedule: Schedule = load("scheduler", option.name)(option, peak, steps, steps_per_epoch)
    return schedule


def one_cycle(option: OneCycle, peak: float, steps: int, steps_per_epoch: int) -> Schedule:
    """Up along a line, then down along a cosine."""
    return lambda step: peak * _one_cycle(step / steps, option.warmup, option.final)


def cosine(option: Cosine, peak: float, steps: int, steps_per_epoch: int) -> Schedule:
    """Down along a cosine."""
    return lambda step: peak * _cosine(step / steps, option.final)


def exponential(option: Exponential, peak: float, steps: int, steps_per_epoch: int) -> Schedule:
    """Down by a factor an epoch; the paper's code counts epochs from 1."""
    return lambda step: peak * option.gamma ** (step // steps_per_epoch + 1)


def constant(option: Named, peak: float, steps: int, steps_per_epoch: int) -> Schedule:
    """The same rate at every step."""
    return lambda step: peak


def _one_cycle(progress: float, warmup: float, final: float) -> float:
    start = 0.04
    if progress < warmup:
        return start + (1 - start) * progress / warmup
    return _cosine((progress - warmup) / (1 - warmup), final)


def _cosine(progress: float, final: float) -> float:
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2
