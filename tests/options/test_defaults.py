import pytest

from lipnet.options.defaults import as_text, completed, leaves, resolved

FLAT = {"dataset.epsilon": 0.5, "dataset.eval_radii": ["0.1"]}
VALUES = [
    ("${dataset.epsilon}", 0.5), ("${oc.select:dataset.eval_radii,null}", ["0.1"]), ("${oc.select:no.key,null}", None),
    ("${oc.select:no.key,text}", "text"), ("${no.key}", "${no.key}"), ("0.1", "0.1"), (7, 7),
]  # fmt: skip
TEXTS = [
    (1, "1"), (1.0, "1"), (0.1, "0.1"), (1e-7, "1e-07"), (None, "null"), (True, "true"), ("a", "a"),
    ([0.5, 2.0, "a"], "[0.5,2,a]"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), VALUES)
def test_interpolations_are_followed(value, expected):
    assert resolved(value, FLAT) == expected


@pytest.mark.parametrize(("value", "text"), TEXTS)
def test_equal_numbers_have_one_text(value, text):
    assert as_text(value) == text


def test_leaves_have_dotted_keys():
    assert list(leaves({"a": 1, "b": {"c": [2], "d": {"e": None}}})) == [("a", 1), ("b.c", [2]), ("b.d.e", None)]


def test_a_key_that_is_there_keeps_its_value_and_others_come_from_its_option():
    whole = completed({"epochs": 7, "conv": {"name": "svcm", "every": 3}, "dataset": {"name": "no such data set"}})
    assert whole["epochs"] == 7
    assert whole["conv"]["every"] == 3
    assert {"iterations", "every", "name"} <= set(whole["conv"])
    assert whole["dataset"] == {"name": "no such data set"}
    assert whole["seed"] == 0
