"""Layers with a known Lipschitz constant, used like their ``torch.nn`` counterparts."""

from lipnet.layers.activations import Abs, GroupSort, MaxMin
from lipnet.layers.bcop import BCOPConv2d
from lipnet.layers.conv import PaddedConv2d
from lipnet.layers.linear import OrthogonalLinear
from lipnet.layers.orthogonal import ORTHOGONALIZERS, OrthogonalizationError, bjorck, cholesky
from lipnet.layers.recondition import recondition
from lipnet.layers.shape import Normalize, PixelUnshuffle, Scale

__all__ = [
    "ORTHOGONALIZERS",
    "Abs",
    "BCOPConv2d",
    "GroupSort",
    "MaxMin",
    "Normalize",
    "OrthogonalLinear",
    "OrthogonalizationError",
    "PaddedConv2d",
    "PixelUnshuffle",
    "Scale",
    "bjorck",
    "cholesky",
    "recondition",
]
