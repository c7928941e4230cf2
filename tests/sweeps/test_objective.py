import pytest

from lipnet.errors import UserError
from lipnet.sweeps.objective import objective

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


@pytest.mark.parametrize("key", ["task", "flag", "certified_accuracy", "certified_accuracy.2", "clean"])
def test_what_is_no_number_is_refused_with_the_names_of_those_there_are(key):
    with pytest.raises(UserError) as error:
        objective(RESULTS, key)
    assert str(error.value) == (
        f"objective={key}: no such number in results.json; there are clean_accuracy, epochs, certified_accuracy.1.58, "
        "certified_accuracy.36/255, attacked_accuracy.pgd.0.3."
    )
