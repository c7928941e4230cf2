"""Generated images, for a task that needs no files and that no class mean solves."""

from typing import Any

import torch

from lipnet.data.images import Split
from lipnet.data.randomness import stream

_SIDE = 8


def bars(config: Any) -> tuple[Split, Split]:
    """Noise with one bright line: a row (label 0) or a column (label 1), anywhere; 2,000 images and 500."""
    return _drawn("training", 2000), _drawn("test", 500)


def _drawn(part: str, count: int) -> Split:
    random = stream(0, "bars", part)
    images = torch.randint(64, (count, 1, _SIDE, _SIDE), generator=random)
    labels = torch.arange(count) % 2
    places = torch.randint(_SIDE, (count,), generator=random)
    rows, columns = (labels == 0).nonzero()[:, 0], (labels == 1).nonzero()[:, 0]
    images[rows, 0, places[rows]] += 192
    images[columns, 0, :, places[columns]] += 192
    return Split(images.to(torch.uint8), labels, 255, torch.arange(count))
