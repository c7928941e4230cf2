"""Every layer, in one table: what a layer promises is tested of each row, here and wherever a test takes ``others``."""

import functools
from collections.abc import Callable, Iterable
from functools import partial

from torch import nn

from lipnet.layers import (
    Abs,
    AOCConv2d,
    AOCConvTranspose2d,
    AOLConv2d,
    AOLLinear,
    BCOPConv2d,
    BROConv2d,
    BROLinear,
    CayleyConv2d,
    CayleyLinear,
    ChannelShuffle,
    FitChannels,
    FixedSpline,
    Gaussian,
    GroupSort,
    Householder,
    L2NEConv2d,
    LearnedShuffle,
    LinearSpline,
    LOTConv2d,
    MaxMin,
    NActivation,
    Normalize,
    OrthogonalLinear,
    OSSNConv2d,
    PaddedConv2d,
    PixelUnshuffle,
    RKOConv2d,
    Sandwich,
    Scale,
    SOCConv2d,
    SpectralLinear,
    SVCMConv2d,
    ThresholdedSpline,
    UnitRowLinear,
    bjorck,
)
from lipnet.layers.activations.beta_abs import BetaAbs
from lipnet.layers.activations.learned_slopes import prelu
from lipnet.layers.blocks.convex_potential import cpl, sll
from lipnet.layers.blocks.lipnext import lipnext
from lipnet.layers.blocks.liresnet import IdentityConv2d, liresnet
from lipnet.layers.centering import BatchCentering
from lipnet.layers.convolutions.gram import GramConv2d
from lipnet.layers.translation import Translation

ZEROS = {"padding_mode": "zeros"}
BJORCK = {"orthogonalize": bjorck}


def bcop(inputs: int, outputs: int, kernel_size: int, **options: object) -> Callable[[], nn.Module]:
    return partial(BCOPConv2d, inputs, outputs, kernel_size, **options)


def turned(channels: int) -> Householder:
    """With a line in each direction."""
    layer = Householder(channels)
    nn.init.uniform_(layer.angles, -7, 7)
    return layer


def centred(channels: int) -> BatchCentering:
    """In evaluation: in training an output depends on the other examples, so that it has no Jacobian of its own."""
    layer = BatchCentering(channels).eval()
    layer.running_mean.normal_()
    return layer


def soc(inputs: int, outputs: int, kernel_size: int, **options: object) -> Callable[[], nn.Module]:
    """With as many terms as float64 can tell from all of them."""
    return partial(SOCConv2d, inputs, outputs, kernel_size, terms=20, training_terms=20, **options)


def bent(channels: int, knots: int, reach: float) -> FixedSpline:
    """Splines with a kink at each knot."""
    fixed = FixedSpline(channels, knots, reach)
    fixed.slopes.uniform_(-1, 1)
    fixed.starts.normal_()
    return fixed


