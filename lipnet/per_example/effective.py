"""The parameters that gradients are taken of: ordinary ones, and the weights that constrained layers build.

A constrained layer's effective weight is a function of its free parameters alone, the same for every example. So what
is computed of the examples' gradients (norms, sums) is computed of those of effective weights, and pulled back to the
free parameters once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lipnet.layers.constrained import Constrained
from lipnet.layers.given import given_weights

Source = Constrained | nn.Parameter


def effective_parameters(model: nn.Module) -> dict[str, Source]:
    """What is learned, by name: ``"0.weight"`` is a constrained layer, which stands for its weight, or a parameter.

    A parameter or layer that a network has in several places stands under its first name.

    Raises:
        ValueError: a parameter that a constrained layer builds its weight from is another module's as well.
    """
    free = {id(parameter): layer for layer in _constrained(model) for parameter in layer.free_parameters()}
    found: dict[str, Source] = {}
    seen: set[int] = set()
    for prefix, module in model.named_modules():
        dot = prefix and f"{prefix}."
        if isinstance(module, Constrained) and any(part.requires_grad for part in module.free_parameters()):
            found[f"{dot}weight"] = module
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in free:
                if module not in free[id(parameter)].modules() and not isinstance(module, Constrained):
                    raise ValueError(f"{dot}{name} is a free parameter of a constrained layer as well")
            elif parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                found[f"{dot}{name}"] = parameter
    return found


def leaf(source: Source) -> Tensor:
    """The parameter, or the layer's weight, as it is in training if that is where the layer is, without its history."""
    if isinstance(source, nn.Parameter):
        return source
    with torch.enable_grad():
        return source.effective_weight().detach().requires_grad_()


def leaves(sources: Mapping[str, Source]) -> dict[str, Tensor]:
    """All of them, by name."""
    return {name: leaf(source) for name, source in sources.items()}


def given(sources: Mapping[str, Source], values: Mapping[str, Tensor]) -> dict[nn.Module, Tensor]:
    """The values of those that are weights of layers, by layer."""
    return {source: values[name] for name, source in sources.items() if isinstance(source, Constrained)}


def call_with(
    model: nn.Module,
    sources: Mapping[str, Source],
    values: Mapping[str, Tensor],
    arguments: tuple,
    keywords: Mapping[str, Any] | None = None,
) -> Any:
    """The network's output with these values in the place of its effective parameters."""
    own = {name: values[name] for name, source in sources.items() if isinstance(source, nn.Parameter)}
    with given_weights(given(sources, values)):
        return functional_call(model, own, arguments, dict(keywords or {}))


def pull_back(model: nn.Module, gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gradients of effective parameters, as those of the parameters of ``model.named_parameters()`` that learn.

    A constrained layer's is multiplied once by the transposed Jacobian of the map from its free parameters to its
    weight. That is linear: any sum of gradients is pulled back as its terms would be. Every parameter that learns has
    a gradient: zeros where ``gradients`` names none.

    Raises:
        ValueError: a name that is no effective parameter, or a layer whose weight carries no gradients as it is now
            (one that is trained by an estimate, in evaluation mode).
    """
    return _pulled_back(model, gradients, batched=False)


def pull_back_each(model: nn.Module, gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``pull_back`` of each example's gradients, which lie along axis 0."""
    return _pulled_back(model, gradients, batched=True)


def _pulled_back(model: nn.Module, gradients: Mapping[str, Tensor], batched: bool) -> dict[str, Tensor]:
    sources = effective_parameters(model)
    unknown = [name for name in gradients if name not in sources]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no effective parameters, which are {', '.join(sources)}")
    layers = {name: source for name, source in sources.items() if isinstance(source, Constrained)}
    free = _free(layers)
    of_layers = [(name, layer, gradients[name]) for name, layer in layers.items() if name in gradients]
    pulled = _of_free(of_layers, free, batched)
    count = (len(next(iter(gradients.values()))),) if batched and gradients else ()
    result = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            found = pulled.get(id(parameter), gradients.get(name))
            result[name] = parameter.new_zeros(count + parameter.shape) if found is None else found.to(parameter.dtype)
    return result


def check_differentiable(sources: Mapping[str, Source]) -> None:
    """Refuses layers whose weight carries no gradients as they are now."""
    for name, source in sources.items():
        if isinstance(source, Constrained):
            _differentiable(name, source)


def _differentiable(name: str, layer: Constrained) -> Tensor:
    with torch.enable_grad():
        weight = layer.effective_weight()
    if not weight.requires_grad:
        raise ValueError(
            f"{name} carries no gradients to the free parameters of {layer} in evaluation mode: its gradients are "
            "those of the effective weight alone (effective=True), or those of training mode"
        )
    return weight


def _constrained(model: nn.Module) -> list[Constrained]:
    return [module for module in model.modules() if isinstance(module, Constrained)]


def _free(layers: Mapping[str, Constrained]) -> list[Tensor]:
    """The parameters that the layers' weights are built from and that learn, each once."""
    free = {id(part): part for layer in layers.values() for part in layer.free_parameters() if part.requires_grad}
    return list(free.values())


def _of_free(
    layers: Sequence[tuple[str, Constrained, Tensor]], free: Sequence[Tensor], batched: bool
) -> dict[int, Tensor]:
    """The gradients of free parameters, by identity."""
    if not layers:
        return {}
    weights = [_differentiable(name, layer) for name, layer, _ in layers]
    values = [gradient.to(weight.dtype) for (*_, gradient), weight in zip(layers, weights, strict=True)]

    def products(parts: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        # Cached weights allow more than one backward pass.
        return torch.autograd.grad(weights, free, list(parts), allow_unused=True)

    if not batched:
        pulled = list(products(values))
    else:
        each = [products(parts) for parts in zip(*values, strict=True)]
        pulled = [
            None if not parts or parts[0] is None else torch.stack([part for part in parts if part is not None])
            for parts in (zip(*each, strict=True) if each else [()] * len(free))
        ]
    return {id(part): value for part, value in zip(free, pulled, strict=True) if value is not None}
