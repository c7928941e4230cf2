"""Up-sampling: copies of the nearest pixels, or an interpolation of one axis after the other."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipnet.certify.bound import Shape, output_shape, register_rule
from lipnet.certify.norm import EPS, nonnegative_norm_bound, norm_bound, up
from lipnet.certify.rounding import Step, gamma, register_step
from lipnet.certify.rules.rearrangements import copies

_NEAREST = ("nearest", "nearest-exact")


@register_rule(nn.Upsample, nn.UpsamplingBilinear2d, nn.UpsamplingNearest2d)
def _upsample(module: nn.Upsample, shape: Shape) -> float:
    if not _is_interpolation(module):
        return copies(module, shape)
    bound = 1.0
    for matrix in _interpolations(module, shape):  # their norms multiply: the whole is their Kronecker product
        bound = up(bound * _interpolation_bound(matrix))
    return bound


@register_step(nn.Upsample)
def _upsample_step(module: nn.Upsample, shape: Shape, precision: torch.finfo) -> Step:
    if not _is_interpolation(module):
        return _nearest_step(module, shape)
    taps = 4 if module.mode == "bicubic" else 2
    exact = computed = gain = 1.0
    for matrix in _interpolations(module, shape):
        # A place among n pixels is off by a few n u, a weight by 1.35 times that (the steepest slope of a cubic's) and
        # its polynomial's own rounding; a place that falls beyond a pixel finds another tap with a weight near 0.
        pixels, outputs = matrix.shape
        error = 16 * (pixels + 4) * precision.eps * math.sqrt((taps + 1) * outputs)
        exact *= _interpolation_bound(matrix)
        computed *= _interpolation_bound(matrix) + error
        gain *= nonnegative_norm_bound(matrix.abs()) + error
    terms = (taps + 1) ** len(shape[1:])
    lost = 2 * (terms + 1) * math.sqrt(math.prod(output_shape(module, shape))) * precision.tiny
    drift = computed - exact + 8 * torch.finfo(torch.float64).eps * computed
    return Step(0.0, drift + gamma(terms + 4, precision) * gain + lost, lost, gain)


def _nearest_step(module: nn.Upsample, shape: Shape) -> Step:
    image = torch.arange(math.prod(shape[1:]), dtype=torch.float64).view(1, 1, *shape[1:])
    if not torch.equal(module(image), module(image.float()).double()):
        raise TypeError(
            f"float32 and float64 take other nearest pixels in {module} of {shape[1:]} pixels, so neither is "
            "certified by the other; use a whole scale factor"
        )
    return Step()


def _is_interpolation(module: nn.Upsample) -> bool:
    """Whether pixels are mixed; the nearest ones are only repeated."""
    return module.mode not in _NEAREST


def _interpolations(module: nn.Upsample, shape: Shape) -> list[Tensor]:
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


def _interpolation_bound(matrix: Tensor) -> float:
    """An upper bound on the norm of the map that ``_interpolations`` has computed in float64."""
    return norm_bound(matrix, 64 * EPS * len(matrix) * float(torch.linalg.matrix_norm(matrix)))
