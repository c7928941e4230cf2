"""A bank of networks, one for each memory and Lipschitz constant; those of one memory are stacked and run as one."""

import functools
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lipnet.certify import lipschitz_bound
from lipnet.certify.norm import EPS, norm_bound, up
from lipnet.errors import UserError
from lipnet.layers.orthogonal import ORTHOGONALIZERS, Orthogonalizer, apply_map, bjorck, start_orthogonal
from lipnet.models.choices import activation
from lipnet.options.config import Config
from lipnet.options.models import Experts as ExpertsModel
from lipnet.options.option import of_kind

Weights = list[tuple[Tensor, Tensor]]  # of each layer, (networks, outputs, inputs) and (networks, 1, outputs)


class Expert(NamedTuple):
    """One network of a bank.

    Attributes:
        memory: how many of the last observations it sees.
        budget: its Lipschitz constant; of unconstrained networks, what their penalty allows.
    """

    memory: int
    budget: float


class StackedLinear(nn.Module):
    """So many layers ``y = W x + b`` side by side, each with its own weight; run by one batched product.

    Args:
        count: of layers.
        orthogonalize: the map onto orthonormal rows or columns; ``None``: the weights are free.
    """

    def __init__(self, count: int, inputs: int, outputs: int, orthogonalize: Orthogonalizer | None) -> None:
        super().__init__()
        self.orthogonalize = orthogonalize
        self.raw_weight = nn.Parameter(torch.empty(count, outputs, inputs))
        self.bias = nn.Parameter(torch.empty(count, 1, outputs))
        bound = 1 / math.sqrt(inputs)
        nn.init.uniform_(self.bias, -bound, bound)
        if orthogonalize is None:
            nn.init.uniform_(self.raw_weight, -bound, bound)  # as nn.Linear draws it
        else:
            for matrix in self.raw_weight.data:
                start_orthogonal(matrix)

    @property
    def weight(self) -> Tensor:
        """The effective weights, ``(count, outputs, inputs)``."""
        return self.raw_weight if self.orthogonalize is None else apply_map(self.orthogonalize, self.raw_weight)


class StackedNetwork(nn.Module):
    """The networks of one memory: the same layers, each with its own weights and its own factor after them."""

    factors: Tensor

    def __init__(
        self,
        widths: Sequence[int],
        factors: Sequence[float],
        orthogonalize: Orthogonalizer | None,
        make_activation: Callable[[int], nn.Module],
    ) -> None:
        super().__init__()
        count = len(factors)
        self.layers = nn.ModuleList(StackedLinear(count, *sizes, orthogonalize) for sizes in pairwise(widths))
        self.activations = nn.ModuleList(make_activation(width) for width in widths[1:-1])
        self.register_buffer("factors", torch.tensor(factors)[:, None, None])

    def weights(self) -> Weights:
        """The effective weights as they are now."""
        layers = [of_kind(layer, StackedLinear) for layer in self.layers]
        return [(layer.weight, layer.bias) for layer in layers]

    def forward(self, inputs: Tensor, weights: Weights) -> Tensor:
        """``(networks, batch, features) -> (networks, batch, outputs)``."""
        values = inputs
        for place, (weight, bias) in enumerate(weights):
            values = torch.baddbmm(bias, values, weight.mT)
            if place < len(self.activations):
                values = self.activations[place](values.flatten(0, 1)).view_as(values)
        return self.factors * values


class Bounds(NamedTuple):
    """What is proved of each expert, ``(experts,)`` each, in the order of the bank.

    Attributes:
        lipschitz: an upper bound on the Lipschitz constant of the function in exact arithmetic.
        relative, absolute: what is computed differs from it by at most ``relative * |x| + absolute``.
    """

    lipschitz: Tensor
    relative: Tensor
    absolute: Tensor


