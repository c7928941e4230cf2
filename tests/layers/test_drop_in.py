"""Every layer takes the arguments, inputs, dtypes and devices that torch's own take. A layer of the table of all
layers that has no row here joins as it is there.
"""

import copy
from collections.abc import Callable
from functools import partial

import numpy
import pytest
import torch
from layer_table import others
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from lipnet.certify.plain import to_plain
from lipnet.layers import (
    AOCConv2d,
    BCOPConv2d,
    BROConv2d,
    CayleyConv2d,
    Cones,
    GramConv2d,
    L2NEConv2d,
    LOTConv2d,
    OrthogonalLinear,
    OSSNConv2d,
    PaddedConv2d,
    RKOConv2d,
    SOCConv2d,
    SpectralLinear,
    SVCMConv2d,
    UnitRowLinear,
    bjorck,
)
from lipnet.layers.constrained import Constrained
from lipnet.layers.convolutions.constrained import ConstrainedConv2d

SIZE = (6, 8)
CONVOLUTIONS: dict[str, tuple[Callable[..., nn.Module], tuple[int, ...]]] = {
    "bcop": (BCOPConv2d, (3, 5, 3)),
    "bcop_bjorck": (partial(BCOPConv2d, orthogonalize=bjorck), (3, 5, 3)),
    "bcop_stride": (BCOPConv2d, (3, 6, 2, 2)),
    "bcop_zeros": (partial(BCOPConv2d, padding_mode="zeros"), (3, 5, 3)),
    "rko": (RKOConv2d, (3, 5, 3)),
    "l2ne": (L2NEConv2d, (3, 5, 3)),
    "ossn": (partial(OSSNConv2d, image_size=SIZE), (3, 5, 3)),
    "svcm": (partial(SVCMConv2d, image_size=SIZE), (3, 5, 3)),
    "gram": (partial(GramConv2d, image_size=SIZE), (3, 5, 3)),
    "cayley": (partial(CayleyConv2d, image_size=SIZE), (3, 5, 3)),
    "bro": (partial(BROConv2d, image_size=SIZE), (3, 5, 3)),
    "lot": (partial(LOTConv2d, image_size=SIZE), (3, 5, 3)),
    "padded": (PaddedConv2d, (3, 5, 3)),
    "padded_stride": (PaddedConv2d, (3, 5, 4, 2)),
}
DENSE: dict[str, tuple[Callable[..., nn.Module], tuple[int, ...]]] = {
    "orthogonal": (OrthogonalLinear, (7, 4)),
    "orthogonal_tall": (OrthogonalLinear, (4, 7)),
    "orthogonal_bjorck": (partial(OrthogonalLinear, orthogonalize=bjorck), (7, 4)),
    "spectral": (SpectralLinear, (7, 4)),
    "unit_rows": (UnitRowLinear, (7, 4)),
}
for _name, (_make, _) in others(partial(make, *sizes) for make, sizes in (CONVOLUTIONS | DENSE).values()).items():
    _table = CONVOLUTIONS if isinstance(_make(), ConstrainedConv2d) else DENSE
    if isinstance(_make(), Constrained):
        _table[_name] = partial(_make.func, **_make.keywords), _make.args
ALL = CONVOLUTIONS | DENSE | {"cones": (Cones, (7, 4))}

over_convolutions = pytest.mark.parametrize(("make", "sizes"), CONVOLUTIONS.values(), ids=CONVOLUTIONS)
over_layers = pytest.mark.parametrize(("make", "sizes"), ALL.values(), ids=ALL)
over_modes = pytest.mark.parametrize("mode", ["train", "eval"])
over_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
over_gradients = pytest.mark.parametrize("gradients", [True, False], ids=["gradients", "no_gradients"])


def built(make: Callable[..., nn.Module], sizes: tuple[int, ...], mode: str = "train", **options: object) -> nn.Module:
    """With parameters that are not where they started."""
    layer = getattr(make(*sizes, **options), mode)()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(1.5)
    return layer


def inputs_of(sizes: tuple[int, ...], dtype: torch.dtype = torch.float32, examples: int = 4) -> Tensor:
    return torch.randn(examples, sizes[0], *(SIZE if len(sizes) > 2 else ()), dtype=dtype)


