"""What an export says of a classifier: its certified radii on the test split."""

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify import Assured
from lipnet.certify.assured import evaluated_again
from lipnet.data.images import Pixels, Split, Splits
from lipnet.options.checks import radius_value
from lipnet.options.config import Config
from lipnet.tasks.robustness.evaluation import Certification, certify_and_attack
from lipnet.tasks.robustness.results import Certified
from lipnet.tasks.robustness.table import certified_table
from lipnet.tasks.task import Examined

CHOOSES_BY = 2000  # images
_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def not_tested(splits: Splits) -> Tensor:
    """Images by which an assured network chooses its float64 layers: of the validation split, or of training."""
    split = splits.validation if len(splits.validation) else splits.train
    return split.pixels(slice(CHOOSES_BY))


def examine(network: nn.Module, deployed: nn.Module, test: Split, config: Config) -> Examined:
    """Certifies the exported network on the test split, without attacks."""
    unattacked = dataclasses.replace(config, attack=dataclasses.replace(config.attack, names=[]))
    found = certify_and_attack(network, test, unattacked)
    radii = _radii(found, config)
    certified: Certified = {
        "clean_accuracy": found.clean_accuracy,
        "certified_accuracy": radii["certified_accuracy"],
        "certify_dtype": config.certify_dtype,
        "certified_accuracy_by_arithmetic": accuracy_by_arithmetic(found, config),
    }
    results: dict[str, Any] = {
        "test_examples": len(found.radii),
        **certified,
        "lipschitz_lower_bound": found.lower,
        "evaluated_again": None,
    }
    if isinstance(deployed, Assured):
        radii["hold_for"] = "the assured network, and its evaluation in float64"
        results["evaluated_again"] = evaluated_again(deployed.to(test.device), Pixels(test))
    title = f"{len(found.radii)} test examples\n"
    return Examined(results, {"radii": radii}, lambda width: title + certified_table(certified, width))


def accuracy_by_arithmetic(found: Certification, config: Config) -> dict[str, dict[str, float]]:
    """Certified accuracy of the network as evaluated in each arithmetic that it has certificates for, by radius."""
    return {
        arithmetic: {
            radius: found.certified_accuracy_in(arithmetic, radius_value(radius)) for radius in config.eval_radii
        }
        for arithmetic in found.deployments
    }


def _radii(found: Certification, config: Config) -> dict[str, Any]:
    """The certified radii of the test split, in brief."""
    quantiles = torch.quantile(found.radii, torch.tensor(_QUANTILES, dtype=found.radii.dtype)).tolist()
    return {
        "dataset": config.dataset.name,
        "test_examples": len(found.radii),
        "arithmetic": config.certify_dtype,
        "clean_accuracy": found.clean_accuracy,
        "certified_accuracy": {
            radius: found.certified_accuracy(radius_value(radius)) for radius in config.eval_radii
        },
        "mean_radius": float(found.radii.mean()),
        "radius_quantiles": dict(zip(map(str, _QUANTILES), quantiles, strict=True)),
    }  # fmt: skip
