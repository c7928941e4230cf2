import pytest

from lipnet.tasks.robustness.measures import certified_by_arithmetic, certified_in

CERTIFIED = {"certified_accuracy": {"0.1": 0.75, "0.3": 0.5}}
EARLIER = CERTIFIED | {"rounding_cost": {"float64": {"0.1": 0.0, "0.3": 0.125}, "float32": {"0.1": 0.25, "0.3": 0.5}}}
EARLIER_FLOAT32 = CERTIFIED | {"rounding_cost": {"float32": {"0.1": 0.25}}}
# results, certified accuracy by arithmetic, the arithmetic of certified_accuracy. What rounding took is the share of
# examples lost to it, so that accuracy + own cost is without rounding, and less another cost is in that arithmetic.
ROWS = {
    "written": (CERTIFIED | {"certified_accuracy_by_arithmetic": {"float32": {"0.1": 0.5}}, "certify_dtype": "float32"},
                {"float32": {"0.1": 0.5}}, "float32"),
    "earlier": (EARLIER, {"float64": {"0.1": 0.75, "0.3": 0.5}, "float32": {"0.1": 0.5, "0.3": 0.125}}, "float64"),
    "earlier, in float32": (EARLIER_FLOAT32, {"float32": {"0.1": 0.75}}, "float32"),
    "before rounding was counted": (CERTIFIED, {}, ""),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_accuracies_of_runs_of_every_version(row):
    results, by_arithmetic, own = ROWS[row]
    assert certified_by_arithmetic(results) == by_arithmetic
    assert certified_in(results) == own