# name, constructor, input shape without the batch, what its singular values are: all 1 ("orthogonal"), at most 1
# ("1-lipschitz"), at most what is proved ("bounded"); or rows of norm 1
LAYERS = [
    ("bcop_k1", bcop(4, 3, 1), (4, 3, 4), "orthogonal"),
    ("bcop_k2", bcop(4, 3, 2), (4, 4, 4), "orthogonal"),
    ("bcop_k3", bcop(4, 3, 3), (4, 4, 4), "orthogonal"),
    ("bcop_k4", bcop(4, 3, 4), (4, 4, 5), "orthogonal"),
    ("bcop_k5", bcop(4, 3, 5), (4, 5, 5), "orthogonal"),
    ("bcop_k1_narrow_to_wide", bcop(3, 5, 1), (3, 4, 4), "orthogonal"),
    ("bcop_k2_narrow_to_wide", bcop(3, 5, 2), (3, 5, 3), "orthogonal"),
    ("bcop_k3_narrow_to_wide", bcop(3, 5, 3), (3, 5, 4), "orthogonal"),
    ("bcop_k4_narrow_to_wide", bcop(2, 6, 4), (2, 5, 5), "orthogonal"),
    ("bcop_k5_narrow_to_wide", bcop(2, 5, 5), (2, 5, 4), "orthogonal"),
    ("bcop_equal", bcop(4, 4, 3), (4, 4, 4), "orthogonal"),
    ("bcop_equal_odd", bcop(5, 5, 3), (5, 3, 5), "orthogonal"),
    ("bcop_odd_to_odd", bcop(7, 3, 3), (7, 3, 3), "orthogonal"),
    ("bcop_one_channel", bcop(1, 1, 3), (1, 5, 4), "orthogonal"),
    ("bcop_one_channel_in", bcop(1, 4, 3), (1, 5, 5), "orthogonal"),
    ("bcop_one_channel_out", bcop(4, 1, 3), (4, 5, 5), "orthogonal"),
    ("bcop_no_bias", bcop(3, 4, 3, bias=False), (3, 4, 4), "orthogonal"),
    ("bcop_stride2_k2", bcop(2, 5, 2, stride=2), (2, 4, 6), "orthogonal"),
    ("bcop_stride2_k4", bcop(2, 8, 4, stride=2), (2, 6, 6), "orthogonal"),
    ("bcop_stride2_k4_fewer_out", bcop(3, 4, 4, stride=2), (3, 6, 4), "orthogonal"),
    ("bcop_stride2_k4_more_out", bcop(1, 6, 4, stride=2), (1, 6, 6), "orthogonal"),
    ("bcop_stride3_k3", bcop(1, 4, 3, stride=3), (1, 6, 9), "orthogonal"),
    ("bcop_stride3_k6", bcop(1, 5, 6, stride=3), (1, 9, 9), "orthogonal"),
    ("bcop_dilation2_k3", bcop(3, 4, 3, dilation=2), (3, 5, 6), "orthogonal"),
    ("bcop_dilation2_k2", bcop(4, 3, 2, dilation=2), (4, 4, 4), "orthogonal"),
    ("bcop_groups2", bcop(6, 4, 3, groups=2), (6, 4, 3), "orthogonal"),
    ("bcop_groups2_narrow_to_wide", bcop(4, 6, 3, groups=2), (4, 4, 3), "orthogonal"),
    ("bcop_groups2_stride2", bcop(2, 6, 4, stride=2, groups=2), (2, 6, 4), "orthogonal"),
    ("bcop_image_smaller_than_kernel", bcop(4, 3, 5), (4, 2, 3), "orthogonal"),
    ("bcop_image_1x1", bcop(3, 4, 3), (3, 1, 1), "orthogonal"),
    ("bcop_bjorck_k1", bcop(4, 3, 1, **BJORCK), (4, 3, 3), "orthogonal"),
    ("bcop_bjorck_k2", bcop(3, 4, 2, **BJORCK), (3, 4, 4), "orthogonal"),
    ("bcop_bjorck_k3", bcop(5, 4, 3, **BJORCK), (5, 4, 4), "orthogonal"),
    ("bcop_bjorck_k5", bcop(3, 5, 5, **BJORCK), (3, 5, 4), "orthogonal"),
    ("bcop_bjorck_stride2_k4", bcop(2, 6, 4, stride=2, **BJORCK), (2, 6, 4), "orthogonal"),
    ("bcop_bjorck_groups2", bcop(4, 6, 3, groups=2, **BJORCK), (4, 4, 3), "orthogonal"),
    ("bcop_zeros_k1", bcop(4, 3, 1, **ZEROS), (4, 3, 4), "orthogonal"),
    ("bcop_zeros_k2", bcop(4, 3, 2, **ZEROS), (4, 4, 4), "1-lipschitz"),
    ("bcop_zeros_k3", bcop(4, 4, 3, **ZEROS), (4, 4, 5), "1-lipschitz"),
    ("bcop_zeros_k5_narrow_to_wide", bcop(3, 5, 5, **ZEROS), (3, 5, 5), "1-lipschitz"),
    ("bcop_zeros_stride2_k4", bcop(2, 5, 4, stride=2, **ZEROS), (2, 6, 6), "1-lipschitz"),
    ("bcop_zeros_dilation2_k3", bcop(3, 4, 3, dilation=2, **ZEROS), (3, 5, 6), "1-lipschitz"),
    ("bcop_zeros_groups2", bcop(6, 4, 3, groups=2, **ZEROS), (6, 4, 3), "1-lipschitz"),
    ("bcop_zeros_bjorck", bcop(4, 3, 3, **ZEROS, **BJORCK), (4, 5, 4), "1-lipschitz"),
    ("aoc_k3", partial(AOCConv2d, 4, 3, 3), (4, 4, 5), "orthogonal"),
    ("aoc_k4_narrow_to_wide", partial(AOCConv2d, 2, 6, 4), (2, 5, 5), "orthogonal"),
    ("aoc_stride2_k2", partial(AOCConv2d, 2, 5, 2, stride=2), (2, 4, 6), "orthogonal"),
    ("aoc_stride2_k3", partial(AOCConv2d, 4, 6, 3, stride=2), (4, 4, 6), "orthogonal"),
    ("aoc_stride2_k3_fewer_out", partial(AOCConv2d, 5, 2, 3, stride=2), (5, 6, 4), "orthogonal"),
    ("aoc_stride2_k3_more_out", partial(AOCConv2d, 1, 13, 3, stride=2), (1, 6, 6), "orthogonal"),
    ("aoc_stride2_k4_more_out", partial(AOCConv2d, 2, 16, 4, stride=2), (2, 4, 4), "orthogonal"),
    ("aoc_stride3_k5", partial(AOCConv2d, 2, 7, 5, stride=3), (2, 6, 9), "orthogonal"),
    ("aoc_stride3_k4_one_channel", partial(AOCConv2d, 1, 1, 4, stride=3), (1, 6, 6), "orthogonal"),
    ("aoc_dilation2_k3", partial(AOCConv2d, 3, 4, 3, dilation=2), (3, 5, 6), "orthogonal"),
    ("aoc_groups2_stride2", partial(AOCConv2d, 4, 6, 3, stride=2, groups=2), (4, 4, 6), "orthogonal"),
    ("aoc_bjorck_stride2_k3", partial(AOCConv2d, 3, 5, 3, stride=2, **BJORCK), (3, 4, 4), "orthogonal"),
    ("aoc_zeros_stride2_k3", partial(AOCConv2d, 3, 5, 3, stride=2, **ZEROS), (3, 6, 4), "1-lipschitz"),
    ("aoc_transposed_stride2_k3", partial(AOCConvTranspose2d, 6, 4, 3, stride=2), (6, 3, 4), "orthogonal"),
    ("aoc_transposed_stride2_k4_wide", partial(AOCConvTranspose2d, 9, 2, 4, stride=2), (9, 3, 2), "orthogonal"),
    ("aoc_transposed_stride3_k3", partial(AOCConvTranspose2d, 4, 1, 3, stride=3, bias=False), (4, 2, 3), "orthogonal"),
    (
        "aoc_transposed_groups2_dilation2",
        partial(AOCConvTranspose2d, 4, 6, 3, groups=2, dilation=2),
        (4, 5, 4),
        "orthogonal",
    ),
    ("aoc_transposed_zeros", partial(AOCConvTranspose2d, 3, 4, 3, stride=2, **ZEROS), (3, 3, 4), "1-lipschitz"),
    ("rko_k1", partial(RKOConv2d, 4, 3, 1), (4, 3, 4), "orthogonal"),
    ("rko_k3", partial(RKOConv2d, 2, 4, 3), (2, 5, 4), "1-lipschitz"),
    ("rko_k2_more_out", partial(RKOConv2d, 1, 6, 2), (1, 4, 4), "1-lipschitz"),
    ("rko_stride2_k2", partial(RKOConv2d, 2, 5, 2, stride=2), (2, 4, 6), "orthogonal"),
    ("rko_stride2_k4", partial(RKOConv2d, 2, 5, 4, stride=2), (2, 6, 6), "1-lipschitz"),
    ("rko_groups2_dilation2", partial(RKOConv2d, 4, 6, 3, groups=2, dilation=2), (4, 5, 5), "1-lipschitz"),
    ("rko_zeros", partial(RKOConv2d, 3, 4, 3, **ZEROS), (3, 4, 5), "1-lipschitz"),
    ("rko_bjorck", partial(RKOConv2d, 3, 4, 3, **BJORCK), (3, 4, 5), "1-lipschitz"),
    ("l2ne_k3", partial(L2NEConv2d, 2, 4, 3), (2, 5, 4), "1-lipschitz"),
    ("l2ne_stride2_k4", partial(L2NEConv2d, 2, 5, 4, stride=2), (2, 6, 6), "1-lipschitz"),
    ("l2ne_zeros_groups2", partial(L2NEConv2d, 4, 6, 3, groups=2, **ZEROS), (4, 4, 5), "1-lipschitz"),
    ("aol_k3", partial(AOLConv2d, 2, 4, 3), (2, 5, 4), "1-lipschitz"),
    ("aol_square", partial(AOLConv2d, 4, 4, 3), (4, 4, 5), "1-lipschitz"),
    ("aol_fewer_out", partial(AOLConv2d, 5, 3, 2, bias=False), (5, 4, 4), "1-lipschitz"),
    ("aol_three_steps", partial(AOLConv2d, 3, 4, 3, steps=3), (3, 5, 4), "1-lipschitz"),
    ("aol_stride2_k4", partial(AOLConv2d, 2, 5, 4, stride=2, steps=2), (2, 6, 6), "1-lipschitz"),
    ("aol_groups2_dilation2", partial(AOLConv2d, 4, 6, 3, groups=2, dilation=2, steps=2), (4, 5, 5), "1-lipschitz"),
    ("aol_zeros_groups2", partial(AOLConv2d, 4, 6, 3, groups=2, **ZEROS), (4, 4, 5), "1-lipschitz"),
    ("aol_image_smaller_than_kernel", partial(AOLConv2d, 4, 3, 5, steps=2), (4, 2, 3), "1-lipschitz"),
    ("ossn_k3", partial(OSSNConv2d, 2, 4, 3, image_size=(5, 4)), (2, 5, 4), "1-lipschitz"),
    ("ossn_stride2_k4", partial(OSSNConv2d, 2, 5, 4, stride=2, image_size=(6, 8)), (2, 6, 8), "1-lipschitz"),
    ("ossn_zeros", partial(OSSNConv2d, 3, 4, 3, image_size=(4, 5), **ZEROS), (3, 4, 5), "1-lipschitz"),
    (
        "ossn_groups2_dilation2",
        partial(OSSNConv2d, 4, 6, 3, groups=2, dilation=2, image_size=(5, 5)),
        (4, 5, 5),
        "1-lipschitz",
    ),
    ("cayley_k3", partial(CayleyConv2d, 4, 3, 3, image_size=(4, 5)), (4, 4, 5), "orthogonal"),
    ("cayley_k2_narrow_to_wide", partial(CayleyConv2d, 2, 5, 2, image_size=(5, 3)), (2, 5, 3), "orthogonal"),
    ("cayley_k5_small_image", partial(CayleyConv2d, 3, 3, 5, image_size=(3, 2)), (3, 3, 2), "orthogonal"),
    ("cayley_k1_image_1x1", partial(CayleyConv2d, 3, 2, 1, image_size=1), (3, 1, 1), "orthogonal"),
    ("cayley_stride2_k4", partial(CayleyConv2d, 2, 5, 4, stride=2, image_size=(6, 4)), (2, 6, 4), "orthogonal"),
    ("cayley_stride3_k3", partial(CayleyConv2d, 1, 9, 3, stride=3, image_size=6), (1, 6, 6), "orthogonal"),
    ("bro_k3", partial(BROConv2d, 4, 3, 3, image_size=(4, 5)), (4, 4, 5), "orthogonal"),
    ("bro_k2_narrow_to_wide", partial(BROConv2d, 2, 5, 2, image_size=(5, 3)), (2, 5, 3), "orthogonal"),
    ("bro_k5_one_channel", partial(BROConv2d, 1, 1, 5, image_size=(3, 2)), (1, 3, 2), "orthogonal"),
    ("bro_stride2_k4", partial(BROConv2d, 2, 5, 4, stride=2, image_size=(6, 4)), (2, 6, 4), "orthogonal"),
    ("lot_k3", partial(LOTConv2d, 4, 3, 3, image_size=(4, 5)), (4, 4, 5), "orthogonal"),
    ("lot_k2_narrow_to_wide", partial(LOTConv2d, 2, 5, 2, image_size=(5, 3)), (2, 5, 3), "orthogonal"),
    ("lot_stride2_k4", partial(LOTConv2d, 2, 5, 4, stride=2, image_size=(6, 4)), (2, 6, 4), "orthogonal"),
    ("soc_k3", soc(4, 4, 3), (4, 4, 5), "orthogonal"),
    ("soc_k1", soc(3, 3, 1), (3, 3, 2), "orthogonal"),
    ("soc_k2_narrow_to_wide", soc(2, 5, 2), (2, 5, 3), "orthogonal"),
    ("soc_k5_fewer_out", soc(5, 2, 5), (5, 5, 4), "orthogonal"),
    ("soc_one_channel", soc(1, 1, 3), (1, 4, 5), "orthogonal"),
    ("soc_stride2_k4", soc(2, 5, 4, stride=2), (2, 6, 4), "orthogonal"),
    ("soc_stride3_k3", soc(1, 9, 3, stride=3), (1, 6, 9), "orthogonal"),
    ("soc_zeros", soc(3, 4, 3, **ZEROS), (3, 4, 5), "orthogonal"),
    ("soc_zeros_stride2_k4", soc(2, 7, 4, stride=2, **ZEROS), (2, 4, 6), "orthogonal"),
    ("soc_few_terms", partial(SOCConv2d, 3, 3, 3, terms=4, training_terms=4), (3, 4, 5), "bounded"),
    ("soc_few_terms_zeros", partial(SOCConv2d, 3, 3, 3, terms=3, training_terms=3, **ZEROS), (3, 4, 5), "bounded"),
    ("svcm_k3", partial(SVCMConv2d, 2, 4, 3, image_size=(5, 4), every=10), (2, 5, 4), "1-lipschitz"),
    ("svcm_stride2_k4", partial(SVCMConv2d, 2, 5, 4, stride=2, image_size=(6, 8), every=7), (2, 6, 8), "1-lipschitz"),
    ("spectral_wide", partial(SpectralLinear, 12, 5), (12,), "1-lipschitz"),
    ("spectral_tall", partial(SpectralLinear, 5, 12), (5,), "1-lipschitz"),
    ("aol_linear_wide", partial(AOLLinear, 12, 5), (12,), "1-lipschitz"),
    ("aol_linear_tall", partial(AOLLinear, 5, 12), (5,), "1-lipschitz"),
    ("aol_linear_square_steps", partial(AOLLinear, 8, 8, steps=4), (8,), "1-lipschitz"),
    ("unit_rows_wide", partial(UnitRowLinear, 12, 5), (12,), "unit rows"),
    ("unit_rows_tall", partial(UnitRowLinear, 5, 12), (5,), "unit rows"),
    ("bro_eighth", partial(BROConv2d, 9, 6, 3, image_size=(3, 4), share=0.125), (9, 3, 4), "orthogonal"),
    ("linear_bro_eighth", partial(BROLinear, 16, 16, share=0.125), (16,), "orthogonal"),
    ("linear_bro_wide", partial(BROLinear, 12, 5), (12,), "orthogonal"),
    ("linear_bro_tall", partial(BROLinear, 5, 12), (5,), "orthogonal"),
    ("linear_bro_square", partial(BROLinear, 8, 8), (8,), "orthogonal"),
    ("linear_cayley_wide", partial(CayleyLinear, 12, 5), (12,), "orthogonal"),
    ("linear_cayley_tall", partial(CayleyLinear, 5, 12), (5,), "orthogonal"),
    ("linear_cayley_square", partial(CayleyLinear, 8, 8), (8,), "orthogonal"),
    ("linear_wide", partial(OrthogonalLinear, 12, 5), (12,), "orthogonal"),
    ("linear_tall", partial(OrthogonalLinear, 5, 12), (5,), "orthogonal"),
    ("linear_square", partial(OrthogonalLinear, 8, 8), (8,), "orthogonal"),
    ("linear_one_out", partial(OrthogonalLinear, 9, 1), (9,), "orthogonal"),
    ("linear_no_bias", partial(OrthogonalLinear, 12, 5, bias=False), (12,), "orthogonal"),
    ("linear_bjorck_wide", partial(OrthogonalLinear, 12, 5, **BJORCK), (12,), "orthogonal"),
    ("linear_bjorck_tall", partial(OrthogonalLinear, 5, 12, **BJORCK), (5,), "orthogonal"),
    ("linear_bjorck_square", partial(OrthogonalLinear, 8, 8, **BJORCK), (8,), "orthogonal"),
    ("maxmin", MaxMin, (6, 3, 2), "orthogonal"),
    ("maxmin_flat", MaxMin, (10,), "orthogonal"),
    ("groupsort_2", partial(GroupSort, 2), (6, 3, 2), "orthogonal"),
    ("groupsort_4", partial(GroupSort, 4), (8, 2, 3), "orthogonal"),
    ("groupsort_all", partial(GroupSort, None), (7, 2, 2), "orthogonal"),
    ("abs", Abs, (3, 4, 2), "orthogonal"),
    ("householder", partial(Householder, 6), (6, 3, 2), "orthogonal"),
    ("householder_turned", partial(turned, 10), (10,), "orthogonal"),
    ("n_activation", partial(NActivation, 5), (5, 3, 2), "orthogonal"),
    ("n_activation_flat", partial(NActivation, 6), (6,), "orthogonal"),
    ("spline", partial(LinearSpline, 6), (6, 3, 2), "1-lipschitz"),
    ("spline_shared", partial(LinearSpline, 6, 4, 1.5, "relu", shared=True), (5, 3, 2), "1-lipschitz"),
    ("spline_free", partial(LinearSpline, 6, 5, 1.0, "relu", constrained=False), (6, 2), "bounded"),
    ("spline_thresholded", partial(ThresholdedSpline, 6, 0.2, knots=9, initial="abs"), (6,), "1-lipschitz"),
    ("spline_fixed", partial(bent, 6, 18, 1.3), (6, 3, 2), "1-lipschitz"),
    ("gaussian", Gaussian, (3, 4, 2), "1-lipschitz"),
    ("leaky_relu", nn.LeakyReLU, (3, 4, 2), "1-lipschitz"),
    ("prelu", partial(prelu, 3), (3, 4, 2), "1-lipschitz"),
    ("beta_abs", partial(BetaAbs, 5), (5, 2, 3), "orthogonal"),
    ("relu", nn.ReLU, (3, 4, 2), "1-lipschitz"),
    ("identity", nn.Identity, (3, 4, 2), "orthogonal"),
    ("cpl", partial(cpl, 4, (5, 4)), (4, 5, 4), "1-lipschitz"),
    ("cpl_zeros", partial(cpl, 3, (4, 5), kernel_size=2, hidden=5, **ZEROS), (3, 4, 5), "1-lipschitz"),
    ("sll", partial(sll, 4, (5, 4)), (4, 5, 4), "1-lipschitz"),
    ("sll_zeros", partial(sll, 3, (4, 5), kernel_size=2, hidden=5, steps=3, **ZEROS), (3, 4, 5), "1-lipschitz"),
    ("liresnet", partial(liresnet, 4, (5, 4), depth=3), (4, 5, 4), "1-lipschitz"),
    ("liresnet_not_divided", partial(liresnet, 4, (5, 4), depth=3, normalized=False), (4, 5, 4), "bounded"),
    ("identity_conv", partial(IdentityConv2d, 3, 5, 2, scale=2.0, **ZEROS), (3, 4, 5), "bounded"),
    ("sandwich", partial(Sandwich, 7, 4), (7,), "1-lipschitz"),
    ("sandwich_tall", partial(Sandwich, 3, 5), (3,), "1-lipschitz"),
    ("lipnext", partial(lipnext, 8, (4, 3)), (8, 4, 3), "orthogonal"),
    ("gram_k3", partial(GramConv2d, 2, 4, 3, image_size=(5, 4)), (2, 5, 4), "1-lipschitz"),
    (
        "gram_stride2_groups2",
        partial(GramConv2d, 4, 6, 4, 2, groups=2, image_size=6, **ZEROS),
        (4, 6, 6),
        "1-lipschitz",
    ),
    ("translation", partial(Translation, (1, 4, 2)), (3, 4, 2), "orthogonal"),
    ("batch_centering", partial(centred, 3), (3, 4, 2), "orthogonal"),
    ("plain_conv", partial(PaddedConv2d, 3, 5, 4, stride=2), (3, 4, 6), "bounded"),
    ("plain_linear", partial(nn.Linear, 7, 4), (7,), "bounded"),
    ("shuffle", partial(ChannelShuffle, [2, 0, 3, 1]), (4, 3, 2), "orthogonal"),
    ("shuffle_signed", partial(ChannelShuffle, [1, 2, 0], [1, -1, -1]), (3, 4), "orthogonal"),
    ("learned_shuffle", partial(LearnedShuffle, 6), (6, 3, 2), "bounded"),
    ("learned_shuffle_of_pairs", partial(LearnedShuffle, 6, keep_pairs=True, signed=True), (6,), "bounded"),
    ("learned_shuffle_straight", partial(LearnedShuffle, 5, straight_through=True), (5, 3), "orthogonal"),
    ("pixel_unshuffle", partial(PixelUnshuffle, 2), (3, 4, 6), "orthogonal"),
    ("fit_more_channels", partial(FitChannels, 5), (3, 2, 4), "orthogonal"),
    ("fit_fewer_channels", partial(FitChannels, 2), (3, 2, 4), "orthogonal"),
    ("normalize", partial(Normalize, (0.5, 0.2), (1.0, 1.0)), (2, 4, 3), "orthogonal"),
    ("scale_1", partial(Scale, 1.0), (2, 4, 3), "orthogonal"),
]


def others(known: Iterable[Callable[[], nn.Module]]) -> dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]]:
    """Name -> constructor and shape of one row for each class that is none of those that the given ones make."""
    kinds = {type(make()) for make in known}
    found = {}
    for (name, make, shape, _), kind in zip(LAYERS, _kinds(), strict=True):
        if kind not in kinds:
            kinds.add(kind)
            found[name] = make, shape
    return found


@functools.cache
def _kinds() -> list[type[nn.Module]]:
    """The class of each row: to build them all takes a second."""
    return [type(make()) for _, make, _, _ in LAYERS]
