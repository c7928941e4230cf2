"""Optimizers and learning rates. A schedule is a function of the step alone: a resumed run needs no state of it."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from lipnet.options.option import Named
from lipnet.options.training import SGD, Adam, AdamW, Cosine, Exponential, OneCycle, Optimizer, RMSprop


def parameter_groups(model: nn.Module, rates: dict[str, float]) -> list[dict[str, Any]]:
    """An optimizer's groups: one for each child module in ``rates``, with that ``factor``, after one for the rest."""
    groups: list[dict[str, Any]] = [{"params": [], "factor": 1.0}]
    groups += [{"params": list(model.get_submodule(name).parameters()), "factor": rates[name]} for name in rates]
    groups[0]["params"] = [
        parameter for name, parameter in model.named_parameters() if name.partition(".")[0] not in rates
    ]
    return groups


def build_optimizer(option: Optimizer, parameters: Iterable[Any]) -> torch.optim.Optimizer:
    """The option's torch optimizer."""
    kwargs: dict = {"lr": option.lr, "weight_decay": option.weight_decay}
    if isinstance(option, Adam):  # fused: one pass over the parameters instead of ten
        kind = torch.optim.AdamW if isinstance(option, AdamW) else torch.optim.Adam
        return kind(parameters, betas=(option.betas[0], option.betas[1]), fused=True, **kwargs)
    if isinstance(option, SGD):
        return torch.optim.SGD(parameters, momentum=option.momentum, fused=True, **kwargs)
    assert isinstance(option, RMSprop)
    return torch.optim.RMSprop(parameters, alpha=option.alpha, **kwargs)


def learning_rate(option: Named, peak: float, steps: int, steps_per_epoch: int) -> Callable[[int], float]:
    """``step -> learning rate`` for a run of ``steps`` steps."""
    if isinstance(option, OneCycle):
        return lambda step: peak * _one_cycle(step / steps, option.warmup, option.final)
    if isinstance(option, Cosine):
        return lambda step: peak * _cosine(step / steps, option.final)
    if isinstance(option, Exponential):  # the paper's code counts epochs from 1
        return lambda step: peak * option.gamma ** (step // steps_per_epoch + 1)
    return lambda step: peak


def _one_cycle(progress: float, warmup: float, final: float) -> float:
    start = 0.04
    if progress < warmup:
        return start + (1 - start) * progress / warmup
    return _cosine((progress - warmup) / (1 - warmup), final)


def _cosine(progress: float, final: float) -> float:
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2
