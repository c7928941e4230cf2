import math

import pytest

from lipnet.options.constraints import constraints, end_at, permitted_at, polynomials, problems_of

MUST = "must be a list of constraints, each of inputs and one of permitted, forbidden, curves, classes, function"
LINE = {"inputs": [[-1.0, 1.0]], "permitted": [[0.0, 1.0]]}
# What is written -> what is wrong with it.
BAD = {
    "no list": (3, ""),
    "an empty list": ([], ""),
    "no inputs": ([{"permitted": [[0, 1]]}], "constraint 1 has no inputs; it "),
    "nothing of the outputs": ([{"inputs": [[0, 1]]}], "constraint 1 has inputs alone; it "),
    "two kinds": ([LINE | {"forbidden": [[3, 4]]}], "constraint 1 has permitted, forbidden; it "),
    "an unknown kind": ([LINE, LINE | {"allowed": [[3, 4]]}], "constraint 2 has allowed; it "),
    "a kind with a slip": (
        [{"inputs": [[0, 1]], "permited": [[0, 1]]}], "constraint 1 has permited, did you mean permitted? it ",
    ),
    "an empty region": (
        [LINE | {"inputs": [[1, 1]]}], "constraint 1: no input is between 1 and 1, an empty region; it ",
    ),
    "a region inside out": (
        [LINE | {"inputs": [[0.3, -0.3]]}], "constraint 1: no input is between 0.3 and -0.3, an empty region; it ",
    ),
    "a region of text": (
        [LINE | {"inputs": ["all"]}],
        "constraint 1: its inputs are no list of one [low,high], or null, for each coordinate; it ",
    ),
    "ends that cross": ([LINE | {"permitted": [[3, 2.5]]}], "constraint 1: the ends of [3,2.5] cross; it "),
    "an interval without ends": (
        [LINE | {"permitted": [[None, None]]}], "constraint 1: its permitted cannot be read; it ",
    ),
    "an end for two coordinates": (
        [LINE | {"permitted": [[0, [[1], [1]]]]}], "constraint 1: its permitted cannot be read; it ",
    ),
    "an end that is infinite": (
        [LINE | {"permitted": [[0, math.inf]]}], "constraint 1: its permitted cannot be read; it ",
    ),
    "a class that is none": ([{"inputs": [[0, 1]], "classes": [-1]}], "constraint 1: its classes cannot be read; it "),
    "a curve of text": ([{"inputs": [[0, 1]], "curves": ["sine"]}], "constraint 1: its curves cannot be read; it "),
    "a function without a name": (
        [{"inputs": [[0, 1]], "function": 3}], "constraint 1: its function cannot be read; it ",
    ),
}  # fmt: skip
# Constraints, coordinates, classes -> what does not go together.
WRONG = {
    "too few inputs": (
        [LINE], 2, 0, "dataset.constraints, constraint 1: its inputs have 1 entries, and there are 2 inputs.",
    ),
    "classes of numbers": (
        [{"inputs": [[0, 1]], "classes": [1]}], 1, 0,
        "dataset.constraints, constraint 1: this data set has numbers as outputs; use permitted, forbidden or curves.",
    ),
    "numbers of classes": (
        [LINE], 1, 3, "dataset.constraints, constraint 1: this data set has classes as outputs; use classes.",
    ),
    "a class that there is not": (
        [{"inputs": [[0, 1]], "classes": [1, 3]}], 1, 3,
        "dataset.constraints, constraint 1: classes=[1, 3] are not some, but not all, of 0 to 2.",
    ),
    "all classes": (
        [{"inputs": [[0, 1]], "classes": [0, 1]}], 1, 2,
        "dataset.constraints, constraint 1: classes=[0, 1] are not some, but not all, of 0 to 1.",
    ),
    "polynomials that cross": (
        [LINE | {"permitted": [[[0.0, 1.0], 0.5]]}], 1, 0,
        "dataset.constraints, constraint 1: at x = 1 the ends of an interval cross, 1 and 0.5.",
    ),
    "constraints that contradict each other": (
        [LINE, {"inputs": [[0.5, 2.0]], "permitted": [[1.5, 2.0]]}], 1, 0,
        "dataset.constraints: constraints 1 and 2 contradict each other at x = 0.5; no output is permitted there.",
    ),
    "classes that contradict each other": (
        [{"inputs": [[0, 1], None], "classes": [0]}, {"inputs": [[0, 1], [0, 1]], "classes": [1, 2]}], 2, 3,
        "dataset.constraints: constraints 1 and 2 contradict each other at x = (0, 0); no output is permitted there.",
    ),
    "a thin overlap": (
        [
            {"inputs": [[0, 1], [0, 1]], "permitted": [[0, 1]]},
            {"inputs": [[0.999, 2], [-1, 0.001]], "permitted": [[2, 3]]},
        ], 2, 0,
        "dataset.constraints: constraints 1 and 2 contradict each other at x = (1, 0); no output is permitted there.",
    ),
    "a curve where nothing near it is permitted": (
        [LINE, {"inputs": [[0, 0.5]], "curves": [[4.0], [-3.0]]}], 1, 0,
        "dataset.constraints: constraints 1 and 2 contradict each other at x = 0; no output is permitted there.",
    ),
    "everything is forbidden": (
        [{"inputs": [[0, 1]], "forbidden": [[None, 1], [0, None]]}], 1, 0,
        "dataset.constraints: constraint 1 cannot be kept at x = 0; no output is permitted there.",
    ),
}  # fmt: skip
GOOD = [
    ([LINE, {"inputs": [[0.5, 2.0]], "permitted": [[0.5, 2.0]]}], 1, 0),
    ([LINE, {"inputs": [[2.0, 3.0]], "permitted": [[1.5, 2.0]]}], 1, 0),
    ([LINE, {"inputs": [[0, 3.0]], "forbidden": [[0.2, 0.8], [-5, -3]]}], 1, 0),
    ([LINE, {"inputs": [[0, 0.5]], "curves": [[1.5], [-3.0]]}], 1, 0),
    ([{"inputs": [[0, 1], None], "permitted": [[[[0, 1], [0, 2]], None]]}], 2, 0),
    ([{"inputs": [None] * 9, "classes": [0]}], 9, 2),
    ([{"inputs": [[0, 1]], "function": "anything"}], 1, 0),
]


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_a_constraint_is_said(name):
    given, told = BAD[name]
    with pytest.raises(ValueError, match="constraint") as error:
        constraints(given)
    assert str(error.value) == told + MUST


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_go_together_is_said(name):
    given, coordinates, classes, told = WRONG[name]
    assert list(problems_of(constraints(given), coordinates, classes)) == [told]


