"""Each format of a table of two rows, written out."""

import math

import pytest

from lipnet.results.compare import Row, Table
from lipnet.results.layout import FORMATS, body, header
from lipnet.results.measures import Measure, Statistic

CLEAN, CERTIFIED = Measure("clean_accuracy"), Measure("certified_accuracy", 0.3)
SECONDS = Measure("train_seconds")


def _labels(method):
    return {"dataset": "mnist", "model": "small", "method": method}


OURS = {CLEAN: Statistic(0.975, 0.0125, 2), CERTIFIED: Statistic(0.8, 0.0, 2), SECONDS: Statistic(120.4, 0.3, 2)}
TABLE = Table(
    ["dataset", "model", "method"],
    [CLEAN, CERTIFIED, SECONDS],
    [
        Row(_labels("bcop"), "ours", OURS, 2, "float64"),
        Row(_labels("a|b_c"), "ours", {CLEAN: Statistic(1.0, 0.0, 1)}, 1),
    ],
    {0.3: "0.30"},
)
BESIDE = Table(
    ["dataset", "model", "method"],
    [CLEAN],
    [
        Row(_labels("bcop"), "ours", OURS, 2),
        Row(_labels("bcop"), "difference", {CLEAN: Statistic(-0.0125, math.nan, 0)}, 0),
    ],
    {},
)
EXPECTED = {
    "terminal": (
        "dataset  model  method  n         clean  certified_float64@0.30  train_s\n"
        "------------------------------------------------------------------------\n"
        "mnist    small  bcop    2  97.50 ± 1.25            80.00 ± 0.00      120\n"
        "mnist    small  a|b_c   1        100.00                       –        –\n\n"
        "a note\non two lines\n"
    ),
    "markdown": (
        "| dataset | model | method | n | clean | certified_float64@0.30 | train_s |\n"
        "| --- | --- | --- | ---: | ---: | ---: | ---: |\n"
        "| mnist | small | bcop | 2 | 97.50 ± 1.25 | 80.00 ± 0.00 | 120 |\n"
        "| mnist | small | a&#124;b_c | 1 | 100.00 | – | – |\n\n"
        "- a note\n- on two lines\n"
    ),
    "csv": (
        "dataset,model,method,certified_in,n,clean_accuracy,clean_accuracy_std,"
        "certified_accuracy@0.30,certified_accuracy@0.30_std,train_seconds,train_seconds_std\n"
        "mnist,small,bcop,float64,2,0.975,0.0125,0.8,0.0,120.4,0.3\n"
        "mnist,small,a|b_c,,1,1.0,0.0,,,,\n"
    ),
    "latex": (
        "\\begin{tabular}{lllrrrr}\n\\toprule\n"
        "dataset & model & method & n & clean & certified\\_float64@0.30 & train\\_s \\\\\n\\midrule\n"
        "mnist & small & bcop & 2 & 97.50 $\\pm$ 1.25 & 80.00 $\\pm$ 0.00 & 120 \\\\\n"
        "mnist & small & a\\textbar{}b\\_c & 1 & 100.00 & -- & -- \\\\\n"
        "\\bottomrule\n\\end{tabular}\n\n"
        "% needs \\usepackage{booktabs}\n% a note\n% on two lines\n"
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_table_is_written_out(name):
    assert FORMATS[name]([TABLE], ["a note\non two lines"]) == EXPECTED[name]


def test_a_difference_has_a_sign_and_no_count():
    assert header(BESIDE) == ["dataset", "model", "method", "source", "n", "clean"]
    assert body(BESIDE) == [
        ["mnist", "small", "bcop", "ours", "2", "97.50 ± 1.25"],
        ["mnist", "small", "bcop", "difference", "", "−1.25"],
    ]


DIGITS = [  # measure, mean and deviation of two values, the row's count, cell
    (Measure("lipschitz_upper_bound"), (1.0000005, 0.0), 2, "1.0000005"),
    (Measure("lipschitz_upper_bound"), (12.5, 0.25), 2, "12.5000 ± 0.2500"),
    (Measure("lipschitz_lower_bound"), (0.95, 0.0), 2, "0.9500"),
    (SECONDS, (5.04, 0.2), 2, "5.0 ± 0.2"),
    (CLEAN, (0.5, 0.0), 3, "50.00 ± 0.00 (n=2)"),
]


@pytest.mark.parametrize(("measure", "values", "n", "cell"), DIGITS)
def test_digits_of_a_cell(measure, values, n, cell):
    row = Row(_labels("bcop"), "ours", {measure: Statistic(*values, 2)}, n)
    assert body(Table(["dataset"], [measure], [row], {})) == [["mnist", str(n), cell]]


def test_a_measure_that_some_runs_lack_has_its_count():
    row = Row(_labels("bcop"), "ours", {CLEAN: Statistic(0.5, math.nan, 2)}, 3)
    text = FORMATS["csv"]([Table(["method"], [CLEAN], [row], {})], [])
    assert text == "method,n,clean_accuracy,clean_accuracy_std,clean_accuracy_n\nbcop,3,0.5,,2\n"
