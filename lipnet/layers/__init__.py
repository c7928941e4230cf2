"""Layers with a known Lipschitz constant, used like their ``torch.nn`` counterparts."""

from lipnet.layers.activations.gaussian import Gaussian
from lipnet.layers.activations.sorting import Abs, GroupSort, MaxMin
from lipnet.layers.activations.spline import FixedSpline, LinearSpline, ThresholdedSpline
from lipnet.layers.blocked import BlockedConv2d, BlockedLinear
from lipnet.layers.blocks.composition import Concat, Residual
from lipnet.layers.blocks.cones import Cones
from lipnet.layers.blocks.mean import Mean
from lipnet.layers.convolutions.bcop import BCOPConv2d
from lipnet.layers.convolutions.constrained import ConstrainedConv2d
from lipnet.layers.convolutions.l2ne import L2NEConv2d
from lipnet.layers.convolutions.ossn import OSSNConv2d
from lipnet.layers.convolutions.padded import PaddedConv2d
from lipnet.layers.convolutions.rko import RKOConv2d
from lipnet.layers.convolutions.svcm import SVCMConv2d
from lipnet.layers.dense.orthogonal import OrthogonalLinear
from lipnet.layers.dense.spectral import SpectralLinear
from lipnet.layers.dense.unit_rows import UnitRowLinear
from lipnet.layers.learned_shuffle import LearnedShuffle
from lipnet.layers.orthogonal import ORTHOGONALIZERS, OrthogonalizationError, bjorck, cholesky
from lipnet.layers.recondition import recondition
from lipnet.layers.shape import Normalize, PixelUnshuffle, Scale
from lipnet.layers.shuffle import ChannelShuffle

__all__ = [
    "ORTHOGONALIZERS",
    "Abs",
    "BCOPConv2d",
    "BlockedConv2d",
    "BlockedLinear",
    "ChannelShuffle",
    "Concat",
    "Cones",
    "ConstrainedConv2d",
    "FixedSpline",
    "Gaussian",
    "GroupSort",
    "L2NEConv2d",
    "LearnedShuffle",
    "LinearSpline",
    "MaxMin",
    "Mean",
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
    "ThresholdedSpline",
    "UnitRowLinear",
    "bjorck",
    "cholesky",
    "recondition",
]
