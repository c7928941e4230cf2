"""Augmentation of whole batches at once."""

import torch
from torch import Tensor
from torch.nn import functional


def crop_and_flip(images: Tensor, generator: torch.Generator, padding: int = 4, flips: bool = True) -> Tensor:
    """A random crop of the zero-padded image and a horizontal flip with probability 1/2, each example its own.

    Args:
        images: ``(batch, channels, height, width)``.
        generator: a CPU generator; the same state gives the same result on every device.
        padding: zeros on each side that the crop may take in.
        flips: whether to flip.
    """
    batch, channels, height, width = images.shape
    device = images.device
    top, left = torch.randint(2 * padding + 1, (2, batch, 1), generator=generator).to(device)
    flip = torch.randint(1 + flips, (batch, 1), generator=generator).to(device)
    rows = top + torch.arange(height, device=device)
    across = torch.arange(width, device=device)
    columns = left + torch.where(flip == 1, width - 1 - across, across)
    padded = functional.pad(images, (padding,) * 4)
    examples = torch.arange(batch, device=device)[:, None, None, None]
    planes = torch.arange(channels, device=device)[None, :, None, None]
    return padded[examples, planes, rows[:, None, :, None], columns[:, None, None, :]]
