from lipnet.results.table import closing_table

RESULTS = {
    "clean_accuracy": 0.98, "certified_accuracy": {"36/255": 0.575, "1.58": 0.0},
    "attacked_accuracy": {"fgsm": {"36/255": 0.75, "1.58": 0.25}, "pgd": {"36/255": 0.66664, "1.58": 0.125}},
    "test_examples": 10000, "attacked_examples": 10000, "mean_certified_radius": 1.23456,
    "lipschitz_upper_bound": 1.00000012, "lipschitz_lower_bound": 0.998,
}  # fmt: skip


def test_closing_table():
    lines = closing_table(RESULTS).splitlines()
    assert lines[0] == "clean accuracy 98.00 % on 10,000 test examples; mean certified radius 1.2346"
    assert [line.replace(" %", "%").split() for line in lines[1:-1]] == [
        ["radius", "certified", ">=", "fgsm", "<=", "pgd", "<="],
        ["0", "98.00%", "98.00%", "98.00%"],
        ["36/255", "57.50%", "75.00%", "66.66%"],
        ["1.58", "0.00%", "25.00%", "12.50%"],
    ]
    assert lines[-1] == "Lipschitz constant: at most 1.0000001, at least 0.9980000 (Jacobian at test examples)"


def test_columns_line_up():
    assert len({len(line) for line in closing_table(RESULTS).splitlines()[1:-1]}) == 1


def test_fewer_attacked_examples_are_said():
    lines = closing_table(RESULTS | {"attacked_examples": 200}).splitlines()
    assert lines[0].endswith("radius 1.2346 (attacks: on the first 200 only)")
