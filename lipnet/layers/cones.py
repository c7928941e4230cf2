"""A critic made of cones: the general form of an optimal potential between two laws."""

import torch
from torch import Tensor, nn


class Cones(nn.Module):
    """``f(x) = max_j (h_j - |x - a_j|)``, or with ``upward`` ``min_j (h_j + |x - a_j|)``: 1-Lipschitz, gradient norm 1.

    Maxima and minima of 1-Lipschitz functions are 1-Lipschitz, so nothing is constrained: apices and heights are free.
    Every 1-Lipschitz function on a finite set has this form with an apex at each of its points (McShane 1934), and so
    has some optimal potential between two laws, with apices in the first law (downward cones) or in the second
    (upward; c-concavity, Villani 2009, theorem 5.10).

    Args:
        in_features: numbers in an input, over all its axes.
        cones: how many.
        upward: cones that open upward, of which the lowest counts.

    ``apices`` has shape ``(cones, in_features)`` and ``heights`` ``(cones,)``. Apices start Gaussian, heights at 0;
    ``place`` moves the apices to samples, which is a far better start.
    """

    def __init__(self, in_features: int, cones: int, upward: bool = False) -> None:
        super().__init__()
        if min(in_features, cones) < 1:
            raise ValueError(f"Cones needs at least one feature and one cone, got {in_features} and {cones}")
        self.in_features, self.cones, self.upward = in_features, cones, upward
        self.apices = nn.Parameter(torch.randn(cones, in_features))
        self.heights = nn.Parameter(torch.zeros(cones))

    @torch.no_grad()
    def place(self, samples: Tensor) -> None:
        """Puts the apices at ``(cones, ...)`` samples, and levels the cones: each has the same mean over the samples.

        In high dimension the few apices nearest to the centre are nearest to almost every point: with equal heights
        theirs would be the only cones that ever count, and learn.
        """
        self.apices.copy_(samples.flatten(1))
        reach = torch.cdist(self.apices, self.apices).mean(1)
        self.heights.copy_(reach.mean() - reach if self.upward else reach - reach.mean())

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, ...) -> (batch, 1)``."""
        points = inputs.flatten(1)
        with torch.no_grad():
            ruling = self._ruling(points)
        distances = (points - self.apices[ruling]).norm(dim=1)
        heights = self.heights[ruling]
        return (heights + distances if self.upward else heights - distances)[:, None]

    def _ruling(self, points: Tensor) -> Tensor:
        """The cone that counts at each point; in training up to the rounding of distances by inner products."""
        mode = "use_mm_for_euclid_dist" if self.training else "donot_use_mm_for_euclid_dist"
        distances = torch.cdist(points, self.apices, compute_mode=mode)
        return (distances + self.heights).argmin(1) if self.upward else (self.heights - distances).argmax(1)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.cones}" + (", upward=True" if self.upward else "")
