"""Layers with a known Lipschitz constant, used like their ``torch.nn`` counterparts."""

from lipnet.layers.activations.beta_abs import BetaAbs
from lipnet.layers.activations.gaussian import Gaussian
from lipnet.layers.activations.householder import Householder
from lipnet.layers.activations.n_activation import NActivation
from lipnet.layers.activations.sorting import Abs, GroupSort, MaxMin
from lipnet.layers.activations.spline import FixedSpline, LinearSpline, ThresholdedSpline
from lipnet.layers.blocked import BlockedConv2d, BlockedLinear
from lipnet.layers.blocks.composition import Concat, Residual
from lipnet.layers.blocks.cones import Cones
from lipnet.layers.blocks.convex_potential import ConvexPotential, cpl, sll
from lipnet.layers.blocks.lipnext import ChannelShift, lipnext
from lipnet.layers.blocks.liresnet import IdentityConv2d, NearIdentityConv2d, liresnet
from lipnet.layers.blocks.mean import Mean
from lipnet.layers.blocks.mirrored import Mirrored
from lipnet.layers.blocks.sandwich import Sandwich
from lipnet.layers.centering import BatchCentering
from lipnet.layers.convolutions.aoc import AOCConv2d
from lipnet.layers.convolutions.aoc_transposed import AOCConvTranspose2d
from lipnet.layers.convolutions.aol import AOLConv2d
from lipnet.layers.convolutions.bcop import BCOPConv2d
from lipnet.layers.convolutions.bro import BROConv2d
from lipnet.layers.convolutions.cayley import CayleyConv2d
from lipnet.layers.convolutions.constrained import ConstrainedConv2d
from lipnet.layers.convolutions.fourier import FourierConv2d
from lipnet.layers.convolutions.gram import GramConv2d
from lipnet.layers.convolutions.l2ne import L2NEConv2d
from lipnet.layers.convolutions.lot import LOTConv2d
from lipnet.layers.convolutions.ossn import OSSNConv2d
from lipnet.layers.convolutions.padded import PaddedConv2d
from lipnet.layers.convolutions.rko import RKOConv2d
from lipnet.layers.convolutions.soc import SkewExponential, SOCConv2d
from lipnet.layers.convolutions.svcm import SVCMConv2d
from lipnet.layers.dense.aol import AOLLinear
from lipnet.layers.dense.bro import BROLinear
from lipnet.layers.dense.cayley import CayleyLinear
from lipnet.layers.dense.orthogonal import OrthogonalLinear
from lipnet.layers.dense.spectral import SpectralLinear
from lipnet.layers.dense.unit_rows import UnitRowLinear
from lipnet.layers.learned_shuffle import LearnedShuffle
from lipnet.layers.orthogonal import ORTHOGONALIZERS, OrthogonalizationError, bjorck, cholesky
from lipnet.layers.recondition import recondition
from lipnet.layers.shape import FitChannels, Normalize, PixelUnshuffle, Scale
from lipnet.layers.shuffle import ChannelShuffle
from lipnet.layers.translation import Translation

__all__ = [
    "ORTHOGONALIZERS",
    "AOCConv2d",
    "AOCConvTranspose2d",
    "AOLConv2d",
    "AOLLinear",
    "Abs",
    "BCOPConv2d",
    "BROConv2d",
    "BROLinear",
    "BatchCentering",
    "BetaAbs",
    "BlockedConv2d",
    "BlockedLinear",
    "CayleyConv2d",
    "CayleyLinear",
    "ChannelShift",
    "ChannelShuffle",
    "Concat",
    "Cones",
    "ConstrainedConv2d",
    "ConvexPotential",
    "FitChannels",
    "FixedSpline",
    "FourierConv2d",
    "Gaussian",
    "GramConv2d",
    "GroupSort",
    "Householder",
    "IdentityConv2d",
    "L2NEConv2d",
    "LOTConv2d",
    "LearnedShuffle",
    "LinearSpline",
    "MaxMin",
    "Mean",
    "Mirrored",
    "NActivation",
    "NearIdentityConv2d",
    "Normalize",
    "OSSNConv2d",
    "OrthogonalLinear",
    "OrthogonalizationError",
    "PaddedConv2d",
    "PixelUnshuffle",
    "RKOConv2d",
    "Residual",
    "SOCConv2d",
    "SVCMConv2d",
    "Sandwich",
    "Scale",
    "SkewExponential",
    "SpectralLinear",
    "ThresholdedSpline",
    "Translation",
    "UnitRowLinear",
    "bjorck",
    "cholesky",
    "cpl",
    "lipnext",
    "liresnet",
    "recondition",
    "sll",
]
