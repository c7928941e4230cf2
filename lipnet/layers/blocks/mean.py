"""The weighted mean of networks that see the same input."""

import torch
from torch import Tensor, nn

from lipnet.layers.blocks.composition import Concat, each_of
from lipnet.layers.tracing import shape_is_known


class Mean(nn.Module):
    """``Σ w_i f_i(x)``, with Lipschitz constant at most ``Σ |w_i| L_i``: of equal weights, the mean of the constants.

    Args:
        members: modules with outputs of one shape; ``weights``, one for each, are equal at first.
    """

    weights: Tensor

    def __init__(self, *members: nn.Module) -> None:
        super().__init__()
        if not members:
            raise ValueError("Mean needs at least one member")
        self.members = nn.ModuleList(members)
        self.register_buffer("weights", torch.full((len(members),), 1 / len(members)))

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, ...)`` each, of one shape."""
        return weighted_sum(each_of(inputs, self.members), self.weights)

    @torch.no_grad()
    def concatenated(self, outputs: int) -> nn.Sequential:
        """The same of vectors of so many outputs, by layers that an export has: a matrix of the weights after a Concat.

        Members without weight are left out. Of equal weights the product of the norms is what the mean has itself.
        """
        kept = [number for number, weight in enumerate(self.weights.tolist()) if weight]
        weights = self.weights[kept]
        together = nn.Linear(len(kept) * outputs, outputs, bias=False, device=weights.device, dtype=weights.dtype)
        together.weight.copy_(torch.cat([weight * torch.eye(outputs).to(weights) for weight in weights], 1))
        return nn.Sequential(Concat(*(self.members[number] for number in kept)), together)


def weighted_sum(outputs: list[Tensor], weights: Tensor) -> Tensor:
    """Term by term, in the order of the members.

    Raises:
        ValueError: they are not of one shape.
    """
    shapes = {tuple(each.shape) for each in outputs if shape_is_known(each)}
    if len(shapes) > 1:
        raise ValueError(f"Mean needs outputs of one shape, got {', '.join(map(str, sorted(shapes)))}")
    total = weights[0] * outputs[0]
    for weight, each in zip(weights[1:], outputs[1:], strict=True):
        total = total + weight * each
    return total