@pytest.mark.parametrize(("given", "coordinates", "classes"), GOOD)
def test_what_goes_together_is_left_alone(given, coordinates, classes):
    checked = constraints(given)
    assert list(problems_of(checked, coordinates, classes)) == []
    assert constraints(checked) == checked  # as a checkpoint holds it


def test_ends_are_numbers_or_polynomials():
    assert end_at(2.5, (7.0,), 0.0) == 2.5
    assert end_at(None, (7.0,), -math.inf) == -math.inf
    assert end_at([1.0, -2.0, 3.0], (2.0,), 0.0) == 1 - 4 + 12
    assert end_at([[1.0, 1.0], [0.0, 0.0, 2.0]], (3.0, 5.0), 0.0) == 4 + 50
    assert polynomials(2.5, 3) == [[2.5], [0.0], [0.0]]


def test_what_is_not_forbidden_is_permitted():
    assert permitted_at({"forbidden": [[3, 4], [0, 1]]}, (0.0,)) == [(-math.inf, 0), (1, 3), (4, math.inf)]
    assert permitted_at({"forbidden": [[None, 1], [0, 2]]}, (0.0,)) == [(2, math.inf)]
    assert permitted_at({"curves": [[1.0, 2.0]]}, (3.0,), reach=0.5) == [(6.5, 7.5)]
    assert permitted_at({"classes": [0]}, (0.0,)) is None