INTEGERS = {"int64": numpy.int64, "int32": numpy.int32, "uint8": numpy.uint8, "tensor": torch.tensor}


@over_layers
@pytest.mark.parametrize("integer", INTEGERS.values(), ids=INTEGERS)
def test_takes_whole_numbers_of_any_type(make, sizes, integer):
    layer, same = make(*map(integer, sizes)), make(*sizes)
    assert repr(layer) == repr(same)
    for name, value in vars(same).items():
        if isinstance(value, int | tuple):
            assert vars(layer)[name] == value
            assert type(vars(layer)[name]) is type(value)
    layer.load_state_dict(same.state_dict())
    inputs = inputs_of(sizes)
    assert torch.equal(layer.eval()(inputs), same.eval()(inputs))


NOT_SIZES = [0, -1, 1.0, True, numpy.bool_(True), numpy.float64(2), "3", None, [], (3, 5), (3,), (3, 3, 3), (True,) * 2]


@over_layers
@pytest.mark.parametrize("value", NOT_SIZES, ids=repr)
def test_refuses_what_is_no_size(make, sizes, value):
    for place in range(len(sizes)):
        arguments = list(sizes)
        arguments[place] = value
        with pytest.raises(ValueError, match=r" needs (\w+ to be a whole number >= 1|the same \w+ on both axes), got "):
            make(*arguments)


@over_convolutions
def test_takes_equal_pairs(make, sizes):
    channels, (size, *stride) = sizes[:2], sizes[2:]
    layer = make(*channels, (size, size), *((step, step) for step in stride))
    assert repr(layer) == repr(make(*sizes))
    assert repr(make(*channels, [size, size], *stride)) == repr(make(*sizes))


@pytest.mark.parametrize("make", [AOCConv2d, BCOPConv2d, RKOConv2d, L2NEConv2d, OSSNConv2d, PaddedConv2d])
@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ({"kernel_size": 1}, 0),
        ({"kernel_size": 3}, 1),
        ({"kernel_size": 5}, 2),
        ({"kernel_size": 3, "dilation": (2, 2)}, 2),
        ({"kernel_size": 2, "stride": (2, 2)}, 0),
    ],
    ids=str,
)
def test_takes_a_padding_that_is_same(make, options, numbers):
    usual = make(4, 4, **options)
    for padding in ("same", numbers, (numbers, numbers), [numbers, numbers], numpy.int64(numbers)):
        assert repr(make(4, 4, padding=padding, **options)) == repr(usual)
        assert make(4, 4, padding=padding, **options).padding == usual.padding == (numbers, numbers)


@pytest.mark.parametrize(
    "make", [AOCConv2d, BCOPConv2d, RKOConv2d, L2NEConv2d, OSSNConv2d, SVCMConv2d, SOCConv2d, PaddedConv2d]
)
@pytest.mark.parametrize(
    ("options", "padding", "same"),
    [
        ({"kernel_size": 3}, 0, "1"),
        ({"kernel_size": 3}, 2, "1"),
        ({"kernel_size": 3}, (1, 2), "1"),
        ({"kernel_size": 3}, True, "1"),
        ({"kernel_size": 3}, 1.0, "1"),
        ({"kernel_size": 3}, "valid", "1"),
        ({"kernel_size": 2}, 1, "1 before and 0 after each axis"),
        ({"kernel_size": 4, "stride": 2}, 1, "2 before and 0 after each axis"),
    ],
    ids=str,
)
def test_refuses_a_padding_that_is_not_same(make, options, padding, same):
    with pytest.raises(ValueError, match=rf"takes padding='same' only, got .* \('same' is here {same}\)$"):
        make(4, 4, padding=padding, **options)


def test_layers_without_dilation_take_a_padding_that_is_same():
    for padding in (1, (1, 1), "same"):
        assert SVCMConv2d(3, 4, 3, padding=padding).padding == (1, 1)
        assert SOCConv2d(3, 4, 3, padding=padding).kernel_size == 3
        assert CayleyConv2d(3, 4, 3, padding=padding, image_size=4).padding == (2, 1)  # of the weight, not the kernel


