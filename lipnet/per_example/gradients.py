"""Every example's gradient of a loss, or its norm, by one of six strategies."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import grad, vmap

from lipnet.layers.constrained import Constrained
from lipnet.layers.given import given_weights
from lipnet.per_example.effective import (
    Source,
    call_with,
    check_differentiable,
    effective_parameters,
    given,
    leaves,
    pull_back_each,
)
from lipnet.per_example.kinds import check_separable
from lipnet.per_example.products import squares_of
from lipnet.per_example.recording import Tape, recording
from lipnet.per_example.unit import STRATEGIES as OF_UNITS

Loss = Callable[[Tensor, Tensor], Tensor]
STRATEGIES = ("auto", "naive", "multi", "crb", "unfold", "ghost")

_AT_ONCE = 2**24  # numbers of gradients that are formed at a time where only norms are asked for


def per_example_gradients(
    model: nn.Module, loss: Loss, inputs: Tensor, targets: Tensor, strategy: str = "auto", effective: bool = False
) -> dict[str, Tensor]:
    """The gradient of each example's loss with respect to each parameter that learns, ``(B, ...)`` by name.

    Args:
        model: as it is, in training or evaluation mode. No module may mix examples, as batch normalisation does.
        loss: ``loss(model(inputs), targets)`` has one value for each example, ``(B,)``.
        inputs, targets: of B examples along axis 0.
        strategy: ``naive``, a backward pass for each example; ``multi``, all at once by ``torch.func.vmap``; ``crb``,
            one grouped convolution a layer (Rochette, Manoel, Tramel 2019); ``unfold``, one product with the unfolded
            inputs; or ``auto``, the cheaper of these in each layer.
        effective: with respect to the weights that constrained layers build, by names as ``"0.weight"``, in place of
            the free parameters that they build them from, ``model.named_parameters()``.

    Raises:
        ValueError: no such strategy, no such shapes, or a module that mixes examples.
    """
    if strategy == "ghost":
        others = ", ".join(name for name in STRATEGIES if name != "ghost")
        raise ValueError(f"strategy ghost has norms without gradients; gradients are of {others}")
    sources = _checked(model, inputs, targets, strategy, effective)
    if strategy == "naive":
        return _naive(model, loss, inputs, targets, sources, effective)
    if strategy == "multi":
        found = _multi(model, loss, inputs, targets, sources)
    else:
        found = _taped(model, loss, inputs, targets, strategy).gradients()
    return found if effective else pull_back_each(model, found)


def per_example_norms(
    model: nn.Module,
    loss: Loss,
    inputs: Tensor,
    targets: Tensor,
    strategy: str = "auto",
    effective: bool = False,
    by_parameter: bool = False,
) -> Tensor | dict[str, Tensor]:
    """The norm of each example's gradient, ``(B,)``: of all parameters together, or ``by_parameter`` by name.

    Args:
        strategy: ``ghost`` besides those of gradients: from Gram matrices, without any gradient. The norms of free
            parameters need gradients; ``ghost`` has those of effective ones alone, if the two differ.
        others: as for ``per_example_gradients``.
    """
    sources = _checked(model, inputs, targets, strategy, effective)
    if not any(isinstance(source, Constrained) for source in sources.values()):
        effective = True  # the same
    if strategy == "ghost" and not effective:
        raise ValueError("strategy ghost has norms of effective weights alone: effective=True, or another strategy")
    if strategy in ("naive", "multi"):
        squares = _squares(per_example_gradients(model, loss, inputs, targets, strategy, effective))
    else:
        tape = _taped(model, loss, inputs, targets, strategy)
        squares = tape.squared_norms() if effective else _free_squares(tape, len(inputs))
    if by_parameter:
        return {name: square.sqrt() for name, square in squares.items()}
    return torch.stack(list(squares.values())).sum(0).sqrt() if squares else inputs.new_zeros(len(inputs))


def _checked(model: nn.Module, inputs: Tensor, targets: Tensor, strategy: str, effective: bool) -> dict[str, Source]:
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy is one of {', '.join(STRATEGIES)}, got {strategy!r}")
    if not inputs.dim() or not targets.dim() or len(inputs) != len(targets):
        shapes = f"{tuple(inputs.shape)} and {tuple(targets.shape)}"
        raise ValueError(f"inputs and targets need one row for each example, got shapes {shapes}")
    check_separable(model)
    sources = effective_parameters(model)
    if not effective:
        check_differentiable(sources)
    return sources


def _values(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    """The loss of each example, which it must be."""
    values = loss(outputs, targets)
    if values.shape != targets.shape[:1]:
        raise ValueError(
            f"loss(outputs, targets) has shape {tuple(values.shape)}, and {len(targets)} examples need "
            f"({len(targets)},), one value each (reduction='none'): of a sum or a mean no gradient is one example's own"
        )
    return values


def _taped(model: nn.Module, loss: Loss, inputs: Tensor, targets: Tensor, strategy: str) -> Tape:
    assert strategy in OF_UNITS
    with torch.enable_grad(), recording(model, strategy) as tape:
        total = _values(loss, model(inputs), targets).sum()
    tape.backward(total)
    return tape


def _naive(
    model: nn.Module, loss: Loss, inputs: Tensor, targets: Tensor, sources: Mapping[str, Source], effective: bool
) -> dict[str, Tensor]:
    """One example after the other, by autograd alone."""
    if effective:
        learned = leaves(sources)
    else:
        learned = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    found = {name: value.new_zeros(len(inputs), *value.shape) for name, value in learned.items()}
    with torch.enable_grad(), given_weights(given(sources, learned) if effective else {}):
        for number in range(len(inputs)):
            example = slice(number, number + 1)
            value = _values(loss, model(inputs[example]), targets[example]).sum()
            gradients = torch.autograd.grad(value, list(learned.values()), allow_unused=True)
            for name, gradient in zip(learned, gradients, strict=True):
                if gradient is not None:
                    found[name][number] = gradient
    return found


def _multi(
    model: nn.Module, loss: Loss, inputs: Tensor, targets: Tensor, sources: Mapping[str, Source]
) -> dict[str, Tensor]:
    """As if each example had a network of its own."""
    values = leaves(sources)
    if not len(inputs):
        return {name: value.new_zeros(0, *value.shape) for name, value in values.items()}

    def of_one(learned: dict[str, Tensor], example: Tensor, target: Tensor) -> Tensor:
        outputs = call_with(model, sources, learned, (example[None],))
        return _values(loss, outputs, target[None]).sum()

    detached = {name: value.detach() for name, value in values.items()}
    with torch.enable_grad():
        found: dict[str, Tensor] = vmap(grad(of_one), (None, 0, 0))(detached, inputs, targets)
    return {name: gradient.detach() for name, gradient in found.items()}


def _squares(gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: squares_of(gradient) for name, gradient in gradients.items()}


def _free_squares(tape: Tape, examples: int) -> dict[str, Tensor]:
    """Squared norms of free parameters' gradients, of as many examples at a time as memory is meant for."""
    numbers = sum(parameter.numel() for parameter in tape.model.parameters())
    step = max(1, _AT_ONCE // max(1, numbers))
    starts = range(0, max(1, examples), step)
    parts = [_squares(pull_back_each(tape.model, tape.gradients(slice(start, start + step)))) for start in starts]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
