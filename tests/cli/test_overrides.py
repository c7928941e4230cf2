import pytest

from lipnet.cli.overrides import parse_overrides, radii_as_written, text_of, values_of, without_option

ARGUMENTS = [
    (["a=1", "--config-dir", "there", "b=2"], ["a=1", "b=2"]), (["--config-dir=there", "b=2"], ["b=2"]),
    (["-cd", "there"], []), (["a=1", "--config-dir"], ["a=1"]), (["a=--config-dir", "b=2"], ["a=--config-dir", "b=2"]),
]  # fmt: skip
RADII = [
    ("eval_radii=[0.50,1]", "eval_radii=['0.50',1]"), ("eval_radii=[36/255, 1e-1]", "eval_radii=[36/255,'1e-1']"),
    ("eval_radii=[0.5,1.0]", "eval_radii=[0.5,1.0]"), ("+eval_radii=[.5]", "+eval_radii=['.5']"),
    ("eval_radii=0.50", "eval_radii=0.50"), ("eval_radii=[[0.50]]", "eval_radii=[[0.50]]"),
    ("optimizer.lr=[0.50]", "optimizer.lr=[0.50]"),
]  # fmt: skip
VALUES = [
    ("seed=0,1,2", ["0", "1", "2"]), ("seed=range(2)", ["0", "1"]), ("seed=5", ["5"]), ("run=null", ["null"]),
    ("epochs=choice(1,7)", ["1", "7"]), ("conv=glob(bcop*)", ["bcop", "bcop_fixed"]),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "kept"), ARGUMENTS)
def test_an_option_goes_with_its_value(arguments, kept):
    assert without_option(arguments, "--config-dir", "-cd") == kept


@pytest.mark.parametrize(("typed", "written"), RADII)
def test_radii_keep_the_digits_that_were_typed(typed, written):
    assert radii_as_written(typed) == written


@pytest.mark.parametrize(("typed", "values"), VALUES)
def test_values_of_a_sweep_as_typed(typed, values):
    (override,), problems = parse_overrides([typed])
    assert problems == []
    assert text_of(override) == typed
    assert values_of(override) == values


def test_what_cannot_be_read_is_said():
    parsed, problems = parse_overrides(["epochs=1", "a=b=c", "name={"])
    assert [text_of(override) for override in parsed] == ["epochs=1"]
    assert [problem.partition(": not KEY=VALUE as Hydra reads it (")[0] for problem in problems] == ["a=b=c", "name={"]
