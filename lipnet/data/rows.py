"""Some rows of images that stay where they are, in a file perhaps that is larger than the memory."""

import torch
from torch import Tensor


class Rows:
    """Images ``base[rows]``, read when they are asked for.

    Args:
        base: all images, a tensor over a file that is mapped into memory, for one.
        rows: which of them, in which order; all by default.
        device: where what is read goes.
    """

    def __init__(self, base: Tensor, rows: Tensor | None = None, device: torch.device | None = None) -> None:
        self.base = base
        self.rows = torch.arange(len(base)) if rows is None else rows
        self.device = device or torch.device("cpu")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.rows), *self.base.shape[1:]))

    @property
    def dtype(self) -> torch.dtype:
        return self.base.dtype

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """These images, on the device."""
        chosen = index.cpu() if isinstance(index, Tensor) else index
        return self.base[self.rows[chosen]].to(self.device)

    def take(self, index: Tensor) -> "Rows":
        """Some of the rows; nothing is read."""
        return Rows(self.base, self.rows[index.cpu()], self.device)

    def to(self, device: torch.device) -> "Rows":
        """The same images, of which those that are read go to another device."""
        return Rows(self.base, self.rows, device)
