"""The data set that needs no files."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from lipnet.data.images import Split
from lipnet.randomness import stream


def digits(config: Any) -> tuple[Split, Split]:
    """Scikit-learn's, 8x8; one fixed split, since no official one exists."""
    images, labels = stored()
    everything = Split(images, labels, 16, torch.arange(len(labels)))
    order = torch.randperm(len(labels), generator=stream(20, "digits"))
    return everything.take(order[:1437]), everything.take(order[1437:])


def stored() -> tuple[Tensor, Tensor]:
    """All images ``(n, 1, 8, 8)`` and labels, from the package's file where it lies: to import it takes a second."""
    spec = importlib.util.find_spec("sklearn")
    file = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz" if spec and spec.origin else None
    if file is None or not file.is_file():
        return imported()
    rows = torch.from_numpy(numpy.loadtxt(file, delimiter=",", dtype=numpy.uint8))
    return rows[:, :64].reshape(-1, 1, 8, 8), rows[:, 64].long()


def imported() -> tuple[Tensor, Tensor]:
    """The same by the package."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return torch.from_numpy(data.images).to(torch.uint8)[:, None], torch.from_numpy(data.target)
