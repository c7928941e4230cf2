import pytest

from lipnet.cli.sweeps.objective import no_such_number, objective
from lipnet.errors import UserError

RESULTS = {
    "task": "robustness", "clean_accuracy": 0.9, "epochs": 3, "flag": True,
    "certified_accuracy": {"1.58": 0.5, "36/255": 0.7}, "attacked_accuracy": {"pgd": {"0.3": 0.6}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("clean_accuracy", 0.9), ("epochs", 3.0), ("certified_accuracy.1.58", 0.5), ("certified_accuracy.36/255", 0.7),
        ("attacked_accuracy.pgd.0.3", 0.6),
    ],
)  # fmt: skip
def test_the_number_under_a_key(key, value):
    found = objective(RESULTS, key)
    assert found == value
    assert isinstance(found, float)


@pytest.mark.parametrize("key", ["task", "flag", "certified", "certified_accuracy.2", "clean"])
def test_what_is_no_number_is_refused_with_the_names_of_those_there_are(key):
    with pytest.raises(UserError) as error:
        objective(RESULTS, key)
    assert str(error.value) == (
        f"objective={key}: no such number in results.json; there are clean_accuracy, epochs, certified_accuracy.1.58, "
        "certified_accuracy.36/255, attacked_accuracy.pgd.0.3."
    )


def test_a_near_name_is_suggested(make_config):
    assert no_such_number(make_config("objective=clean_accuracy")) is None
    assert no_such_number(make_config()) is None
    message = no_such_number(make_config("objective=attacked_acuracy.pgd.0.3"))
    assert message.startswith(
        "objective=attacked_acuracy.pgd.0.3: no number that results.json will hold; did you mean "
    )
    assert "mean attacked_accuracy.pgd.0.3? there will be clean_accuracy, " in message
    assert message.endswith("validation.certified_accuracy.RADIUS, with RADIUS one of 0.1, 0.3, 0.5, 1.0.")


def test_without_a_radius_it_is_the_mean_over_all(make_config):
    results = {"validation": {"certified_accuracy": {"0.5": 0.5, "36/255": 0.25, "1e-3": 0.75}, "loss": 3.0}}
    assert objective(results, "validation.certified_accuracy") == 0.5
    assert no_such_number(make_config("objective=validation.certified_accuracy")) is None
    assert no_such_number(make_config("objective=validation")) is not None
