"""A critic made of cones: the general form of an optimal potential between two distributions."""

import math

import torch
from torch import Tensor, nn

from lipnet.layers.sizes import LOW_PRECISION, Device, check_dtype, whole_number
from lipnet.layers.tracing import shape_is_known


class Cones(nn.Module):
    """``f(x) = max_j (h_j - |x - a_j|)``, or with ``upward`` ``min_j (h_j + |x - a_j|)``: 1-Lipschitz, gradient norm 1.

    Maxima and minima of 1-Lipschitz functions are 1-Lipschitz, so nothing is constrained: apices and heights are free.
    Every 1-Lipschitz function on a finite set has this form with an apex at each of its points (McShane 1934), and so
    has some optimal potential between two distributions, with apices in the first (downward cones) or in the second
    (upward; c-concavity, Villani 2009, theorem 5.10).

    Args:
        in_features: numbers in an input, over all its axes.
        cones: how many.
        upward: cones that open upward, of which the lowest counts.
        device, dtype: of the parameters, as for ``nn.Linear``.

    ``apices`` has shape ``(cones, in_features)`` and ``heights`` ``(cones,)``. Apices start Gaussian, heights at 0;
    ``place`` moves the apices to samples, which is a far better start.
    """

    def __init__(
        self, in_features: int, cones: int, upward: bool = False,
        device: Device = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        check_dtype(dtype, "Cones")
        self.in_features = whole_number(in_features, "in_features", "Cones")
        self.cones, self.upward = whole_number(cones, "cones", "Cones"), upward
        self.apices = nn.Parameter(torch.randn(self.cones, self.in_features, device=device, dtype=dtype))
        self.heights = nn.Parameter(torch.zeros(self.cones, device=device, dtype=dtype))

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
        """``(batch, ...) -> (batch, 1)``, with ``in_features`` numbers in each example."""
        if shape_is_known(inputs):
            self._check_inputs(inputs)
        points = inputs.flatten(1)
        ruling = self._ruling(points.detach())
        distances = (points - self.apices[ruling]).norm(dim=1)
        heights = self.heights[ruling]
        return (heights + distances if self.upward else heights - distances)[:, None]

    def _check_inputs(self, inputs: Tensor) -> None:
        if inputs.dim() < 2 or math.prod(inputs.shape[1:]) != self.in_features:
            raise RuntimeError(
                f"{self} needs inputs (batch, ...) of {self.in_features} numbers each, got {tuple(inputs.shape)}"
            )

    def _ruling(self, points: Tensor) -> Tensor:
        """The cone that counts at each point; in training up to the rounding of distances by inner products."""
        mode = "use_mm_for_euclid_dist" if self.training else "donot_use_mm_for_euclid_dist"
        apices, heights = self.apices.detach(), self.heights.detach()
        if shape_is_known(points) and apices.dtype in LOW_PRECISION:  # torch measures no distances in it on a CPU
            points, apices, heights = points.float(), apices.float(), heights.float()
        distances = torch.cdist(points, apices, compute_mode=mode)
        return (distances + heights).argmin(1) if self.upward else (heights - distances).argmax(1)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.cones}" + (", upward=True" if self.upward else "")
