"""Layers with a known Lipschitz constant, used like their ``torch.nn`` counterparts."""

from lipnet.layers.activations import Abs, GroupSort, MaxMin
from lipnet.layers.bcop import BCOPConv2d
from lipnet.layers.blocked import BlockedLinear
from lipnet.layers.composition import Concat, Residual
from lipnet.layers.cones import Cones
from lipnet.layers.constrained import ConstrainedConv2d
from lipnet.layers.conv import PaddedConv2d
from lipnet.layers.l2ne import L2NEConv2d
from lipnet.layers.linear import OrthogonalLinear
from lipnet.layers.orthogonal import ORTHOGONALIZERS, OrthogonalizationError, bjorck, cholesky
from lipnet.layers.ossn import OSSNConv2d
from lipnet.layers.recondition import recondition
from lipnet.layers.rko import RKOConv2d
from lipnet.layers.shape import Normalize, PixelUnshuffle, Scale
from lipnet.layers.spectral import SpectralLinear
from lipnet.layers.svcm import SVCMConv2d
from lipnet.layers.unit_rows import UnitRowLinear

__all__ = [
    "ORTHOGONALIZERS",
    "Abs",
    "BCOPConv2d",
    "BlockedLinear",
    "Concat",
    "Cones",
    "ConstrainedConv2d",
    "GroupSort",
    "L2NEConv2d",
    "MaxMin",
    "Normalize",
    "OSSNConv2d",
    "OrthogonalLinear",
    "OrthogonalizationError",
    "PaddedConv2d",
    "PixelUnshuffle",
    "RKOConv2d",
    "Residual",
    "SVCMConv2d",
    "Scale",
    "SpectralLinear",
    "UnitRowLinear",
    "bjorck",
    "cholesky",
    "recondition",
]
