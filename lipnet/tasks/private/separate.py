"""Whether an example's gradient is its own: what is promised of private training rests on it."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.errors import UserError, reason_of
from lipnet.layers.training import diagnostics, regularized
from lipnet.per_example import recording


def refuse_mixing(model: nn.Module, name: str, shape: tuple[int, ...]) -> None:
    """Tries copies on random inputs, as they are when they train: code of somebody's own may do anything.

    Raises:
        UserError: examples change each other's outputs, or what the network keeps, adds to the loss or reports; it
            draws numbers; gradients of single examples cannot be had; or a batch without examples, which sampling
            draws now and then, makes it fail.
    """
    tried = copy.deepcopy(model).train()
    with torch.random.fork_rng(devices=[]):  # what a run draws does not depend on what was tried
        inputs = torch.rand(3, *shape)
        try:
            with recording(tried) as tape:
                outputs = tried(inputs[:2].clone())
            tape.backward(outputs.sum())
            tape.norms()
        except (ValueError, TypeError, RuntimeError) as error:
            reason = reason_of(error, 300)
            raise UserError(f"model={name}: task=private needs each example's own gradient ({reason}).") from error
        problem = _seen_in_others(model, tried, inputs)
        if problem is not None:
            raise UserError(f"model={name}: {problem}, as task=private needs; let it treat each by itself.")
        try:
            tried(inputs[:0])
        except (ValueError, TypeError, RuntimeError, IndexError, ZeroDivisionError) as error:
            reason = reason_of(error)
            raise UserError(
                f"model={name}: fails on a batch without examples, which task=private draws now and then ({reason}); "
                "flatten(1) takes one where reshape(len(x), -1) does not."
            ) from error


def _seen_in_others(model: nn.Module, tried: nn.Module, inputs: Tensor) -> str | None:
    """What is wrong, from three examples: one beside each of the others, in the first place and in the second."""
    mixed = "an example changes the outputs of others in its batch, so that no gradient is one example's own"
    if _reaches_others(tried, inputs[:2]):
        return mixed
    for place, batches in ((0, ([0, 1], [0, 2])), (1, ([1, 0], [2, 0]))):
        (outputs, kept), (others, kept_of_others) = (_ran(model, inputs[rows]) for rows in batches)
        if not torch.allclose(outputs[place], others[place], rtol=1e-4, atol=1e-6):
            return mixed
        differing = [key for key, value in kept.items() if not torch.equal(value, kept_of_others[key])]
        if differing:
            return f"{', '.join(differing[:3])}: made of the examples of a batch, past what is clipped"
    drawn = _ran(model, inputs[:2], seed=1)[0]
    if not torch.equal(drawn, _ran(model, inputs[:2])[0]):
        return "it draws numbers, by a seed that is public, so that an example that is left out changes those of others"
    return None


@torch.no_grad()
def _ran(model: nn.Module, inputs: Tensor, seed: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
    """The outputs of a copy, and all that it keeps, adds to the loss, and reports after that."""
    torch.manual_seed(seed)
    copied = copy.deepcopy(model).train()
    outputs = copied(inputs.clone())  # which a layer may change in place
    kept = dict(copied.named_buffers())
    kept |= {f"regularizer {number}": layer.regularizer() for number, layer in enumerate(regularized(copied))}
    kept |= {key: torch.tensor(value) for key, value in diagnostics(copied).items()}
    return outputs, kept


def _reaches_others(model: nn.Module, inputs: Tensor) -> bool:
    """Whether the first output depends on the second input."""
    inputs = inputs.clone().requires_grad_()
    first = model(inputs.clone())[0]
    weighted = (torch.rand_like(first) * first).sum()  # by weights, or of a softmax the sum would be constant
    (gradient,) = torch.autograd.grad(weighted, inputs, allow_unused=True, materialize_grads=True)
    return bool(gradient[1].any())


def refuse_mixing_loss(losses: Callable[..., Any], name: str, classes: int, epsilon: float | None) -> None:
    """Tries a loss of three examples, two of which change: a plugin's may compare them, and not say so.

    Raises:
        UserError: then the first one's loss has changed.
    """
    with torch.random.fork_rng(devices=[]):
        logits, labels = torch.randn(2, 3, classes), torch.randint(classes, (2, 3))
        logits[1, 0], labels[1, 0] = logits[0, 0], labels[0, 0]
        first, second = (losses(None, each, own, epsilon) for each, own in zip(logits, labels, strict=True))
    if tuple(first.shape) != (3,) or not torch.allclose(first[0], second[0], rtol=1e-4, atol=1e-6):
        raise UserError(
            f"loss={name}: compares the examples of a batch, so that none has a gradient of its own, as task=private "
            "needs; register it with separate=False."
        )