class Experts(nn.Module):
    """A network for each memory and each budget, in float64; those of one memory are one ``StackedNetwork``.

    Args:
        dimension: numbers in an observation; a prediction has as many.
        orthogonalize: as of ``StackedLinear``. Where it is ``None`` no budget is a factor.
        make_activation: ``width -> module``, without parameters.

    Raises:
        UserError: activations learn something, or have no proved Lipschitz constant.
    """

    def __init__(
        self,
        memories: Sequence[int],
        budgets: Sequence[float],
        hidden: Sequence[int],
        dimension: int,
        orthogonalize: Orthogonalizer | None,
        make_activation: Callable[[int], nn.Module],
    ) -> None:
        super().__init__()
        self.memories, self.dimension, self.constrained = list(memories), dimension, orthogonalize is not None
        self.list = [Expert(memory, budget) for memory in memories for budget in budgets]
        factors = list(budgets) if self.constrained else [1.0] * len(budgets)
        self.banks = nn.ModuleList(
            StackedNetwork([memory * dimension, *hidden, dimension], factors, orthogonalize, make_activation)
            for memory in memories
        )
        self.double()
        self._slopes = [_slope(make_activation(width), width) for width in hidden]

    def weights(self) -> list[Weights]:
        """The effective weights of each bank as they are now."""
        return [of_kind(bank, StackedNetwork).weights() for bank in self.banks]

    def forward(self, contexts: Tensor, weights: list[Weights]) -> Tensor:
        """Predictions ``(experts, batch, dimension)``.

        Args:
            contexts: last observations, the latest last, ``(batch, largest memory, dimension)``; or those of each
                expert, with the experts as a first axis.
        """
        own = contexts.expand(len(self.list), *contexts.shape[-3:]).tensor_split(len(self.banks))
        outputs = []
        for memory, part, bank, of_bank in zip(self.memories, own, self.banks, weights, strict=True):
            outputs.append(bank(part[:, :, -memory:].flatten(2), of_bank))
        return torch.cat(outputs)

    @torch.no_grad()
    def bounds(self, weights: list[Weights]) -> Bounds:
        """Upper bounds that hold in floating point, with the rounding of a forward pass."""
        found = []
        for bank, of_bank in zip(self.banks, weights, strict=True):
            found.append(self._bounds_of(of_kind(bank, StackedNetwork).factors.flatten(), of_bank))
        return Bounds(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def _bounds_of(self, factors: Tensor, weights: Weights) -> tuple[Tensor, Tensor, Tensor]:
        """Norms of values and of their errors, layer by layer, as coefficients of ``|x|`` and constants.

        An inner product of n terms and a sum round by at most ``(n + 2) eps`` of the sum of the absolute values, whose
        norm is at most ``|W|_F |h| + |b|``.
        """
        ones, zeros = torch.ones_like(factors), torch.zeros_like(factors)
        size, size_constant, error, error_constant = ones, zeros, zeros, zeros
        for place, (weight, bias) in enumerate(weights):
            norm = self._norms(weight)
            frobenius, offset = torch.linalg.matrix_norm(weight), torch.linalg.vector_norm(bias.flatten(1), dim=1)
            rounding = (weight.shape[-1] + 4) * EPS
            error = norm * error + rounding * frobenius * (size + error)
            error_constant = norm * error_constant + rounding * (frobenius * (size_constant + error_constant) + offset)
            size, size_constant = norm * size, norm * size_constant + offset
            if place < len(self._slopes):
                slope, rest = self._slopes[place]
                error, error_constant = slope * error, slope * error_constant + slope * 4 * EPS * (size_constant + rest)
                error = error + slope * 4 * EPS * size
                size, size_constant = slope * size, slope * size_constant + rest
        slack = 1 + 64 * len(weights) * EPS  # of the few sums and products above
        return (
            factors * size * slack,
            factors * (error + EPS * size) * slack,
            factors * (error_constant + EPS * size_constant) * slack,
        )

    def _norms(self, weight: Tensor) -> Tensor:
        """Upper bounds on spectral norms; one for all where all are orthonormal."""
        if self.constrained:
            return weight.new_full((len(weight),), norm_bound(weight))
        return weight.new_tensor([norm_bound(matrix) for matrix in weight])


def experts(config: Config, dimension: int) -> Experts:
    """The bank that a configuration asks for."""
    option = of_kind(config.model, ExpertsModel)
    return Experts(
        option.memories,
        option.budgets,
        option.hidden,
        dimension,
        _orthogonalizer(config),
        functools.partial(activation, config),
    )


def _orthogonalizer(config: Config) -> Orthogonalizer | None:
    """The map of ``linear``; ``None`` for plain layers."""
    if config.linear.name == "plain":
        return None
    keys = config.linear.own_keys()
    return functools.partial(bjorck, **keys) if config.linear.name == "bjorck" else ORTHOGONALIZERS["cholesky"]


def _slope(layer: nn.Module, width: int) -> tuple[float, float]:
    """An activation's Lipschitz constant, and the norm of what it makes of 0."""
    name = type(layer).__name__
    if next(layer.parameters(), None) is not None:
        raise UserError(f"activation: {name} learns, and the networks of a bank share it; choose one that does not.")
    layer = layer.double().eval()
    slope = lipschitz_bound(layer, (width,))
    with torch.no_grad():
        return slope, up(float(layer(torch.zeros(1, width, dtype=torch.float64)).norm()))
