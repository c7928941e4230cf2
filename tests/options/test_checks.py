import math

import pytest

from lipnet.options.checks import (
    boolean,
    list_of,
    number,
    one_of,
    optional,
    path,
    radii,
    radius_value,
    registered,
    seed,
    some_of,
    text,
    whole,
)

NAN, INF = math.nan, math.inf

# check: (value, what it becomes), ...
ACCEPTED = {
    "number": (number(), [(0, 0.0), (-1.5, -1.5), (1e300, 1e300)]),
    "number above 0": (number(above=0), [(5e-324, 5e-324), (3, 3.0)]),
    "number from 0 to 0.5": (number(at_least=0, at_most=0.5), [(0, 0.0), (0.5, 0.5)]),
    "number from 0 below 1": (number(at_least=0, below=1), [(0, 0.0), (math.nextafter(1, 0), math.nextafter(1, 0))]),
    "number or fraction": (number(above=0, fractions=True), [("36/255", 36 / 255), ("0.5", 0.5), (2, 2.0)]),
    "whole": (whole(1), [(1, 1), (10**20, 10**20)]),
    "boolean": (boolean, [(True, True), (False, False)]),
    "seed": (seed(bits=64), [(0, 0), (2**64 - 1, 2**64 - 1)]),
    "text": (text, [("a", "a"), (" ", " ")]),
    "path": (path, [("a/b", "a/b"), (7, "7")]),
    "one_of": (one_of("auto", "cpu"), [("auto", "auto"), ("cpu", "cpu")]),
    "registered": (registered("a name", lambda: ["a", "b"]), [("a", "a"), ("b", "b")]),
    "optional": (optional(whole(2)), [(None, None), (2, 2)]),
    "list_of": (list_of(number()), [([], []), ([1, 2.5], [1.0, 2.5]), ((1,), [1.0])]),
    "list_of two": (list_of(whole(0), length=2), [([0, 1], [0, 1])]),
    "list_of at least one": (list_of(whole(0), at_least=1), [([0], [0]), ([2, 1], [2, 1])]),
    "radii": (
        radii,
        [
            ([0.5], ["0.5"]),
            (["36/255", 1, 1.58], ["36/255", "1", "1.58"]),
            (["0.30"], ["0.30"]),
            (("1/3", "1/2"), ["1/3", "1/2"]),
        ],
    ),
}

RADII = "must be a list of different radii > 0, numbers or fractions such as [0.3,36/255]"

# check: its complaint, the values that earn it
REFUSED = {
    "number": (number(), "must be a finite number", ["1", True, None, [1], {}, NAN, INF, -INF, 10**400]),
    "number above 0": (number(above=0), "must be a finite number > 0", [0, 0.0, -1e-9, NAN, INF]),
    "number or fraction": (
        number(above=0, fractions=True),
        "must be a finite number > 0, or a fraction such as 36/255",
        [0, "0/3", "1/0", "-1/2", "x", "", "nan", "inf", "1e999", True, None],
    ),
    "number in (0, 100]": (number(above=0, at_most=100), "must be a finite number > 0 and <= 100", [0, 100.1, "x"]),
    "number in [0, 0.5]": (
        number(at_least=0, at_most=0.5),
        "must be a finite number >= 0 and <= 0.5",
        [-1e-9, 0.9, math.nextafter(0.5, 1)],
    ),
    "number in [0, 1)": (number(at_least=0, below=1), "must be a finite number >= 0 and < 1", [1, 1.0, -0.1]),
    "whole from 1": (whole(1), "must be a whole number >= 1", [0, -1, 1.0, 1.5, "1", True, None, [1], NAN]),
    "whole from 0": (whole(0), "must be a whole number >= 0", [-1, False, "0"]),
    "whole from 1 to 9": (whole(1, at_most=9), "must be a whole number >= 1 and <= 9", [0, 10]),
    "seed": (seed(bits=64), "must be a whole number >= 0 and < 2^64", [-1, 2**64, 0.0, True]),
    "boolean": (boolean, "must be true or false", [0, 1, "true", "yes", None, []]),
    "text": (text, "must be a non-empty text", ["", None, 7, True, ["a"]]),
    "path": (path, "must be a path", ["", None, 1.5, True]),
    "registered": (
        registered("a name", lambda: ["a", "b"]),
        "not one of a, b; it must be a name",
        [None, 0, "c", ["a"]],
    ),
    "one_of": (one_of("auto", "cpu"), "must be one of auto, cpu", ["gpu", "CPU", "", None, 0, ["cpu"]]),
    "some_of": (
        some_of({"fgsm": 0, "pgd": 1}),
        "must be a list of different names among fgsm, pgd",
        ["fgsm", None, ["pgd", "pgd"]],
    ),
    "some_of nearly": (
        some_of({"fgsm": 0, "pgd": 1}),
        "fgsn is not there; did you mean fgsm? it must be a list of different names among fgsm, pgd",
        [["fgsn"], ["pgd", "fgsn"]],
    ),
    "optional": (optional(whole(2)), "must be a whole number >= 2, or null", [1, "null", 2.0]),
    "list_of": (list_of(whole(1)), "must be a list, each entry a whole number >= 1", [1, "12", None, {"a": 1}]),
    "list_of entries": (
        list_of(whole(1)),
        "must be a list, each entry a whole number >= 1",
        [[0], [1, 2.5], [1, "x"], [[1]], [None]],
    ),
    "list_of two": (
        list_of(whole(1), length=2),
        "must be a list of 2, each entry a whole number >= 1",
        [[], [1], [1, 2, 3]],
    ),
    "list_of at least two": (
        list_of(whole(1), at_least=2),
        "must be a list of at least 2, each entry a whole number >= 1",
        [[], [1]],
    ),
    "radii": (radii, RADII, [[], None, 0.5, "0.5", {"0.5": 1}]),
    "radii entries": (radii, RADII, [[0], [-1], ["wide"], ["1/0"], [NAN], [INF], [None], [True], [[1]], ["1e999"]]),
    "radii repeated": (radii, RADII, [[0.5, 0.5], [0.5, "1/2"], ["2/4", "1/2"]]),
}

RADIUS_VALUES = [
    ("0.5", 0.5),
    ("1", 1.0),
    ("36/255", 36 / 255),
    ("108/255", 108 / 255),
    ("1e-3", 0.001),
    ("1/3", 1 / 3),
]


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name):
    check, pairs = ACCEPTED[name]
    for given, expected in pairs:
        found = check(given)
        assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    check, complaint, values = REFUSED[name]
    for value in values:
        with pytest.raises(ValueError, match="must") as error:
            check(value)
        assert (value, str(error.value)) == (value, complaint)


@pytest.mark.parametrize(("written", "expected"), RADIUS_VALUES)
def test_radius_value_is_the_nearest_float(written, expected):
    assert radius_value(written) == expected


@pytest.mark.parametrize("written", ["wide", "1/0", "", "1/2/3", "0.5 0.6"])
def test_radius_value_refuses(written):
    with pytest.raises(ValueError, match="is no finite number"):
        radius_value(written)
