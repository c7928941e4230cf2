"""Up-sampling: copies of the nearest pixels, or an interpolation of one axis after the other."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.certify.bound import Shape, register_rule
from lipnet.certify.norm import EPS, norm_bound, up
from lipnet.certify.rules.rearrangements import copies

_NEAREST = ("nearest", "nearest-exact")


def is_interpolation(module: nn.Upsample) -> bool:
    """Whether pixels are mixed; the nearest ones are only repeated."""
    return module.mode not in _NEAREST


@register_rule(nn.Upsample, nn.UpsamplingBilinear2d, nn.UpsamplingNearest2d)
def _upsample(module: nn.Upsample, shape: Shape) -> float:
    if not is_interpolation(module):
        return copies(module, shape)
    bound = 1.0
    for matrix in interpolations(module, shape):  # their norms multiply: the whole is their Kronecker product
        bound = up(bound * interpolation_bound(matrix))
    return bound


def interpolations(module: nn.Upsample, shape: Shape) -> list[Tensor]:
    """Each axis' map, float64 ``(pixels, outputs)``: image @ map."""
    axes, matrices = shape[1:], []
    sizes = module.size if isinstance(module.size, tuple) else (module.size,) * len(axes)
    factors = module.scale_factor if isinstance(module.scale_factor, tuple) else (module.scale_factor,) * len(axes)
    for pixels, size, factor in zip(axes, sizes, factors, strict=True):
        images = functional.interpolate(
            torch.eye(pixels, dtype=torch.float64)[:, None, :, None],
            None if size is None else (int(size), 1),
            None if factor is None else (float(factor), 1.0),
            "bicubic" if module.mode == "bicubic" else "bilinear",
            module.align_corners,
            module.recompute_scale_factor,
        )
        matrices.append(images[:, 0, :, 0])
    return matrices


def interpolation_bound(matrix: Tensor) -> float:
    """An upper bound on the norm of the map that ``interpolations`` has computed in float64."""
    return norm_bound(matrix, 64 * EPS * len(matrix) * float(torch.linalg.matrix_norm(matrix)))
