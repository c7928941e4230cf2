"""The cut-off exponential of a skew convolution: the identity of its norm and of what is cut off; sums of its terms."""

import math
from typing import Any

import torch
from torch import Tensor

from lipnet.certify.bound import Refusal, Shape, image_size, output_shape, register_rule
from lipnet.certify.convolution import Geometry, bias_norm, conv_bound, conv_gain
from lipnet.certify.norm import up
from lipnet.certify.rounding import Step, gamma, register_step
from lipnet.certify.spectrum import register_operator
from lipnet.layers.convolutions.soc import SkewExponential, SOCConv2d
from lipnet.layers.frequency import transfer_function

EXPONENTIALS = (SOCConv2d, SkewExponential)


@register_rule(*EXPONENTIALS)
def _exponential(module: Any, shape: Shape) -> float:
    """Of a skew-symmetric S all eigenvalues are imaginary, and there the series is off by its first missing term.

    It is normal, so that the series has the norm of its largest value at an eigenvalue: at most
    ``1 + |S|^terms / terms!`` (Taylor). Missing channels and those left out change no norm.
    """
    weight, terms = module.weight.detach(), _terms(module)
    if not torch.equal(weight, -weight.flip(-2, -1).transpose(0, 1)):
        raise Refusal("its kernel is not skew-symmetric, so that nothing is proved of its exponential")
    return up(1 + _power(conv_bound(weight, _geometry(module, shape)), terms))


@register_step(*EXPONENTIALS)
def _exponential_step(module: Any, shape: Shape, precision: torch.finfo) -> Step:
    """``v_j = S v_{j-1} / j``, each with the rounding of sums of products and one division, and their sum.

    ``exact`` is a bound on the norm of a term, ``error`` on what it is off, both relative to the inputs.
    """
    weight, terms, geometry = module.weight, _terms(module), _geometry(module, shape)
    norm, gain = conv_bound(weight, geometry), conv_gain(weight, geometry)
    count = weight[0].numel()
    entries = len(weight) * math.prod(geometry.size)
    lost_at_once = 2 * (count + 2) * math.sqrt(entries) * precision.tiny
    exact, error, lost = 1.0, 0.0, 0.0
    sizes, errors, all_lost = 1.0, 0.0, 0.0
    for number in range(1, terms):
        own = gamma(count + 4, precision) * gain
        error = (norm * error + own * (exact + error)) / number
        lost = (norm + own) * lost / number + lost_at_once
        exact = norm * exact / number
        sizes, errors, all_lost = sizes + exact + error, errors + error, all_lost + lost
    entries_out = math.prod(output_shape(module, shape))
    zero = bias_norm(module, entries_out // module.out_channels)
    summing = gamma(terms + 1, precision)
    relative = (errors + summing * (sizes + errors)) * (1 + 1e-12)
    absolute = summing * (zero + all_lost) + all_lost + 2 * terms * math.sqrt(entries) * precision.tiny
    return Step(zero, relative, absolute * (1 + 1e-12), max(gain, 1.0) * sizes)


@register_operator(*EXPONENTIALS)
def _exponential_operator(module: Any, input_shape: Shape) -> Tensor:
    """Frequency by frequency, on a torus of the image's size, with zeros for padding too."""
    weight, stride = module.weight.detach().double().cpu(), module.stride
    reach = weight.shape[-1] // 2
    height, width = input_shape[-2] // stride, input_shape[-1] // stride
    blocks = transfer_function(weight, (height, width), 1, 1, 1)[0]
    phases = _shifts((height, width), reach).to(blocks)
    term = torch.eye(len(weight), dtype=blocks.dtype)
    total = term
    for number in range(1, _terms(module)):
        term = (phases[:, None, None] * blocks) @ term / number
        total = total + term
    return total[:, : module.out_channels, : module.in_channels * stride**2]


def _shifts(size: tuple[int, int], reach: int) -> Tensor:
    """What the padding before an image multiplies each frequency by: it is left out of the transfer function."""
    turns = [torch.arange(side) * reach / side for side in size]
    angles = 2 * math.pi * (turns[0][:, None] + turns[1])
    return torch.polar(torch.ones_like(angles, dtype=torch.float64), angles.double()).flatten()


def _terms(module: Any) -> int:
    return module.training_terms if isinstance(module, SOCConv2d) and module.training else module.terms


def _power(norm: float, terms: int) -> float:
    """``norm^terms / terms!``, rounded up."""
    power = 1.0
    for number in range(1, terms + 1):
        power = up(power * up(norm / number))
    return power


def _geometry(module: Any, shape: Shape) -> Geometry:
    """Of S, behind the pixel-unshuffle."""
    height, width = (side // module.stride for side in image_size(shape, 2))
    reach = module.weight.shape[-1] // 2
    return Geometry((height, width), (1, 1), (1, 1), ((reach, reach),) * 2, 1, module.padding_mode == "circular")