@pytest.mark.parametrize("make", [OSSNConv2d, SVCMConv2d])
def test_image_sizes(make):
    for size in (8, [8, 8], (numpy.int64(8), 8), torch.Size((8, 8))):
        layer = make(3, 4, 3, image_size=size)
        assert layer.image_size == (8, 8)
        assert layer(torch.zeros(2, 3, 8, 8)).shape == (2, 4, 8, 8)
    refusals = [((8, 8, 8), "height and width"), ((8, 0), "whole number"), (8.0, "whole number"), ((3, 7), "by 4")]
    for size, reason in refusals:
        with pytest.raises(ValueError, match=reason):
            make(3, 4, 9 if reason == "by 4" else 3, image_size=size)
    with pytest.raises(ValueError, match="divisible by its stride 2, got 5x4"):
        make(3, 4, 2, 2, image_size=(5, 4))


@over_layers
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_dtype_at_construction(make, sizes, dtype):
    layer = make(*sizes, dtype=dtype)
    kinds = {tensor.dtype for tensor in layer.state_dict().values() if tensor.is_floating_point()}
    assert kinds == {dtype}
    assert layer(inputs_of(sizes, dtype)).dtype is dtype
    assert all(bool(torch.isfinite(parameter).all()) for parameter in layer.parameters())


@over_layers
@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64], ids=str)
def test_refuses_dtypes_without_a_norm(make, sizes, dtype):
    with pytest.raises(ValueError, match="needs a real floating-point dtype, got"):
        make(*sizes, dtype=dtype)


LOW = {torch.float16: 1e-2, torch.bfloat16: 8e-2}


@over_layers
@over_modes
@pytest.mark.parametrize("dtype", LOW, ids=str)
def test_low_precision(make, sizes, mode, dtype):
    """The weight is built in float32 and rounded; the parameters and their gradients are of low precision."""
    layer, inputs = built(make, sizes, mode), inputs_of(sizes)
    low = copy.deepcopy(layer).to(dtype)
    exact = copy.deepcopy(low).float()  # the numbers that low precision holds
    outputs = low(inputs.to(dtype))
    assert outputs.dtype is dtype
    torch.testing.assert_close(outputs.float(), exact(inputs.to(dtype).float()), rtol=LOW[dtype], atol=LOW[dtype])
    if hasattr(layer, "weight"):
        torch.testing.assert_close(low.weight, exact.weight.to(dtype), rtol=LOW[dtype], atol=1e-3)
    direction = torch.randn(outputs.shape)
    (outputs.float() * direction).sum().backward()
    (exact(inputs.to(dtype).float()) * direction).sum().backward()
    for parameter, other in zip(low.parameters(), exact.parameters(), strict=True):
        if other.grad is not None:
            assert parameter.grad.dtype is dtype
            error = float((parameter.grad.float() - other.grad).norm())
            assert error <= LOW[dtype] * float(other.grad.norm())


def test_svcm_projects_its_low_precision_parameters():
    layer = SVCMConv2d(3, 5, 3, image_size=SIZE, every=1, dtype=torch.bfloat16)
    with torch.no_grad():
        layer.raw_weight.mul_(5)
    assert float(layer.exact_norm(layer.raw_weight)) > 2
    layer(inputs_of((3, 5, 3), torch.bfloat16))
    assert float(layer.exact_norm(layer.raw_weight)) < 1.1


@over_layers
@over_modes
def test_meta_device(make, sizes, mode):
    """Shapes without values, then memory, then the values of another layer."""
    layer, inputs = built(make, sizes, mode), inputs_of(sizes)
    with torch.device("meta"):
        inside = getattr(make(*sizes), mode)()
    for empty in (inside, getattr(make(*sizes, device="meta"), mode)(), copy.deepcopy(layer).to("meta")):
        outputs = empty(inputs.to("meta"))
        assert outputs.is_meta
        assert outputs.shape == layer(inputs).shape
        outputs.sum().backward()
        filled = empty.to_empty(device="cpu")
        filled.load_state_dict(layer.state_dict())
        torch.testing.assert_close(filled(inputs), copy.deepcopy(layer)(inputs))


@over_layers
@over_modes
@over_types
@over_gradients
def test_empty_batches(make, sizes, mode, dtype, gradients):
    layer = built(make, sizes, mode).to(dtype)
    with torch.set_grad_enabled(gradients):
        inputs = inputs_of(sizes, dtype, examples=0).requires_grad_()
        outputs = layer(inputs)
        assert outputs.shape == (0, *layer(inputs_of(sizes, dtype)).shape[1:])
        if gradients:
            outputs.sum().backward()
            assert inputs.grad.shape == inputs.shape
            assert all(not bool(parameter.grad.any()) for parameter in layer.parameters() if parameter.grad is not None)


