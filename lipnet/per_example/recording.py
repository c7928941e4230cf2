"""Records a forward pass, so that one backward pass gives what all examples' gradients are computed from."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.utils._pytree import tree_flatten, tree_map

from lipnet.layers.given import given_weights
from lipnet.per_example.effective import effective_parameters, given, leaves
from lipnet.per_example.kinds import check_separable, units_of
from lipnet.per_example.products import squares_of
from lipnet.per_example.unit import STRATEGIES, Call, Unit, computed_in

_ALL = slice(None)


@contextmanager
def recording(model: nn.Module, strategy: str = "auto") -> Iterator["Tape"]:
    """Records what the network's modules with parameters are given within the context, in the calling thread::

        with recording(model) as tape:
            loss = losses(model(inputs), targets).sum()
        tape.backward(loss)
        factors = (1 / tape.norms()).clamp_max(1.0)
        gradients = pull_back(model, tape.weighted_sums(factors))

    Meanwhile constrained layers compute with their effective weights as they are, without the history of how these are
    built; gradients are those of effective weights, until ``pull_back``. Nothing else of the network changes, and
    nothing is left of it behind the context.

    Args:
        model: called once or more; as it is, in training or evaluation mode.
        strategy: how a layer's gradients are computed: ``crb``, ``unfold``, ``ghost`` or, by the count of operations,
            ``auto``.

    Raises:
        ValueError: a module mixes examples, or is given what has no axis of examples; or there is no such strategy.
        TypeError: a module is compiled.
        RuntimeError: gradients are switched off.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy is one of {', '.join(STRATEGIES)}, got {strategy!r}")
    tape = Tape(model, strategy)
    with given_weights(given(tape._sources, tape._values)), tape._hooks():
        yield tape


