import pytest

from lipnet.results.collect import find_runs
from lipnet.results.groups import group_runs
from lipnet.results.measures import Measure
from lipnet.results.scores import readable, score, score_column

COLUMNS = {
    "validation_certified_accuracy@1.58": [
        "epoch", "validation_clean_accuracy", "validation_certified_accuracy@0.3", "validation_certified_accuracy@1.58"
    ],
    "validation_certified_accuracy@36_255": ["validation_certified_accuracy@36_255", "validation_certified_accuracy@x"],
    "validation_estimate": ["validation_loss", "validation_clean_accuracy", "validation_estimate"],
    "validation_clean_accuracy": ["train_clean_accuracy", "validation_clean_accuracy"],
}  # fmt: skip
READABLE = {
    "validation_certified_accuracy@36_255": "certified accuracy at 36/255", "train_loss": "loss",
    "validation_estimate": "estimate",
}  # fmt: skip


@pytest.mark.parametrize("expected", COLUMNS)
def test_the_column_to_look_at(expected):
    assert score_column(COLUMNS[expected]) == expected


def test_without_any_column_there_is_none():
    assert score_column(["epoch", "train_loss"]) is None


@pytest.mark.parametrize("column", READABLE)
def test_a_column_in_words(column):
    assert readable(column) == READABLE[column]


FOUND = {  # results of two groups, the measure by which they are compared
    "the radius of most": (
        [{"certified_accuracy": {"0.3": 0.8, "1.58": 0.4}}, {"certified_accuracy": {"0.3": 0.7}}],
        Measure("certified_accuracy", 0.3),
    ),
    "the largest of as many": (
        [{"certified_accuracy": {"0.3": 0.8, "1.58": 0.4}}] * 2, Measure("certified_accuracy", 1.58),
    ),
    "clean": ([{"certified_accuracy": None}] * 2, Measure("clean_accuracy")),
    "a distance": (
        [{"certified_accuracy": None, "clean_accuracy": None, "wasserstein": {"estimate": 1.0}}] * 2,
        Measure("estimate"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FOUND)
def test_the_measure_that_compares_groups(make_run, tmp_path, case):
    results, expected = FOUND[case]
    for number, content in enumerate(results):
        make_run(str(number), {"epochs": number + 1}, attacked_accuracy=None, **content)
    groups = group_runs(find_runs([tmp_path]))
    assert len(groups) == 2
    assert score(groups) == expected


def test_no_groups_have_no_score():
    assert score([]) is None
