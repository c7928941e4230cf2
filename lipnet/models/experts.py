"""A bank of networks, one for each memory and Lipschitz constant, stacked and run as one."""

import functools
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lipnet.certify import lipschitz_bound
from lipnet.certify.norm import EPS, norm_bound, small_gram, up
from lipnet.errors import UserError
from lipnet.layers.orthogonal import ORTHOGONALIZERS, Orthogonalizer, apply_map, bjorck, start_orthogonal
from lipnet.models.choices import activation
from lipnet.options.config import Config
from lipnet.options.models import Experts as ExpertsModel
from lipnet.options.option import of_kind

Layer = tuple[Tensor, Tensor]  # weights (networks, outputs, inputs) and biases (networks, 1, outputs)


class Weights(NamedTuple):
    """Effective weights of a bank: of the first layers of each memory, and of the layers of all networks after it."""

    first: list[Layer]
    rest: list[Layer]


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
    """A network for each memory and each budget, in float64.

    The first layers of one memory are stacked, which see as many observations; all layers after them are one stack.

    Args:
        dimension: numbers in an observation; a prediction has as many.
        orthogonalize: as of ``StackedLinear``. Where it is ``None`` no budget is a factor.
        make_activation: ``width -> module``, without parameters.

    Raises:
        UserError: activations learn something, or have no proved Lipschitz constant.
    """

    factors: Tensor

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
        widths = [*hidden, dimension]
        self.first = nn.ModuleList(
            StackedLinear(len(budgets), memory * dimension, widths[0], orthogonalize) for memory in memories
        )
        self.rest = nn.ModuleList(StackedLinear(len(self.list), *sizes, orthogonalize) for sizes in pairwise(widths))
        self.activations = nn.ModuleList(make_activation(width) for width in hidden)
        factors = [expert.budget if self.constrained else 1.0 for expert in self.list]
        self.register_buffer("factors", torch.tensor(factors))
        self.double()
        self._slopes = [_slope(make_activation(width), width) for width in hidden]

    def weights(self) -> Weights:
        """The effective weights as they are now."""
        return Weights(*(list(map(_layer, layers)) for layers in (self.first, self.rest)))

    def forward(self, contexts: Tensor, weights: Weights) -> Tensor:
        """Predictions ``(experts, batch, dimension)``.

        Args:
            contexts: last observations, the latest last, ``(batch, largest memory, dimension)``; or those of each
                expert, with the experts as a first axis.
        """
        own = contexts.expand(len(self.list), *contexts.shape[-3:]).tensor_split(len(self.memories))
        begun = []
        for memory, part, (weight, bias) in zip(self.memories, own, weights.first, strict=True):
            begun.append(torch.baddbmm(bias, part[:, :, -memory:].flatten(2), weight.mT))
        values = torch.cat(begun)
        for activate, (weight, bias) in zip(self.activations, weights.rest, strict=True):
            values = activate(values.flatten(0, 1)).view_as(values)
            values = torch.baddbmm(bias, values, weight.mT)
        return self.factors[:, None, None] * values

    @torch.no_grad()
    def bounds(self, weights: Weights) -> Bounds:
        """Upper bounds that hold in floating point, with the rounding of a forward pass.

        Norms of values and of their errors, layer by layer, as coefficients of ``|x|`` and constants. An inner product
        of n terms and a sum round by at most ``(n + 2) eps`` of the sum of the absolute values, whose norm is at most
        ``|W|_F |h| + |b|``.
        """
        of_first = [self._sizes(layer) for layer in weights.first]
        layers = [[torch.cat(parts) for parts in zip(*of_first, strict=True)], *map(self._sizes, weights.rest)]
        size, rest = torch.ones_like(self.factors), torch.zeros_like(self.factors)
        error, error_rest = torch.zeros_like(self.factors), torch.zeros_like(self.factors)
        for place, (norm, frobenius, offset, rounding) in enumerate(layers):
            error = norm * error + rounding * frobenius * (size + error)
            error_rest = norm * error_rest + rounding * (frobenius * (rest + error_rest) + offset)
            size, rest = norm * size, norm * rest + offset
            if place < len(self._slopes):
                slope, at_zero = self._slopes[place]
                error = slope * (error + 4 * EPS * size)
                error_rest = slope * (error_rest + 4 * EPS * rest) + 4 * EPS * at_zero
                size, rest = slope * size, slope * rest + at_zero
        factors = self.factors * (1 + 64 * len(layers) * EPS)  # for the few sums and products above
        return Bounds(factors * size, factors * (error + EPS * size), factors * (error_rest + EPS * rest))

    def _sizes(self, layer: Layer) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Spectral norms at most, Frobenius norms, those of the biases, and what a product rounds by."""
        weight, bias = layer
        rounding = weight.new_full((len(weight),), (weight.shape[-1] + 4) * EPS)
        return self._norms(weight), torch.linalg.matrix_norm(weight), bias.flatten(1).norm(dim=1), rounding

    def _norms(self, weight: Tensor) -> Tensor:
        """Upper bounds on spectral norms.

        Near orthonormal matrices ``|W|² <= 1 + |WᵀW - 1|_F``, which takes no eigenvalues; the rounding of the product
        is counted as ``norm_bound`` counts it.
        """
        if self.constrained:
            gram = small_gram(weight)
            deviation = gram - torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
            excess = torch.linalg.matrix_norm(deviation) + 8 * (max(weight.shape[1:]) + 4) * EPS * 2 * gram.shape[-1]
            if float(excess.max()) < _NEAR:
                return (1 + excess).sqrt() * (1 + 4 * EPS)
        return weight.new_tensor([norm_bound(matrix) for matrix in weight])


_NEAR = 1e-6  # what a Gram matrix may differ from the identity by for a bound by that to be as good as any


def _layer(layer: nn.Module) -> Layer:
    stack = of_kind(layer, StackedLinear)
    return stack.weight, stack.bias


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