@pytest.mark.parametrize(("make", "sizes"), (CONVOLUTIONS | DENSE).values(), ids=CONVOLUTIONS | DENSE)
@over_modes
@over_types
@over_gradients
def test_one_example_without_the_batch_axis(make, sizes, mode, dtype, gradients):
    layer, inputs = built(make, sizes, mode).to(dtype), inputs_of(sizes, dtype).requires_grad_()
    with torch.set_grad_enabled(gradients):
        whole, alone = layer(inputs), layer(inputs[0])
        torch.testing.assert_close(alone, whole[0])
        if gradients:
            (expected,) = torch.autograd.grad(whole[0].pow(2).sum(), inputs)
            (found,) = torch.autograd.grad(alone.pow(2).sum(), inputs)
            torch.testing.assert_close(found, expected)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": lambda inputs: inputs.mT.contiguous().mT,
    "channels last": lambda inputs: inputs.to(memory_format=torch.channels_last) if inputs.dim() == 4 else inputs,
    "every second": lambda inputs: inputs.repeat_interleave(2, -1)[..., ::2],
    "expanded": lambda inputs: inputs[:1].expand(inputs.shape),
}


@over_layers
@over_types
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_inputs_in_any_layout(make, sizes, dtype, layout):
    layer, inputs = built(make, sizes, "eval").to(dtype), layout(inputs_of(sizes, dtype))
    for learns in (True, False):
        layer.requires_grad_(learns)
        torch.testing.assert_close(layer(inputs), layer(inputs.contiguous().clone()))


@over_layers
@over_modes
def test_refuses_other_shapes(make, sizes, mode):
    layer, channels = built(make, sizes, mode), sizes[0]
    shapes = [(2, channels + 1), ()]
    if len(sizes) > 2:
        shapes = [(2, channels + 1, *SIZE), (channels + 1, *SIZE), (2, 2, channels, *SIZE), SIZE, (2, channels), ()]
    for shape in shapes:
        with pytest.raises(
            (RuntimeError, ValueError), match=r"needs (images of shape|inputs)|is 1-Lipschitz on images"
        ):
            layer(torch.zeros(shape))


@pytest.mark.parametrize("size", [(1, 8), (8, 1)], ids=str)
@over_types
def test_circular_padding_never_repeats_a_small_image(size, dtype):
    """What lies beyond would be whatever the memory held."""
    with pytest.raises(ValueError, match="pads by 2 pixels, more than an image of"):
        PaddedConv2d(1, 1, 5, dtype=dtype)(torch.zeros(2, 1, *size, dtype=dtype))


@over_types
def test_images_smaller_than_an_unpadded_kernel(dtype):
    layer = PaddedConv2d(1, 1, 3, 3, padding_mode="zeros", dtype=dtype).requires_grad_(False)
    with pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size"):
        layer(torch.zeros(2, 1, 2, 6, dtype=dtype))


@over_layers
def test_parameters_as_a_vector(make, sizes):
    layer, other, inputs = make(*sizes).eval(), make(*sizes).eval(), inputs_of(sizes)
    layer(inputs)  # the weight is cached
    vector = parameters_to_vector(built(make, sizes).parameters()).detach()
    for both in (layer, other):
        vector_to_parameters(vector, both.parameters())
    assert torch.equal(layer(inputs), other(inputs))


@over_layers
@over_modes
def test_frozen_and_thawed(make, sizes, mode):
    layer, inputs = built(make, sizes, mode), inputs_of(sizes)
    assert not layer.requires_grad_(False)(inputs).requires_grad
    layer.requires_grad_(True)(inputs).sum().backward()
    assert any(parameter.grad is not None for parameter in layer.parameters())


@over_layers
def test_a_plain_copy_in_low_precision(make, sizes):
    layer = built(make, sizes, "eval").to(torch.bfloat16)
    inputs = inputs_of(sizes, torch.bfloat16)
    assert torch.equal(to_plain(layer)(inputs), layer(inputs))
