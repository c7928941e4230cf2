import pytest

from lipnet.tasks.robustness.table import certified_table, closing_table

RESULTS = {
    "clean_accuracy": 0.98, "certified_accuracy": {"36/255": 0.575, "1.58": 0.0},
    "certified_accuracy_per_pair": {"36/255": 0.6, "1.58": 0.0}, "mean_certified_radius_per_pair": 1.5,
    "median_attack_distance": {"ddn": 1.25},
    "attacked_accuracy": {"fgsm": {"36/255": 0.75, "1.58": 0.25}, "ddn": {"36/255": 0.66664, "1.58": 0.125}},
    "test_examples": 10000, "attacked_examples": 10000, "mean_certified_radius": 1.23456,
    "lipschitz_upper_bound": 1.00000012, "lipschitz_lower_bound": 0.998,
}  # fmt: skip


def test_closing_table():
    lines = closing_table(RESULTS).splitlines()
    assert lines[0] == "clean accuracy 98.00 % on 10,000 test examples; mean certified radius 1.2346 (per pair 1.5000)"
    assert [line.replace(" %", "%").split() for line in lines[1:-2]] == [
        ["radius", "certified", ">=", "per", "pair", ">=", "fgsm", "<=", "ddn", "<="],
        ["0", "98.00%", "98.00%", "98.00%", "98.00%"],
        ["36/255", "57.50%", "60.00%", "75.00%", "66.66%"],
        ["1.58", "0.00%", "0.00%", "25.00%", "12.50%"],
    ]
    assert lines[-2] == "median distance of the nearest errors found: ddn 1.2500"
    assert lines[-1] == "Lipschitz constant: at most 1.0000001, at least 0.9980000 (Jacobian at test examples)"


def test_bounds_by_variation_have_a_line():
    lines = closing_table(RESULTS | {"bv2_bound": {"1": 1234567.8, "2": 80.25, "inf": 3.0}}).splitlines()
    assert lines[:-1] == closing_table(RESULTS).splitlines()
    bounds = "1.23457e+06 (p = 1), 80.25 (p = 2), 3 (p = inf)"
    assert lines[-1] == f"by the splines' variation (BV2), in the p-norm: at most {bounds}"
    assert closing_table(RESULTS | {"bv2_bound": {}}) == closing_table(RESULTS)


SETS = {
    "alpha": 0.1, "calibration_examples": 3000, "examples": 10000, "certified_coverage": 0.9025,
    "coverage": {"0": 0.9, "36/255": 0.95, "1.58": 1.0}, "set_size": {"0": 1.2, "36/255": 1.4, "1.58": 6.125},
}  # fmt: skip


def test_conformal_sets_have_columns_and_a_line():
    attacked = {"attacked_coverage": {"36/255": 0.92, "1.58": 0.94}}
    lines = closing_table(RESULTS | {"conformal": SETS | attacked}).splitlines()
    assert [line.replace(" %", "%").split()[5:] for line in lines[2:5]] == [
        ["90.00%", "1.20", "–"], ["95.00%", "1.40", "92.00%"], ["100.00%", "6.12", "94.00%"],
    ]  # fmt: skip
    assert lines[1].endswith("coverage  set size  attacked coverage")
    assert lines[-2] == (
        "conformal sets: alpha 0.1, calibrated on 3,000 examples; proved within each radius, of its sets: 90.25 % of "
        "10,000 examples"
    )
    lines = closing_table(RESULTS | {"conformal": SETS}).splitlines()
    assert lines[1].endswith("coverage  set size")


def test_columns_line_up():
    assert len({len(line) for line in closing_table(RESULTS).splitlines()[1:-2]}) == 1


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({}, ""),
        ({"attacked_examples": 200}, " (attacks: on the first 200 only)"),
        ({"foolbox_examples": 100}, " (boundary: on the first 100 only)"),
        (
            {"attacked_examples": 200, "foolbox_examples": 100},
            " (attacks: on the first 200 only; boundary: on the first 100 only)",
        ),
    ],
)
def test_fewer_attacked_examples_are_said(counts, said):
    attacked = {"attacked_accuracy": {"boundary": {"36/255": 0.75, "1.58": 0.25}}}
    lines = closing_table(RESULTS | attacked | counts).splitlines()
    assert lines[0].endswith("(per pair 1.5000)" + said)


