"""Data sets that lie in files as torchvision lays them out, and that it can fetch."""

import gzip
import os
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lipnet.data.fetching import alone_fetching
from lipnet.data.files import Layout, explain, layout, meant_root
from lipnet.data.images import Split
from lipnet.errors import UserError


def mnist(config: Any) -> tuple[Split, Split]:
    """Handwritten digits, 28x28."""
    return _torchvision("MNIST", config, lambda data: data.data[:, None])


def fashion_mnist(config: Any) -> tuple[Split, Split]:
    """Pictures of clothes, 28x28."""
    return _torchvision("FashionMNIST", config, lambda data: data.data[:, None])


def cifar10(config: Any) -> tuple[Split, Split]:
    """Ten kinds of things in colour, 32x32."""
    return _torchvision("CIFAR10", config, lambda data: torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous())


def stl10(config: Any) -> tuple[Split, Split]:
    """As in Li et al. 2019: the 5,000 labelled training images, at 64x64."""
    parts = ({"split": "train"}, {"split": "test"})
    return _torchvision("STL10", config, lambda data: _resized(torch.from_numpy(data.data.copy())), parts, "labels")


def cifar100(config: Any) -> tuple[Split, Split]:
    """A hundred kinds of things in colour, 32x32."""
    return _torchvision("CIFAR100", config, lambda data: torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous())


def svhn(config: Any) -> tuple[Split, Split]:
    """Digits of house numbers in colour, 32x32: the training and the test part, without the extra one."""
    parts = ({"split": "train"}, {"split": "test"})
    return _torchvision("SVHN", config, lambda data: torch.from_numpy(data.data.copy()), parts, "labels")


def emnist(config: Any) -> tuple[Split, Split]:
    """Handwritten digits and letters, 28x28: the balanced part, 47 classes; upright, as they are stored lying."""
    parts = ({"split": "balanced", "train": True}, {"split": "balanced", "train": False})
    return _torchvision("EMNIST", config, lambda data: data.data.transpose(1, 2)[:, None].contiguous(), parts)


def _resized(images: Tensor, side: int = 64) -> Tensor:
    """Images of ``side`` pixels, each a weighted mean over what it covers; in pieces, since float32 is four times as
    large.
    """
    size = (side, side)
    pieces = [
        functional.interpolate(piece.float(), size, mode="bilinear", antialias=True) for piece in images.split(500)
    ]
    return torch.cat([piece.round().clamp(0, 255).to(torch.uint8) for piece in pieces])


_UNREADABLE = (
    RuntimeError, OSError, EOFError, ValueError, AssertionError, KeyError, IndexError, TypeError,
    pickle.UnpicklingError, gzip.BadGzipFile, zlib.error,
)  # fmt: skip


def _torchvision(
    name: str, config: Any, images: Callable[[Any], Tensor],
    parts: tuple[dict[str, Any], ...] = ({"train": True}, {"train": False}), labels: str = "targets",
) -> tuple[Split, Split]:  # fmt: skip
    import torchvision.datasets  # 2 s: only where it is needed

    source = getattr(torchvision.datasets, name)
    root = Path(os.path.abspath(os.path.expanduser(config.root)))

    def load(download: bool) -> list[Split]:
        loaded = [source(root, download=download, **part) for part in parts]
        return [_split(images(part), getattr(part, labels)) for part in loaded]

    try:
        return _loaded(load, layout(source), name, root, config.download)
    except _UNREADABLE as error:
        raise UserError(
            f"dataset.root={config.root}: {config.name} {explain(source, root, error, config.download)}"
        ) from error


def _loaded(
    load: Callable[[bool], list[Split]], laid_out: Layout, name: str, root: Path, download: bool
) -> tuple[Split, Split]:
    """What is there; else what can be fetched, by one process at a time.

    Files that another process is still writing are as good as missing.
    """
    try:
        train, test = load(False)
    except _UNREADABLE:
        if not download or meant_root(laid_out, root) is not None:
            raise
        with alone_fetching(name, root):
            train, test = load(True)
    return train, test


def _split(images: Tensor, targets: Any) -> Split:
    labels = torch.as_tensor(targets, dtype=torch.int64)
    return Split(images, labels, 255, torch.arange(len(labels)))
