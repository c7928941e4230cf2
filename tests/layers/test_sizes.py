import numpy
import pytest
import torch

from lipnet.layers.sizes import check_dtype, check_same_padding, equal_sizes, image_sides, whole_number

GOOD = {
    "whole": (whole_number, (3, "size"), 3), "of numpy": (whole_number, (numpy.int64(2), "size"), 2),
    "of torch": (whole_number, (torch.tensor(4), "size"), 4), "one for both": (equal_sizes, (3, "stride"), 3),
    "equal": (equal_sizes, ([2, 2], "stride"), 2), "sides": (image_sides, ((5, 7),), (5, 7)),
    "one side": (image_sides, (6,), (6, 6)),
}  # fmt: skip
BAD = {
    "zero": (whole_number, (0, "size"), "Layer needs size to be a whole number >= 1, got 0"),
    "a fraction": (whole_number, (2.0, "size"), "got 2.0"),
    "a truth value": (whole_number, (True, "size"), "got True"),
    "unequal": (equal_sizes, ((2, 3), "stride"), r"the same stride on both axes, got \(2, 3\)"),
    "three": (equal_sizes, ((2, 2, 2), "stride"), "the same stride on both axes"),
    "three sides": (image_sides, ((5, 5, 5),), "height and width"),
    "half a side": (image_sides, ((5, 0.5),), "image_size to be a whole number"),
    "integers": (check_dtype, (torch.int64,), "needs a real floating-point dtype"),
    "complex": (check_dtype, (torch.complex64,), "needs a real floating-point dtype"),
}


@pytest.mark.parametrize("case", GOOD)
def test_sizes_as_torch_takes_them(case):
    read, arguments, expected = GOOD[case]
    assert read(*arguments, "Layer") == expected


@pytest.mark.parametrize("case", BAD)
def test_sizes_that_are_none(case):
    read, arguments, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        read(*arguments, "Layer")


@pytest.mark.parametrize(
    ("padding", "same", "taken"),
    [
        ("same", (1, 0), True), (1, (1, 1), True), ((1, 1), (1, 1), True), (0, (0, 0), True), (1, (1, 0), False),
        (0, (1, 1), False), ("valid", (0, 0), False), (True, (1, 1), False), ((1.0, 1), (1, 1), False),
    ],
)  # fmt: skip
def test_paddings_that_are_the_same(padding, same, taken):
    if taken:
        check_same_padding(padding, same, "Layer")
    else:
        with pytest.raises(ValueError, match="Layer takes padding='same' only"):
            check_same_padding(padding, same, "Layer")
