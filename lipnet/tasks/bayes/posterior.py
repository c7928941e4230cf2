"""The file of a posterior, and the mean of its networks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.errors import UserError
from lipnet.layers.blocks.mean import Mean
from lipnet.runs import checkpoint
from lipnet.tasks.bayes.density import Functions

FILE = "posterior.pt"


@dataclass(frozen=True)
class Samples:
    """Networks that were sampled.

    Attributes:
        vectors: ``(members, size)``, float64 numbers that float32 holds.
        chains: how many chains they are of, one after the other; 1 where there are none.
        log_factors: of the constraints, at each of them.
    """

    vectors: Tensor
    chains: int
    log_factors: Tensor


def save_posterior(path: Path, posteriors: dict[str, Samples], shapes: dict[str, torch.Size], **facts: Any) -> None:
    """Writes what was sampled, by posterior, into one file; ``shapes`` are those of the parameters in a vector."""
    content = {
        name: {"vectors": found.vectors.float(), "chains": found.chains, "log_factors": found.log_factors}
        for name, found in posteriors.items()
    }
    checkpoint.save(
        path, {"posteriors": content, "shapes": {name: list(each) for name, each in shapes.items()}, **facts}
    )


def load_posterior(path: Path, size: int) -> dict[str, Samples]:
    """Reads such a file under ``weights_only=True``.

    Raises:
        UserError: it is missing, damaged, or of other networks.
    """
    saved = checkpoint.load(path)
    checkpoint.require(saved, path, posteriors=dict)
    found = {}
    for name, part in saved["posteriors"].items():
        checkpoint.require(part, path, vectors=Tensor, chains=int, log_factors=Tensor)
        vectors = part["vectors"].double()
        if vectors.dim() != 2 or vectors.shape[1] != size or not bool(torch.isfinite(vectors).all()):
            raise UserError(f"{path}: its networks are damaged, or not of this run's size of {size} parameters.")
        found[name] = Samples(vectors, part["chains"], part["log_factors"])
    return found


@torch.no_grad()
def fill(model: nn.Module, functions: Functions, vectors: Tensor, weights: Tensor) -> None:
    """Puts sampled parameters, and the weights of a mean, into a network of ``build_posterior``."""
    mean = next(module for module in model.modules() if isinstance(module, Mean))
    for member, vector in zip(mean.members, vectors, strict=True):
        for name, values in functions.named(vector).items():
            member.get_parameter(name).copy_(values)
    mean.weights.copy_(weights)