class Tape:
    """What was recorded of one or more forward passes; ``recording`` makes it.

    Of all methods but ``backward`` the examples are those of the batch, B, and the gradients those of the scalar that
    ``backward`` was given: of the terms of each example alone. Names are those of ``effective_parameters``. A module
    that was called more than once has the sum of its gradients.
    """

    def __init__(self, model: nn.Module, strategy: str) -> None:
        _check_recordable(model)
        self.model = model
        self.examples: int | None = None
        self._sources = effective_parameters(model)
        self._values = leaves(self._sources)
        self._units = units_of(model, self._sources, self._values, strategy)
        self._thread, self._depth, self._listens, self._ran = threading.get_ident(), 0, False, False
        self._entered: list[tuple[Tensor, int]] = []

    def backward(self, loss: Tensor) -> None:
        """One backward pass, to the outputs of the recorded modules and no further.

        Args:
            loss: one number, a sum of terms of one example each, times a constant.

        Raises:
            ValueError: it is not one number, or depends on parameters otherwise than by the recorded calls.
        """
        if loss.numel() != 1:
            raise ValueError(f"backward takes one number, the sum over the examples, got {tuple(loss.shape)}")
        calls = self._calls()
        if not calls or self.examples is None:
            raise ValueError("no module that learns has been called while this was recorded")
        self._check_accounted(loss)
        edges = [edge for call in calls for edge in call.edges if edge is not None]
        self._listens, listens = False, self._listens
        try:
            gradients = iter(torch.autograd.grad(loss.sum(), edges, allow_unused=True) if edges else ())
        finally:
            self._listens = listens
        for call in calls:
            call.gradients, call.kept = [None if edge is None else next(gradients) for edge in call.edges], None
        self._ran = True

    def norms(self) -> Tensor:
        """The norm of each example's gradient, ``(B,)``: of all parameters together."""
        return torch.stack([*self.squared_norms().values()]).sum(0).sqrt()

    def squared_norms(self) -> dict[str, Tensor]:
        """The squared norm of each example's gradient of each parameter, ``(B,)`` by name."""
        found = {name: value.new_zeros(self._batch(), dtype=computed_in(value)) for name, value in self._values.items()}
        with self._computing():
            for unit, call in self._alone():
                if unit.explicit(call) and unit.is_small(call, self._batch()):
                    call.kept = self._formed(unit, call, _ALL)
                    for slot, gradient in call.kept.items():
                        found[unit.slots[slot]] = squares_of(gradient)
                    continue
                for part in self._chunks(unit.chunk(call, unit.explicit(call))):
                    for slot, squares in unit.squares(call, part).items():
                        found[unit.slots[slot]][part] = squares
            for part in self._chunks(self._chunk_of_joined()):
                for name, gradient in self._joined(part).items():
                    found[name][part] = squares_of(gradient)
        return found

    def weighted_sums(self, factors: Tensor) -> dict[str, Tensor]:
        """The sum of the examples' gradients, each times its factor, by name; no example's own is formed.

        Args:
            factors: ``(B,)``.
        """
        if factors.shape != (self._batch(),):
            raise ValueError(f"{self._batch()} examples need as many factors, got {tuple(factors.shape)}")
        found: dict[str, Tensor] = {}
        with self._computing():
            for unit in self._units:
                for call in self._reached(unit):
                    if call.kept is None:
                        _add(found, unit, unit.weighted_sums(call, factors))
                    else:
                        kept = call.kept.items()
                        _add(found, unit, {slot: torch.tensordot(factors.to(part), part, 1) for slot, part in kept})
        return {name: found[name] if name in found else torch.zeros_like(value) for name, value in self._values.items()}

    def gradients(self, examples: slice = _ALL) -> dict[str, Tensor]:
        """Each example's gradient, ``(b, ...)`` by name.

        Args:
            examples: which of the batch.
        """
        count = len(range(*examples.indices(self._batch())))
        found: dict[str, Tensor] = {}
        with self._computing():
            if count:
                for unit in self._units:
                    for call in self._reached(unit):
                        _add(found, unit, self._formed(unit, call, examples))
        for name, value in self._values.items():
            if name not in found:
                found[name] = value.new_zeros(count, *value.shape)
        return {name: found[name] for name in self._values}

    def _formed(self, unit: Unit, call: Call, examples: slice) -> dict[str, Tensor]:
        """A call's gradients, of as many examples at a time as memory for what they are made from is meant for."""
        if call.kept is not None:
            return {slot: gradient[examples] for slot, gradient in call.kept.items()}
        start, stop, _ = examples.indices(self._batch())
        step = unit.together(call)
        parts = [unit.gradients(call, slice(first, min(first + step, stop))) for first in range(start, stop, step)]
        return parts[0] if len(parts) == 1 else {slot: torch.cat([part[slot] for part in parts]) for slot in parts[0]}

    def _alone(self) -> Iterator[tuple[Unit, Call]]:
        """The calls that alone make the gradients of their parameters."""
        joined = {id(unit) for unit in self._joined_units()}
        for unit in self._units:
            if id(unit) not in joined:
                for call in self._reached(unit):
                    yield unit, call

    def _joined_units(self) -> list[Unit]:
        """The units that were called more than once, or that share a parameter with another one."""
        counts: dict[str, int] = {}
        for unit in self._units:
            for name in set(unit.slots.values()):
                counts[name] = counts.get(name, 0) + len(self._reached(unit))
        return [unit for unit in self._units if any(counts[name] > 1 for name in unit.slots.values())]

    def _joined(self, examples: slice) -> dict[str, Tensor]:
        """Their gradients: the norm of a sum needs the sum."""
        found: dict[str, Tensor] = {}
        for unit in self._joined_units():
            for call in self._reached(unit):
                _add(found, unit, unit.gradients(call, examples))
        return found

    def _chunk_of_joined(self) -> int:
        return min((unit.chunk(call, True) for unit in self._joined_units() for call in self._reached(unit)), default=1)

    def _chunks(self, size: int) -> Iterator[slice]:
        for start in range(0, self._batch(), size):
            yield slice(start, start + size)

    def _calls(self) -> list[Call]:
        return [call for unit in self._units for call in unit.calls]

    def _reached(self, unit: Unit) -> list[Call]:
        """The calls that the loss depends on; of no examples, none."""
        return [call for call in unit.calls if call.reached()] if self._batch() else []

    def _batch(self) -> int:
        if not self._ran or self.examples is None:
            raise RuntimeError("no gradients before backward(loss)")
        return self.examples

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Without gradients and autocast, and with nothing recorded; refuses what has been changed since."""
        self._batch()
        for unit in self._units:
            for call in self._reached(unit):
                for tensor, version in call.versions:
                    if tensor._version != version:
                        raise RuntimeError(f"what {unit} was given, or a parameter of it, has been changed in place")
        device = next((value.device.type for value in self._values.values()), "cpu")
        self._listens, listens = False, self._listens
        try:
            with torch.no_grad(), torch.autocast(device, enabled=False):
                yield
        finally:
            self._listens = listens

    @contextmanager
    def _hooks(self) -> Iterator[None]:
        handles = [self.model.register_forward_pre_hook(self._see_batch, with_kwargs=True, prepend=True)]
        try:
            for unit in self._units:
                handles.append(unit.module.register_forward_pre_hook(self._enter, with_kwargs=True))
                leave = self._leave_of(unit)
                handles.append(
                    unit.module.register_forward_hook(leave, prepend=True, with_kwargs=True, always_call=True)
                )
            self._listens = True
            yield
        finally:
            self._listens = False
            for handle in handles:
                handle.remove()

    def _hears(self) -> bool:
        return self._listens and threading.get_ident() == self._thread

    def _see_batch(self, module: nn.Module, arguments: tuple, keywords: Mapping[str, Any]) -> None:
        tensors = _tensors((arguments, dict(keywords)))
        if self._hears() and not self._depth and tensors and tensors[0].dim():
            self._count(len(tensors[0]), "the network")

    def _count(self, examples: int, name: str) -> None:
        if self.examples is None:
            self.examples = examples
        if self.examples != examples:
            raise ValueError(
                f"{name} has {examples} rows along axis 0 for {self.examples} examples: every module with parameters "
                "needs one row for each example of the batch"
            )

    def _enter(self, module: nn.Module, arguments: tuple, keywords: Mapping[str, Any]) -> None:
        if self._hears():
            self._depth += 1
            if self._depth == 1:
                self._entered = _versions(_tensors((arguments, dict(keywords))))

    def _leave_of(self, unit: Unit) -> Any:
        def leave(module: nn.Module, arguments: tuple, keywords: Mapping[str, Any], output: Any) -> Any:
            if not self._hears():
                return None
            self._depth -= 1
            if self._depth or output is None:  # within another unit, or the module has raised an exception
                return None
            return self._record(unit, arguments, keywords, output)

        return leave

    def _record(self, unit: Unit, arguments: tuple, keywords: Mapping[str, Any], output: Any) -> Any:
        tensors = _tensors((arguments, dict(keywords)))
        if not torch.is_grad_enabled():
            raise RuntimeError(f"{unit} was called without gradients, in which its own would be missing")
        for tensor in tensors or [torch.empty(())]:
            if not tensor.dim():
                raise ValueError(f"{unit} was given what has no axis of examples")
            self._count(len(tensor), str(unit))
        unit.check(arguments, keywords)
        if _versions([tensor for tensor, _ in self._entered]) != self._entered:
            raise RuntimeError(f"{unit} changes its input in place")
        # An operation in place on a view would replace the node that the gradient is caught at.
        output = tree_map(lambda part: part.clone() if isinstance(part, Tensor) and part._is_view() else part, output)
        outputs = [part for part in _tensors(output) if part.is_floating_point()]
        for part in outputs:
            self._count(part.shape[0] if part.dim() else 1, f"the output of {unit}")
        behind = [get_gradient_edge(tensor).node for tensor in tensors if tensor.requires_grad]
        own, named = tree_map(_detached, (arguments, dict(keywords)))
        watched = _tensors((own, named)) + [self._values[name] for name in unit.slots.values()]
        edges = [get_gradient_edge(part) if part.requires_grad else None for part in outputs]
        shapes = [(part.shape, part.dtype) for part in outputs]
        unit.calls.append(Call(own, named, edges, shapes, _versions(watched), behind))
        return output

    def _check_accounted(self, loss: Tensor) -> None:
        """Refuses a loss that depends on parameters otherwise: those gradients would be missing."""
        named = {id(parameter): name for name, parameter in self.model.named_parameters() if parameter.requires_grad}
        named |= {id(value): name for name, value in self._values.items()}
        calls = self._calls()
        seen = {edge.node for call in calls for edge in call.edges if edge is not None}
        waiting = [node for node in (loss.grad_fn, *(part for call in calls for part in call.behind)) if node]
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            if id(getattr(node, "variable", None)) in named:
                raise ValueError(
                    f"{named[id(node.variable)]} is used outside of the module that it belongs to, or in the loss "
                    "itself: such gradients are no example's own"
                )
            waiting.extend(before for before, _ in node.next_functions if before is not None)


def _check_recordable(model: nn.Module) -> None:
    if not torch.is_grad_enabled():
        raise RuntimeError("gradients of examples need gradients, which are switched off here")
    for name, module in model.named_modules():
        compiled = isinstance(module, torch._dynamo.OptimizedModule) or module._compiled_call_impl is not None
        if compiled or isinstance(module, torch.jit.ScriptModule):
            raise TypeError(f"{name or 'the network'} is compiled; gradients of examples need the module itself")
    check_separable(model)


def _add(totals: dict[str, Tensor], unit: Unit, parts: Mapping[str, Tensor]) -> None:
    """Adds up by name; the first is taken as it is, since memory is what large layers cost."""
    for slot, part in parts.items():
        name = unit.slots[slot]
        totals[name] = totals[name] + part if name in totals else part


def _tensors(tree: Any) -> list[Tensor]:
    return [part for part in tree_flatten(tree)[0] if isinstance(part, Tensor)]


def _detached(part: Any) -> Any:
    return part.detach() if isinstance(part, Tensor) else part


def _versions(tensors: list[Tensor]) -> list[tuple[Tensor, int]]:
    return [(tensor, tensor._version) for tensor in tensors if not tensor.is_inference()]
