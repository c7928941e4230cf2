"""Whether an example's gradient is its own: what is promised of private training rests on it."""

import copy

import torch
from torch import nn

from lipnet.errors import UserError, reason_of
from lipnet.per_example import recording


def refuse_mixing(model: nn.Module, name: str, shape: tuple[int, ...]) -> None:
    """Tries a copy on random inputs, as it is when it trains: code of somebody's own may do anything.

    Raises:
        UserError: examples change each other's outputs, gradients of single examples cannot be had, or a batch without
            examples, which sampling draws now and then, makes it fail.
    """
    tried = copy.deepcopy(model).train()
    with torch.random.fork_rng(devices=[]):  # what a run draws does not depend on what was tried
        inputs = torch.rand(2, *shape)
        try:
            with recording(tried) as tape:
                outputs = tried(inputs)
            tape.backward(outputs.sum())
            tape.norms()
        except (ValueError, TypeError, RuntimeError) as error:
            reason = reason_of(error, 300)
            raise UserError(f"model={name}: task=private needs each example's own gradient ({reason}).") from error
        if _reaches_others(tried, inputs):
            raise UserError(
                f"model={name}: an example changes the outputs of others in its batch, so that no gradient is one "
                "example's own, as task=private needs; let it treat each by itself."
            )
        try:
            tried(inputs[:0])
        except (ValueError, TypeError, RuntimeError, IndexError, ZeroDivisionError) as error:
            reason = reason_of(error)
            raise UserError(
                f"model={name}: fails on a batch without examples, which task=private draws now and then ({reason}); "
                "flatten(1) takes one where reshape(len(x), -1) does not."
            ) from error


def _reaches_others(model: nn.Module, inputs: torch.Tensor) -> bool:
    """Whether the first output depends on the second input."""
    inputs = inputs.clone().requires_grad_()
    first = model(inputs.clone())[0]  # of a copy, which a layer may change in place
    weighted = (torch.rand_like(first) * first).sum()  # by weights, or of a softmax the sum would be constant
    (gradient,) = torch.autograd.grad(weighted, inputs, allow_unused=True, materialize_grads=True)
    return bool(gradient[1].any())
