"""Many networks of one architecture at once: their weights in a stack, one batched product for each layer.

``torch.func.vmap`` does the same for any network, and takes twice the time of small ones; it stands in for what is not
known here.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lipnet.layers.activations.gaussian import Gaussian
from lipnet.layers.activations.sorting import Abs, GroupSort, MaxMin
from lipnet.layers.dense.orthogonal import OrthogonalLinear
from lipnet.layers.shape import Scale

Step = Callable[[Tensor, Sequence[Tensor]], Tensor]  # ``(members, points, features)``, its parameters in stacks
_WITHOUT_PARAMETERS = (Abs, Gaussian, GroupSort, MaxMin, nn.Identity, nn.LeakyReLU, nn.ReLU, nn.Tanh, Scale)


def steps_of(network: nn.Module) -> list[tuple[int, Step]] | None:
    """The layers of a sequence, each with the number of its parameters; ``None`` where one is not known here."""
    if type(network) is not nn.Sequential:
        return None
    found: list[tuple[int, Step]] = []
    for layer in network:
        if type(layer) is nn.Linear:
            found.append((1 + (layer.bias is not None), _affine))
        elif type(layer) is OrthogonalLinear:
            found.append((1 + (layer.bias is not None), _orthogonal(layer)))
        elif type(layer) in _WITHOUT_PARAMETERS:
            found.append((0, _of_each(layer)))
        elif type(layer) is not nn.Flatten:  # inputs are vectors already
            return None
    return found


def evaluate(steps: list[tuple[int, Step]], parameters: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """Outputs ``(members, points, outputs)`` at inputs ``(points, coordinates)``, or one set of them a member."""
    values = inputs.expand(len(parameters[0]), *inputs.shape[-2:])
    for count, step in steps:
        values, parameters = step(values, parameters[:count]), parameters[count:]
    return values


def _affine(values: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    weight, *bias = parameters
    return torch.baddbmm(bias[0][:, None], values, weight.mT) if bias else torch.bmm(values, weight.mT)


def _orthogonal(layer: OrthogonalLinear) -> Step:
    def step(values: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        raw, *bias = parameters
        return _affine(values, [layer.orthogonalize(raw), *bias])

    return step


def _of_each(layer: nn.Module) -> Step:
    def step(values: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        flat: Tensor = layer(values.flatten(0, 1))
        return flat.unflatten(0, values.shape[:2])

    return step
