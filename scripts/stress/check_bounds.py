#!/usr/bin/env python
"""Lipschitz bounds of random modules against what they bound.

    python scripts/stress/check_bounds.py --modules 1000              # some minutes on one core
    python scripts/stress/check_bounds.py --modules 20 --seed 7

Half of the modules are single layers of every kind that has a rule, half are networks of them with residual sums and
concatenations. A bound must be at least the largest spectral norm of the float64 Jacobian (over random points, unless
the module is affine), and at least the steepest quotient |f(x) - f(y)| / |x - y| that gradient ascent on both points
finds. Layers that take their sums in blocks do so in float32 alone: their Jacobians are computed in float32 too, and
allowed its rounding. Exit code 1 where a bound is less.
"""

import argparse
import math
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipnet import layers
from lipnet.certify import lipschitz_bound
from lipnet.certify.bound import output_shape
from lipnet.certify.plain import to_plain
from lipnet.layers.blocks.convex_potential import PlainConvexPotential

Shape = tuple[int, ...]
Random = random.Random
# What rounding may add to a norm of float64 numbers or to a quotient; bounds are not granted it by the proofs.
_OWN_ERROR = 1e-11
_FLOAT32_ERROR = 1e-4

_CONVS = {2: nn.Conv1d, 3: nn.Conv2d, 4: nn.Conv3d}
_TRANSPOSED = {2: nn.ConvTranspose1d, 3: nn.ConvTranspose2d, 4: nn.ConvTranspose3d}
_AVERAGES = {2: nn.AvgPool1d, 3: nn.AvgPool2d, 4: nn.AvgPool3d}
_ADAPTIVE = {2: nn.AdaptiveAvgPool1d, 3: nn.AdaptiveAvgPool2d, 4: nn.AdaptiveAvgPool3d}
_MAXIMA = {2: nn.MaxPool1d, 3: nn.MaxPool2d, 4: nn.MaxPool3d}
_OF_ONE_SIZE = (layers.CayleyConv2d, layers.BROConv2d, layers.LOTConv2d)
_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm1d, 3: nn.BatchNorm2d, 4: nn.BatchNorm3d}
_PADS = {
    2: (nn.ZeroPad1d, nn.CircularPad1d, nn.ReflectionPad1d, nn.ReplicationPad1d, nn.ConstantPad1d),
    3: (nn.ZeroPad2d, nn.CircularPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.ConstantPad2d),
    4: (nn.ZeroPad3d, nn.CircularPad3d, nn.ReflectionPad3d, nn.ReplicationPad3d, nn.ConstantPad3d),
}


def conv(draw: Random, shape: Shape) -> nn.Module:
    """One to three dimensions, any stride, dilation, groups and padding that has a rule."""
    axes, groups = len(shape) - 1, draw.choice([g for g in (1, 1, 2, 3) if shape[0] % g == 0])
    kernel = [draw.randint(1, min(4, n)) for n in shape[1:]]
    dilation = [draw.randint(1, 2) if 2 * (k - 1) < n else 1 for k, n in zip(kernel, shape[1:], strict=True)]
    mode = draw.choice(["zeros", "circular"])
    even = any(k % 2 == 0 for k in kernel)  # torch warns of "same" padding then
    padding = draw.choice(["valid" if even else "same", "valid", [draw.randint(0, n) for n in shape[1:]]])
    stride = [1 if padding == "same" else draw.randint(1, 3) for _ in range(axes)]
    return _CONVS[len(shape)](
        shape[0], groups * draw.randint(1, 4), kernel, stride, padding, dilation, groups, padding_mode=mode
    )