def test_without_attacks():
    none = {"attacked_accuracy": {}, "median_attack_distance": {}, "attacked_examples": 200}
    lines = closing_table(RESULTS | none).splitlines()
    assert lines[0].endswith("(per pair 1.5000)")
    assert [line.replace(" %", "%").split() for line in lines[2:-1]] == [
        ["0", "98.00%", "98.00%"],
        ["36/255", "57.50%", "60.00%"],
        ["1.58", "0.00%", "0.00%"],
    ]


FLOAT32 = {"36/255": 0.5, "1.58": 0.0}


@pytest.mark.parametrize(
    ("told", "titles"),
    [
        (
            {"certify_dtype": "float64", "certified_accuracy_by_arithmetic": {
                "float64": RESULTS["certified_accuracy"], "float32": FLOAT32,
            }},
            ["certified >= (float64)", "certified >= (float32)"],
        ),
        (
            {"certify_dtype": "float32", "certified_accuracy_by_arithmetic": {"float32": FLOAT32},
             "certified_accuracy": FLOAT32},
            ["certified >= (float32)"],
        ),
        # as runs were written before
        (
            {"rounding_cost": {"float64": {"36/255": 0.025, "1.58": 0.0}, "float32": {"36/255": 0.1, "1.58": 0.0}}},
            ["certified >= (float64)", "certified >= (float32)"],
        ),
        (
            {"rounding_cost": {"float32": {"36/255": 0.1, "1.58": 0.0}}, "certified_accuracy": FLOAT32},
            ["certified >= (float32)"],
        ),
        ({"rounding_cost": {}, "certified_accuracy": FLOAT32}, ["certified >="]),
        ({"certified_accuracy": FLOAT32}, ["certified >="]),
    ],
)  # fmt: skip
def test_certified_accuracies_say_of_which_network_they_are(told, titles):
    results = RESULTS | told
    _, header, _, row, *_ = closing_table(results).splitlines()
    own = titles[0].removeprefix("certified")
    assert header.split("  ")[0] == "radius"
    assert header.startswith("  ".join(["radius", *titles, f"per pair{own}", "fgsm <="]))
    figures = [float(cell) for cell in row.replace(" %", "").split()[1:]]
    assert figures[0] == pytest.approx(100 * results["certified_accuracy"]["36/255"])
    assert figures[len(titles) - 1] == 50.0
    only, _, _, last = certified_table(results).splitlines()
    assert only == "  ".join(["radius", *titles])
    assert last.split()[0] == "1.58"


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_it_fits_the_terminal(width):
    names = ["fgsm", "pgd", "ddn", "fgsm_paper", "pgd_paper", "boundary", "pointwise"]
    attacked = dict.fromkeys(names, RESULTS["attacked_accuracy"]["ddn"])
    results = RESULTS | {
        "rounding_cost": {"float64": FLOAT32, "float32": FLOAT32}, "attacked_accuracy": attacked,
        "attacked_examples": 200,
    }  # fmt: skip
    lines = closing_table(results, width).splitlines()
    assert all(len(line) <= width for line in lines)
    text = " ".join(" ".join(lines).split())
    assert all(name in text for name in names if "_" not in name)
    hidden = "pointwise <=; lipnet.log in the run directory shows every column." in text
    assert hidden == (width < 120)
    full = closing_table(results).splitlines()
    assert max(len(line) for line in full) > 120
    assert not any("no room" in line for line in full)


def test_what_all_attacks_leave_together_is_said_where_there_are_several():
    worst = {"attacked_accuracy_worst": {"36/255": 0.66, "1.58": 0.1}}
    said = "after all attacks together: 66.00 % at 36/255, 10.00 % at 1.58"
    assert closing_table(RESULTS | worst).splitlines()[-3] == said
    alone = {"attacked_accuracy": {"fgsm": RESULTS["attacked_accuracy"]["fgsm"]}}
    assert said not in closing_table(RESULTS | worst | alone)
