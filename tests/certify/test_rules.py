"""The rules for torch's modules: their constants, and what has none."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils import spectral_norm
from torch.nn.utils.parametrizations import spectral_norm as parametrized_spectral_norm

from lipnet.certify import lipschitz_bound
from lipnet.certify.bound import output_shape
from lipnet.layers import ChannelShuffle, Concat, Gaussian, Mean, Mirrored, Residual, Scale


def batch_norm(**options):
    module = nn.BatchNorm2d(3, **options).eval()
    module.running_var.copy_(torch.tensor([0.25, 4.0, 1.0]))
    if module.affine:
        module.weight.data.copy_(torch.tensor([1.0, -9.0, 3.0]))
    return module


def broken_shuffle():
    module = ChannelShuffle([2, 0, 1])
    module.order[0] = 1
    return module


AFFINE = {
    "conv1d": (lambda: nn.Conv1d(3, 4, 3, 2, 1, 2), (3, 11)),
    "conv2d valid": (lambda: nn.Conv2d(3, 4, (3, 2)), (3, 7, 6)),
    "conv2d zeros": (lambda: nn.Conv2d(3, 4, 3, (2, 1), (1, 3), (1, 2)), (3, 7, 8)),
    "conv2d same": (lambda: nn.Conv2d(2, 3, 3, padding="same", dilation=2), (2, 6, 5)),
    "conv2d groups": (lambda: nn.Conv2d(4, 6, 3, padding=1, groups=2), (4, 5, 5)),
    "conv2d circular": (lambda: nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), (3, 6, 5)),
    "conv2d circular, stride divides": (lambda: nn.Conv2d(3, 4, 3, 2, 1, padding_mode="circular"), (3, 6, 8)),
    "conv2d circular, stride does not": (lambda: nn.Conv2d(3, 4, 3, 2, 1, padding_mode="circular"), (3, 7, 5)),
    "conv2d circular, rows repeated": (lambda: nn.Conv2d(2, 3, 2, 1, 3, padding_mode="circular"), (2, 4, 4)),
    "conv2d circular, taps wrap": (lambda: nn.Conv2d(2, 3, 3, 1, 2, 2, padding_mode="circular"), (2, 3, 3)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2, 2, 1), (2, 3, 4, 3)),
    "conv transposed 1d": (lambda: nn.ConvTranspose1d(3, 2, 3, 2, 1, 1), (3, 5)),
    "conv transposed 2d": (lambda: nn.ConvTranspose2d(4, 2, (3, 4), 2, (1, 0), (1, 0), groups=2), (4, 3, 4)),
    "conv transposed 3d": (lambda: nn.ConvTranspose3d(2, 2, 2, 2), (2, 2, 3, 2)),
    "average": (lambda: nn.AvgPool2d(2), (2, 6, 6)),
    "average, overlapping": (lambda: nn.AvgPool2d(3, 2, 1), (2, 7, 6)),
    "average, borders": (lambda: nn.AvgPool2d((3, 2), 2, 1, True, False), (2, 6, 5)),
    "average, divisor": (lambda: nn.AvgPool2d(3, 1, 1, divisor_override=2), (1, 5, 6)),
    "average 1d": (lambda: nn.AvgPool1d(3, 2, 1), (2, 8)),
    "average 3d": (lambda: nn.AvgPool3d(2, 1), (1, 3, 4, 3)),
    "adaptive average": (lambda: nn.AdaptiveAvgPool2d((2, 3)), (2, 5, 7)),
    "global average": (lambda: nn.AdaptiveAvgPool2d(1), (3, 5, 4)),
    "bilinear": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (2, 4, 5)),
    "bilinear, corners": (lambda: nn.UpsamplingBilinear2d(size=(7, 9)), (1, 4, 5)),
    "bicubic": (lambda: nn.Upsample(size=(7, 5), mode="bicubic"), (1, 4, 6)),
    "trilinear": (lambda: nn.Upsample(scale_factor=1.5, mode="trilinear"), (1, 4, 3, 2)),
    "nearest-exact": (lambda: nn.Upsample(size=(7, 5), mode="nearest-exact"), (1, 4, 6)),
    "circular padding": (lambda: nn.CircularPad2d((1, 3, 2, 0)), (2, 4, 3)),
    "reflection padding": (lambda: nn.ReflectionPad2d(2), (2, 4, 3)),
    "replication padding": (lambda: nn.ReplicationPad1d((1, 4)), (2, 4)),
    "constant padding": (lambda: nn.ConstantPad2d(1, 3.0), (2, 4, 3)),
    "batch norm": (batch_norm, (3, 4, 4)),
    "batch norm without weights": (lambda: batch_norm(affine=False), (3, 4, 4)),
    "channel shuffle": (lambda: nn.ChannelShuffle(2), (4, 3, 3)),
    "channel shuffle by an order": (lambda: ChannelShuffle([2, 0, 1], [1, -1, 1]), (3, 3)),
    "dropout": (lambda: nn.Dropout(0.9).eval(), (3, 4)),
    "unflatten": (lambda: nn.Unflatten(1, (2, 3)), (6,)),
    "residual": (lambda: Residual(Scale(2.0)), (4,)),
    "residual with a shortcut": (lambda: Residual(Scale(2.0), Scale(0.5)), (4,)),
    "concatenation": (lambda: Concat(nn.Identity(), Scale(2.0), Scale(-2.0)), (4,)),
    "mean": (lambda: Mean(Scale(2.0), nn.Identity()), (4,)),
    "mirrored": (lambda: Mirrored(Scale(2.0)).train(), (2, 3, 4)),
}
LOOSE = {"conv transposed 2d", "conv transposed 3d"}  # larger than what is written down as a matrix


@pytest.mark.parametrize("name", AFFINE)
def test_affine_modules_are_bounded_tightly(name, dense_matrix):
    make, shape = AFFINE[name]
    module = make()
    true = float(torch.linalg.matrix_norm(dense_matrix(module, shape), ord=2))
    bound = lipschitz_bound(module, shape)
    assert true * (1 - 1e-14) <= bound <= true * (1.5 if name in LOOSE else 1 + 1e-9)


@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_large_images_are_bounded_without_their_matrix(padding_mode, stride, dense_matrix):
    conv = nn.Conv2d(2, 3, 3, stride, 2, padding_mode=padding_mode)
    true = float(torch.linalg.matrix_norm(dense_matrix(conv, (2, 16, 13)), ord=2))
    assert true <= lipschitz_bound(conv, (2, 16, 13)) <= (1.1 if padding_mode == "zeros" else 2) * true


ACTIVATIONS = [
    Gaussian(), nn.CELU(0.5), nn.ELU(), nn.ELU(3.0), nn.GELU(), nn.GELU("tanh"), nn.Hardsigmoid(), nn.Hardswish(),
    nn.Hardtanh(),
    nn.LeakyReLU(), nn.LogSigmoid(), nn.Mish(), nn.PReLU(init=-2.0), nn.ReLU6(), nn.RReLU(3, 4).eval(), nn.SELU(),
    nn.Sigmoid(), nn.SiLU(), nn.Softshrink(), nn.Softsign(), nn.Tanh(), nn.Tanhshrink(),
]  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_activations_have_their_largest_slope(activation):
    points = torch.linspace(-12, 12, 240_001, dtype=torch.float64, requires_grad=True)
    (slopes,) = torch.autograd.grad(activation.double()(points).sum(), points)
    largest = float(slopes.abs().max())
    assert largest <= lipschitz_bound(activation.float(), (4,)) <= 1.001 * largest


@pytest.mark.parametrize(
    "module", [nn.MaxPool2d(2), nn.MaxPool2d((2, 1), (3, 1), (1, 0)), nn.AdaptiveMaxPool2d((3, 2))], ids=str
)
def test_maxima_of_disjoint_windows_have_constant_one(module):
    assert lipschitz_bound(module, (2, 6, 6)) == 1


REFUSED = {
    "overlapping windows": (nn.MaxPool2d(3, 2), "windows overlap .* use a stride"),
    "overlapping dilated windows": (nn.MaxPool2d(2, 2, dilation=2), "windows overlap"),
    "overlapping adaptive windows": (nn.AdaptiveMaxPool2d(4), "windows overlap .* 6 pixels become 4"),
    "indices": (nn.MaxPool2d(2, return_indices=True), "return_indices=False"),
    "reflected": (nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"), "'reflect'.* use 'zeros' or 'circular'"),
    "replicated": (nn.Conv2d(3, 3, 3, padding=1, padding_mode="replicate"), "'replicate'.* use 'zeros' or 'circular'"),
    "training batch norm": (nn.BatchNorm2d(3), r"batch's own deviations.* call \.eval\(\)"),
    "batch norm without statistics": (nn.BatchNorm2d(3, track_running_stats=False).eval(), "track_running_stats=True"),
    "training dropout": (nn.Dropout(0.5), r"random; call \.eval\(\)"),
    "training RReLU": (nn.RReLU(), r"random; call \.eval\(\)"),
    "negative CELU": (nn.CELU(-1.0), "alpha > 0"),
    "broken shuffle": (broken_shuffle(), "an order that holds each of 0 to 2 once"),
    "merged batch": (nn.Flatten(0), "start_dim >= 1"),
    "hooked weight": (spectral_norm(nn.Linear(6, 6)), r"torch\.nn\.utils\.parametrizations"),
    "training parametrization": (parametrized_spectral_norm(nn.Linear(6, 6)), r"call \.eval\(\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_modules_without_a_bound_are_refused_by_name(name):
    module, reason = REFUSED[name]
    name = type(module).__name__
    with pytest.raises(TypeError, match=rf"^no Lipschitz bound for Sequential\.1 \({name}\): .*{reason}"):
        lipschitz_bound(nn.Sequential(nn.ReLU(), module), (3, 6, 6))


def test_parametrized_layer_is_bounded_by_its_effective_weight():
    layer = parametrized_spectral_norm(nn.Linear(6, 4)).eval()
    true = float(torch.linalg.matrix_norm(layer.weight.detach().double(), ord=2))
    assert true <= lipschitz_bound(layer, (6,)) <= true * (1 + 1e-9)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
@pytest.mark.parametrize("circular", [True, False])
def test_squares_neither_overflow_nor_underflow(scale, circular):
    mode = "circular" if circular else "zeros"
    linear, conv = nn.Linear(5, 4).double(), nn.Conv2d(2, 3, 3, padding=1, padding_mode=mode).double()
    for layer, shape in ((linear, (5,)), (conv, (2, 8, 8)), (conv, (2, 20, 20))):
        before = lipschitz_bound(layer, shape)
        layer.weight.data *= scale
        assert lipschitz_bound(layer, shape) == pytest.approx(scale * before, rel=1e-12)
        layer.weight.data /= scale


def test_weights_of_zeros_have_a_positive_bound():
    layer = nn.Linear(3, 2)
    layer.weight.data.zero_()
    assert 0 < lipschitz_bound(layer, (3,)) < 1e-100


def test_networks_of_any_shape_compose():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        Residual(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 8, 1))),
        Concat(nn.AvgPool2d(2), nn.MaxPool2d(2)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4),
    ).eval()  # fmt: skip
    assert output_shape(network, (3, 16, 16)) == (4,)
    assert math.isfinite(lipschitz_bound(network, (3, 16, 16)))


def test_what_a_padding_leaves_as_the_memory_held_it_is_refused():
    with pytest.raises(TypeError, match=r"it gives numbers that are no pixels of its input|or on chance"):
        lipschitz_bound(nn.CircularPad1d((2, -3)), (1, 3))
