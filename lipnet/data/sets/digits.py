"""The data set that needs no files."""

from typing import Any

import torch

from lipnet.data.images import Split
from lipnet.randomness import stream


def digits(config: Any) -> tuple[Split, Split]:
    """Scikit-learn's, 8x8; one fixed split, since no official one exists."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images, labels = torch.from_numpy(data.images).to(torch.uint8)[:, None], torch.from_numpy(data.target)
    everything = Split(images, labels, 16, torch.arange(len(labels)))
    order = torch.randperm(len(labels), generator=stream(20, "digits"))
    return everything.take(order[:1437]), everything.take(order[1437:])
