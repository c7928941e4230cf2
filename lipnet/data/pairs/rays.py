"""Distributions whose mass moves along the rays of a distance function."""

import csv
import math
from importlib import resources
from types import SimpleNamespace

import torch
from torch import Tensor

from lipnet.data.images import Split, load_files
from lipnet.data.pairs.cones import distances
from lipnet.data.pairs.pair import Pair, pair_stream
from lipnet.errors import UserError
from lipnet.options.pairs import ImagePair, MinFunnel, NearestAnchor
from lipnet.randomness import stream

_BOX = 2.5  # the funnels' base distribution is uniform on [-2.5, 2.5]^dimension
_TRUTH_SAMPLES = 2**17


def source_files(option: ImagePair) -> tuple[Split, Split]:
    """The source's training and test split as they are stored, with labels."""
    return load_files(SimpleNamespace(name=option.source, root=option.root, download=option.download))


def source_images(option: ImagePair) -> tuple[Tensor, Tensor]:
    """All training and all test images of the source, float64 in [0, 1]."""
    train, test = source_files(option)
    return train.images[:].double() / train.maximum, test.images[:].double() / test.maximum


def nearest_anchor(option: NearestAnchor) -> Pair:
    """Images moved a fraction ``shrink`` of the way to the nearest of a few anchors, and the images.

    The cells of the nearest anchor are star-shaped about it, so the potential ``-min_n |x - a_n|`` falls by exactly
    the distance that an image moves: that between the distributions is ``shrink`` times the mean distance to the
    nearest anchor. Both are those of the whole set; its images are dealt out to evaluation, selection and training.

    Raises:
        UserError: the set has too few images.
    """
    images = torch.cat(source_images(option))
    images = images[torch.randperm(len(images), generator=pair_stream(option.seed))]
    anchors, images = images[: option.anchors], images[option.anchors :]
    held_out = option.evaluation_samples + option.selection_samples
    if len(images) <= held_out:
        raise UserError(
            f"dataset.evaluation_samples={option.evaluation_samples} and dataset.selection_samples="
            f"{option.selection_samples}: {option.source} has {len(images):,} images beside the anchors, and some must "
            "be left to train on; use fewer."
        )
    to_anchor = distances(images.flatten(1), anchors.flatten(1))
    nearest = to_anchor.argmin(1)
    evaluation, selection = option.evaluation_samples, held_out
    rows = {"evaluation": (0, evaluation), "selection": (evaluation, selection), "training": (held_out, len(images))}

    def moved(chosen: Tensor) -> Tensor:
        return images[chosen] + option.shrink * (anchors[nearest[chosen]] - images[chosen])

    def draw(part: str, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        start, end = rows[part if part in rows else "training"]
        if part in ("training", "range"):
            first, second = torch.randint(start, end, (2, count), generator=random)
            return moved(first), images[second]
        chosen = torch.arange(start, min(start + count, end))
        return moved(chosen), images[chosen]

    return Pair(
        draw=draw,
        units="L2 distance between images with pixels in [0, 1]",
        true_value=option.shrink * float(to_anchor.amin(1).mean()),
        potential=lambda points: -distances(points.flatten(1), anchors.flatten(1)).amin(1),
        paired=True,
    )


def minfunnel(option: MinFunnel) -> Pair:
    """The benchmark pairs of Korotin, Kolesov & Burnaev 2022 ("Kantorovich Strikes Back!", arXiv 2206.07767).

    ``u(x) = min_n (|x - a_n| + b_n)``; the second is uniform on a box, and the first is its image under a motion
    along the rays of u: the relative position t on the ray, from the tip to where the funnel's cell or the box ends,
    becomes ``t^degree``. The potential is ``-u``. With ``seed: 987`` the funnels are the benchmark's own, bit for bit.
    The true value is a mean over 131,072 samples.
    """
    centres, offsets = _funnels(option)

    def base(count: int, random: torch.Generator) -> Tensor:
        return _BOX * (2 * torch.rand(count, option.dimension, generator=random, dtype=torch.float64) - 1)

    def draw(part: str, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        return move_to_tips(base(count, random), centres, offsets, option.degree), base(count, random)

    points = base(_TRUTH_SAMPLES, stream(option.seed, "true value"))
    lengths = torch.cat(
        [(part - move_to_tips(part, centres, offsets, option.degree)).norm(dim=1) for part in points.split(8192)]
    )
    return Pair(
        draw=draw,
        true_value=float(lengths.mean()),
        true_value_error=float(lengths.std()) / math.sqrt(len(lengths)),
        potential=lambda points: -(distances(points, centres) + offsets).amin(1),
        published=published(option),
    )


def _funnels(option: MinFunnel) -> tuple[Tensor, Tensor]:
    """Tips and offsets in the order in which the benchmark's code draws them, float32 numbers as float64."""
    random = torch.Generator().manual_seed(option.seed)
    size = (option.funnels, option.dimension)
    torch.randn(size, generator=random)  # the benchmark's module draws initial values first
    torch.randn(option.funnels, generator=random)
    centres = _BOX * (2 * torch.rand(size, generator=random) - 1)
    return centres.double(), (0.1 * torch.randn(option.funnels, generator=random)).double()


def move_to_tips(points: Tensor, centres: Tensor, offsets: Tensor, degree: float) -> Tensor:
    """Moves points ``(n, d)`` along their rays: position t becomes ``t^degree``."""
    nearest = (torch.cdist(points, centres) + offsets).argmin(1)  # by inner products: fast, and exact but for ties
    tips = centres[nearest]
    position = (points - tips).norm(dim=1)
    direction = (points - tips) / position[:, None]
    # On the ray a_n + r v, funnel m is as low as n at r = (|w|² - c²) / (2 (c - w.v)), w = a_n - a_m, c = b_n - b_m.
    lower = offsets[nearest][:, None] - offsets
    slope = lower - ((tips * direction).sum(1, keepdim=True) - direction @ centres.mT)
    boundary = (distances(centres, centres).square()[nearest] - lower.square()) / (2 * slope)
    valid = (slope != 0) & (boundary > 0) & (boundary >= -lower)
    end = boundary.where(valid, math.inf).amin(1)
    # The box ends the ray where its first coordinate leaves.
    exits = ((_BOX * direction.sign() - tips) / direction).where(direction != 0, math.inf)
    end = torch.minimum(end, exits.amin(1))
    moved = end * (position / end).clamp(max=1) ** degree
    return tips + moved[:, None] * direction


def published(option: MinFunnel) -> dict[str, float] | None:
    """The benchmark's figures for this pair: true value, estimates and cosines of the methods it compares."""
    if (option.seed, option.degree) != (987, 8.0):
        return None
    with resources.files("lipnet.data.pairs").joinpath("minfunnel.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if (int(row.pop("dimension")), int(row.pop("funnels"))) == (option.dimension, option.funnels):
                return {name: float(value) for name, value in row.items()}
    return None