def transposed_conv(draw: Random, shape: Shape) -> nn.Module:
    """With any output padding."""
    axes, groups = len(shape) - 1, draw.choice([g for g in (1, 1, 2, 3) if shape[0] % g == 0])
    kernel, stride = [draw.randint(2, 4) for _ in range(axes)], [draw.randint(1, 3) for _ in range(axes)]
    padding, extra = [draw.randint(0, (k - 1) // 2) for k in kernel], [draw.randrange(s) for s in stride]
    return _TRANSPOSED[len(shape)](shape[0], groups * draw.randint(1, 3), kernel, stride, padding, extra, groups)


def padded_conv(draw: Random, shape: Shape) -> nn.Module:
    """Size-preserving, constrained or not."""
    kind = draw.choice([layers.PaddedConv2d, layers.BCOPConv2d, layers.RKOConv2d, layers.L2NEConv2d, layers.AOLConv2d])
    kernel = draw.randint(1, min(shape[1:]))
    return kind(shape[0], draw.randint(1, 5), kernel, padding_mode=draw.choice(["zeros", "circular"]))


def orthogonal_conv(draw: Random, shape: Shape) -> nn.Module:
    """Convolutions of one image size, series that are cut off early or late, and kernels of any stride."""
    stride = draw.choice([s for s in (1, 1, 2, 3) if all(n % s == 0 for n in shape[1:])])
    outputs, kernel = draw.randint(1, 5), stride * draw.randint(1, min(shape[1:]) // stride)
    kind, mode = draw.choice([layers.AOCConv2d, layers.SOCConv2d, *_OF_ONE_SIZE]), draw.choice(["zeros", "circular"])
    if kind is layers.SOCConv2d:
        return layers.SOCConv2d(shape[0], outputs, kernel, stride, padding_mode=mode, terms=draw.randint(2, 15)).eval()
    wide = max(shape[1:]) > 2 * min(shape[1:])
    if kind is layers.AOCConv2d or wide:
        kernel = draw.randint(stride, min(shape[1:]))
        return layers.AOCConv2d(shape[0], outputs, kernel, stride, padding_mode=mode)
    return kind(shape[0], outputs, kernel, stride, image_size=tuple(shape[1:]))


def blocked_conv(draw: Random, shape: Shape) -> nn.Module:
    """Blocks of any size, which need not divide the channels, or hold them all."""
    mode, kernel = draw.choice(["zeros", "circular"]), draw.randint(1, min(shape[1:]))
    stride = draw.choice([s for s in (1, 1, 2) if all(n % s == 0 for n in shape[1:])])
    spread = draw.choice([1, 2]) if 2 * (kernel - 1) < min(shape[1:]) else 1
    block = draw.randint(1, shape[0] + 1)
    return layers.BlockedConv2d(
        shape[0], draw.randint(1, 5), kernel, stride, spread, draw.choice([True, False]), mode, block
    )


def average(draw: Random, shape: Shape) -> nn.Module:
    """Windows that may overlap and reach over the border."""
    kernel = [draw.randint(1, min(4, n)) for n in shape[1:]]
    padding, options = [draw.randint(0, k // 2) for k in kernel], {}
    if len(shape) > 2:
        options["divisor_override"] = draw.choice([None, None, 1, 3])
    stride = [draw.randint(1, 3) for _ in kernel]
    ceil, counted = draw.choice([True, False]), draw.choice([True, False])
    return _AVERAGES[len(shape)](kernel, stride, padding, ceil, counted, **options)


def maximum(draw: Random, shape: Shape) -> nn.Module:
    """Disjoint windows."""
    kernel = [draw.randint(1, min(3, n)) for n in shape[1:]]
    return _MAXIMA[len(shape)](
        kernel, [k + draw.randint(0, 1) for k in kernel], [draw.randint(0, k // 2) for k in kernel]
    )


def pad(draw: Random, shape: Shape) -> nn.Module:
    """Every padding there is."""
    kind = draw.choice(_PADS[len(shape)])
    borders = [draw.randint(0, min(3, n - 1)) for n in reversed(shape[1:]) for _ in range(2)]
    return kind(tuple(borders), 0.5) if "Constant" in kind.__name__ else kind(tuple(borders))


def upsample(draw: Random, shape: Shape) -> nn.Module:
    """By a factor or to a size, nearest or interpolated."""
    smooth = {2: ["linear"], 3: ["bilinear", "bicubic"], 4: ["trilinear"]}[len(shape)]
    mode = draw.choice(["nearest", "nearest-exact", *smooth])
    corners = None if "nearest" in mode else draw.choice([True, False])
    if draw.choice([True, False]):
        return nn.Upsample(tuple(draw.randint(1, 2 * n) for n in shape[1:]), mode=mode, align_corners=corners)
    return nn.Upsample(scale_factor=draw.choice([1.0, 1.5, 2.0, 3.0]), mode=mode, align_corners=corners)


def batch_norm(draw: Random, shape: Shape) -> nn.Module:
    """In evaluation, with statistics of any size."""
    module = _NORMS[len(shape)](shape[0], affine=draw.choice([True, False])).eval()
    module.running_var.uniform_(0.1, 3)
    module.running_mean.normal_()
    if module.affine:
        nn.init.normal_(module.weight)
    return module


def dense(draw: Random, shape: Shape) -> nn.Module:
    """Fully connected, constrained or not."""
    kind = draw.choice(
        [nn.Linear, nn.Linear, layers.OrthogonalLinear, layers.SpectralLinear, layers.UnitRowLinear, layers.AOLLinear]
    )
    return kind(shape[-1], draw.randint(1, 20))


def sandwich(draw: Random, shape: Shape) -> nn.Module:
    """Constrained, or of any weights and scales."""
    made = layers.Sandwich(shape[-1], draw.randint(1, 20))
    if draw.choice([True, False]):
        return made
    plain = made.plain()
    for part in (plain.inner, plain.outer, plain.bias):
        nn.init.normal_(part)
    plain.scale.uniform_(0.3, 3)
    return plain


def block(draw: Random, shape: Shape) -> nn.Module:
    """Residual blocks, constrained or of any weights; translations."""
    mode, kernel = draw.choice(["zeros", "circular"]), draw.randint(1, min(shape[1:]))
    hidden = draw.randint(1, 6)
    kind = draw.choice(["cpl", "sll", "plain", "near the identity", "translation", "centering"])
    if kind == "cpl":
        return layers.cpl(shape[0], shape[1:], kernel_size=kernel, padding_mode=mode, hidden=hidden)
    if kind == "sll":
        return layers.sll(shape[0], shape[1:], kernel_size=kernel, padding_mode=mode, hidden=hidden)
    if kind == "near the identity":
        return layers.IdentityConv2d(shape[0], hidden, kernel, padding_mode=mode, scale=draw.uniform(-30, 30))
    if kind == "translation":
        moved = layers.Translation((1, *shape[1:]))
        nn.init.normal_(moved.offset)
        return moved
    if kind == "centering":
        centred = layers.BatchCentering(shape[0])
        centred.running_mean.normal_()
        return centred
    plain = PlainConvexPotential(shape[0], hidden, kernel, mode)
    nn.init.normal_(plain.weight, std=draw.uniform(0.01, 1))
    nn.init.normal_(plain.bias)
    return plain


def blocked_dense(draw: Random, shape: Shape) -> nn.Module:
    """As ``blocked_conv``."""
    block = draw.randint(1, shape[-1] + 1)
    return layers.BlockedLinear(shape[-1], draw.randint(1, 20), draw.choice([True, False]), block)


_ACTIVATIONS = (
    nn.CELU, nn.ELU, nn.GELU, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.LogSigmoid, nn.Mish, nn.PReLU,
    nn.ReLU, nn.ReLU6, nn.SELU, nn.Sigmoid, nn.SiLU, nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink, layers.Abs,
    lambda: nn.ELU(2.0), lambda: nn.LeakyReLU(-1.5), lambda: nn.GELU("tanh"), lambda: nn.RReLU().eval(),
    lambda: layers.GroupSort(None), lambda: layers.Scale(-1.3), nn.Identity, lambda: nn.Dropout().eval(),
)  # fmt: skip


def activation(draw: Random, shape: Shape) -> nn.Module:
    """Any activation with a rule, and the modules that act on each entry."""
    sorts = [layers.MaxMin, lambda: layers.GroupSort(2), lambda: turned(shape[0])] if shape[0] % 2 == 0 else []
    learned = (lambda: spline(draw, shape[0]), lambda: spline(draw, 1), lambda: bent(shape[0]))
    return draw.choice([*_ACTIVATIONS, *sorts, *learned, lambda: layers.BetaAbs(shape[0], draw.random())])()


def turned(channels: int) -> nn.Module:
    """With lines in all directions."""
    layer = layers.Householder(channels)
    nn.init.uniform_(layer.angles, -4, 4)
    return layer


def bent(channels: int) -> nn.Module:
    """With bends anywhere."""
    layer = layers.NActivation(channels)
    nn.init.normal_(layer.bends)
    return layer


def spline(draw: Random, splines: int) -> nn.Module:
    """With a kink at each knot, and any slopes."""
    layer = layers.FixedSpline(splines, draw.randint(3, 20), draw.uniform(0.2, 4))
    layer.slopes.uniform_(-2, 2)
    layer.starts.normal_()
    return layer


def normalize(draw: Random, shape: Shape) -> nn.Module:
    """Means and deviations of each channel."""
    return layers.Normalize([draw.random() for _ in range(shape[0])], [draw.uniform(0.1, 2) for _ in range(shape[0])])


def rearrange(draw: Random, shape: Shape) -> nn.Module:
    """Permutations of the entries."""
    fitting: list[nn.Module] = [nn.Flatten()]
    if len(shape) == 3:
        fitting += [nn.ChannelShuffle(g) for g in (2, 3) if shape[0] % g == 0]
        fitting += [nn.PixelShuffle(s) for s in (2, 3) if shape[0] % s**2 == 0]
        fitting += [nn.PixelUnshuffle(s) for s in (2, 3) if shape[1] % s == 0 and shape[2] % s == 0]
    return draw.choice(fitting)


def adaptive(draw: Random, shape: Shape) -> nn.Module:
    """To any smaller size."""
    return _ADAPTIVE[len(shape)](tuple(draw.randint(1, n) for n in shape[1:]))


Maker = Callable[[Random, Shape], nn.Module]
_VECTOR: list[Maker] = [dense, dense, blocked_dense, sandwich, activation, batch_norm]
_SEQUENCE: list[Maker] = [
    conv, conv, conv, transposed_conv, average, adaptive, maximum, pad, upsample, batch_norm, activation, rearrange,
    dense, blocked_dense,
]  # fmt: skip
MAKERS: dict[int, list[Maker]] = {
    1: _VECTOR,
    2: _SEQUENCE,
    3: [*_SEQUENCE, conv, *[padded_conv] * 2, orthogonal_conv, blocked_conv, normalize, *[block] * 2],
    4: _SEQUENCE,
}


def random_shape(draw: Random) -> Shape:
    """Vectors, sequences, images and volumes, without batch axis."""
    kind = draw.choice([1, 2, 3, 3, 3, 3, 4])
    if kind == 1:
        return (draw.randint(1, 30),)
    longest = {2: 12, 3: 7, 4: 4}[kind]
    return (draw.randint(1, 6 if kind < 4 else 3), *(draw.randint(1, longest) for _ in range(kind - 1)))


def random_layer(draw: Random, shape: Shape) -> nn.Module:
    """A layer of any kind with a rule that takes inputs of this shape, with weights of any size and kind."""
    torch.manual_seed(draw.randrange(2**31))
    module = draw.choice(MAKERS[len(shape)])(draw, shape)
    _spoil(draw, module)
    return module.eval()


@torch.no_grad()
def _spoil(draw: Random, module: nn.Module) -> None:
    """Plain layers get weights that no initialisation gives: one-sided, of low rank, sparse, huge or tiny."""
    weight = getattr(module, "weight", None)
    if not isinstance(module, nn.Linear | nn.modules.conv._ConvNd | layers.PaddedConv2d) or weight is None:
        return
    kind = draw.choice(["drawn", "drawn", "positive", "rank one", "sparse", "huge", "tiny", "orthogonal"])
    if kind == "positive":
        weight.abs_()
    elif kind == "rank one":
        weight.copy_(torch.ones_like(weight) * torch.randn(weight.shape[0]).view(-1, *[1] * (weight.dim() - 1)))
    elif kind == "sparse":
        weight.mul_(torch.rand_like(weight) < 0.2)
    elif kind in ("huge", "tiny"):
        weight.mul_(1e6 if kind == "huge" else 1e-6)
    elif kind == "orthogonal":
        nn.init.orthogonal_(weight)


def random_network(draw: Random, shape: Shape, depth: int) -> nn.Module:
    """A sequence of layers, residual sums and concatenations."""
    modules = []
    for _ in range(depth):
        kind = draw.choice(["layer", "layer", "layer", "residual", "concat"]) if depth > 1 else "layer"
        if kind == "residual":
            module = _residual(draw, shape)
        elif kind == "concat" and len(shape) < 3:
            module = _concat(draw, shape)
        else:
            module = random_layer(draw, shape)
        after = output_shape(module, shape)
        if min(after) < 1 or math.prod(after) > 800:
            continue
        modules.append(module)
        shape = after
    return nn.Sequential(*modules).eval()


def _residual(draw: Random, shape: Shape) -> nn.Module:
    if len(shape) != 3:
        branch = nn.Sequential(nn.Linear(shape[-1], 8), nn.ReLU(), nn.Linear(8, shape[-1]))
        return layers.Residual(branch)
    mode = draw.choice(["zeros", "circular"])
    first = nn.Conv2d(shape[0], 4, 3, padding=1, padding_mode=mode)
    branch = nn.Sequential(first, nn.ELU(), nn.Conv2d(4, shape[0], 1))
    return layers.Residual(branch, draw.choice([None, nn.Conv2d(shape[0], shape[0], 1)]))


def _concat(draw: Random, shape: Shape) -> nn.Module:
    return layers.Concat(
        *(nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 5)) for _ in range(draw.randint(1, 3)))
    )


def _rows(values: Tensor) -> Tensor:
    """One row an example, of numbers without any other axis too."""
    return values.reshape(len(values), -1)


def jacobian_norms(module: nn.Module, points: Tensor) -> list[float]:
    """The spectral norms of the module's float64 Jacobian at points."""
    norms = []
    for point in points:
        count = module(point[None]).numel()
        copies = point.expand(count, *point.shape).clone().requires_grad_()  # one for each output
        (rows,) = torch.autograd.grad(_rows(module(copies)).diagonal().sum(), copies)
        norms.append(float(torch.linalg.matrix_norm(_rows(rows), ord=2)))
    return norms


def steepest_quotient(module: nn.Module, points: Tensor, steps: int = 20) -> float:
    """The largest ``|f(x) - f(y)| / |x - y|`` that gradient ascent on both points of each pair finds."""
    generator = torch.Generator().manual_seed(0)
    first, steepest = points.clone(), 0.0
    second = first + 0.1 * torch.randn(first.shape, generator=generator, dtype=first.dtype)
    for step in range(steps + 1):
        first, second = first.detach().requires_grad_(), second.detach().requires_grad_()
        distance = _rows(first - second).norm(dim=1)
        images = _rows(module(first)), _rows(module(second))
        quotient = (images[0] - images[1]).norm(dim=1) / distance
        rounding = 1e-14 * (images[0].norm(dim=1) + images[1].norm(dim=1)) / distance
        steepest = max([steepest, *(quotient - rounding).tolist()])
        gradients = torch.autograd.grad(quotient.clamp_min(1e-300).log().sum(), (first, second), allow_unused=True)
        if any(gradient is None for gradient in gradients):
            break
        with torch.no_grad():
            length = 0.3 * distance.view(-1, *[1] * (first.dim() - 1)) / (1 + step)
            moves = [g / _rows(g).norm(dim=1).clamp_min(1e-12).view(length.shape) for g in gradients]
            first, second = first + length * moves[0], second + length * moves[1]
    return steepest


@dataclass
class Outcome:
    """One module's bound and what was found below it."""

    name: str
    bound: float
    found: float
    affine: bool

    @property
    def broken(self) -> bool:
        return not self.found <= self.bound * (1 + _OWN_ERROR)

    @property
    def tightness(self) -> float:
        return self.bound / self.found


def check(module: nn.Module, shape: Shape, points: int = 3) -> Outcome:
    """The bound of a module on inputs of a shape, and the steepest that is found."""
    module = module.requires_grad_(False)
    bound = lipschitz_bound(module, shape)
    exact = to_plain(module).double()
    places = torch.randn(points, *shape, dtype=torch.float64)
    norms = jacobian_norms(exact, places)
    affine = max(norms) - min(norms) <= 1e-9 * max(norms)
    found = max(*norms, steepest_quotient(exact, places), *_in_blocks(module, places))
    return Outcome(type(module).__name__, bound, found, affine)


def _in_blocks(module: nn.Module, places: Tensor) -> list[float]:
    """The norms of float32 Jacobians, less float32's rounding, where layers take their sums in blocks."""
    if not any(isinstance(part, layers.BlockedLinear | layers.BlockedConv2d) for part in module.modules()):
        return []
    norms = jacobian_norms(to_plain(module).float(), places.float())
    return [norm * (1 - _FLOAT32_ERROR) for norm in norms if math.isfinite(norm)]  # huge weights may overflow


def random_outcomes(draw: Random, count: int) -> list[tuple[bool, Outcome]]:
    """(whether it is a single layer, outcome) of so many modules; those that are constant are drawn again."""
    outcomes: list[tuple[bool, Outcome]] = []
    while len(outcomes) < count:
        shape, single = random_shape(draw), len(outcomes) % 2 == 0
        module = random_layer(draw, shape) if single else random_network(draw, shape, draw.randint(2, 6))
        if min(output_shape(module, shape)) < 1:
            continue
        outcome = check(module, shape)
        if outcome.found > 0:
            outcomes.append((single, outcome))
    return outcomes


def _summary(title: str, outcomes: list[Outcome]) -> str:
    ratios = sorted(outcome.tightness for outcome in outcomes)
    last = len(ratios) - 1
    shares = ", ".join(f"{100 * share:.0f} %: {ratios[round(share * last)]:.6f}" for share in (0.5, 0.9, 1))
    broken = sum(outcome.broken for outcome in outcomes)
    return f"{title}: {len(outcomes)}, violations: {broken}; bound / steepest found, quantiles {shares}"


def main() -> int:
    """Prints counts, violations and tightness."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modules", type=int, default=1000, help="how many random modules (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing (0)")
    arguments = parser.parse_args()
    started = time.perf_counter()
    outcomes = random_outcomes(Random(arguments.seed), arguments.modules)
    singles = [outcome for single, outcome in outcomes if single]
    networks = [outcome for single, outcome in outcomes if not single]
    for name in sorted({outcome.name for outcome in singles}):
        print(_summary(f"  {name}", [outcome for outcome in singles if outcome.name == name]))
    if singles:
        print(_summary("single layers", singles))
    if networks:
        print(_summary("networks", networks))
    broken = [outcome for _, outcome in outcomes if outcome.broken]
    for outcome in broken:
        print(f"VIOLATION: {outcome.name}: bound {outcome.bound!r}, found {outcome.found!r}")
    print(f"{len(outcomes)} modules, {len(broken)} violations, {time.perf_counter() - started:.0f} s")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
