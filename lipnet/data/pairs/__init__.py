"""Pairs of laws whose Wasserstein-1 distance is known, and the protocol for others."""

from collections.abc import Callable
from typing import Any

from lipnet.data.pairs.cones import cone, nuisance, scaled_gaussians, spheres, three_cones
from lipnet.data.pairs.finite import discrete, two_classes, two_images
from lipnet.data.pairs.gan import gan
from lipnet.data.pairs.lines import absolute_value, partial_mass, translation
from lipnet.data.pairs.pair import Pair, PairBatches, check_pair
from lipnet.data.pairs.rays import minfunnel, nearest_anchor
from lipnet.options.facts import inputs_and_outputs

__all__ = ["LOADERS", "Pair", "PairBatches", "check_pair", "load_pair"]

# The option's name -> the pair, given the option.
LOADERS: dict[str, Callable[[Any], Pair]] = {
    "absolute_value": absolute_value, "three_cones": three_cones, "cone": cone, "translation": translation,
    "spheres": spheres, "scaled_gaussians": scaled_gaussians, "partial_mass": partial_mass, "nuisance": nuisance,
    "nearest_anchor": nearest_anchor, "discrete": discrete, "two_images": two_images, "minfunnel": minfunnel,
    "two_classes": two_classes, "gan": gan,
}  # fmt: skip


def load_pair(option: Any) -> Pair:
    """The pair of a ``dataset`` option, checked.

    Raises:
        UserError: the files are missing, or the pair cannot be what the option says.
    """
    pair = LOADERS[option.name](option)
    check_pair(pair, inputs_and_outputs(option)[0])
    return pair
