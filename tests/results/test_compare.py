import csv
import io
import math
import re
import sys

import pytest

from lipnet.results.__main__ import main
from lipnet.results.collect import find_runs
from lipnet.results.compare import build_tables, filter_runs
from lipnet.results.groups import group_runs
from lipnet.results.layout import FORMATS, latex
from lipnet.results.measures import Measure
from lipnet.results.paper import paper_rows


@pytest.fixture
def folder(make_run, tmp_path):
    """Two methods, two seeds of the first."""
    make_run("runs/a", clean_accuracy=0.90)
    make_run("runs/b", seed=1, clean_accuracy=0.92)
    make_run("runs/c", {"conv.name": "rko"}, clean_accuracy=0.95, train_seconds=5.0)
    make_run("runs/d", status="failed", error="OSError: disk | full")
    return tmp_path / "runs"


def tables(folder, *filters, **options):
    runs = filter_runs(find_runs([folder]), filters)
    return build_tables(group_runs([run for run in runs if not run.problem]), **options)


def methods(found):
    return [row.labels["method"] for table in found for row in table.rows]


def printed(capsys, *arguments):
    main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def test_terminal(folder, capsys):
    lines = printed(capsys, folder, "--columns", "clean,certified@1.58,L_upper,train_s").splitlines()
    assert lines[0].split() == ["dataset", "model", "method", "n", "clean", "certified@1.58", "L_upper", "train_s"]
    assert re.split("  +", lines[2]) == [
        "mnist",
        "small",
        "bcop",
        "2",
        "91.00 ± 1.00",
        "40.00 ± 0.00",
        "1.0000005",
        "120",
    ]
    assert re.split("  +", lines[3]) == ["mnist", "small", "rko", "1", "95.00", "40.00", "1.0000005", "5.0"]
    assert lines[-2:] == ["1 run is not in the table:", f"  {folder / 'd'}: failed: OSError: disk | full"]


def test_csv_has_full_precision_and_rows_alone(folder, capsys):
    main([str(folder), "--format", "csv"])
    captured = capsys.readouterr()
    first, second = csv.DictReader(io.StringIO(captured.out))
    assert float(first["clean_accuracy"]) == pytest.approx(0.91)
    assert float(first["clean_accuracy_std"]) == pytest.approx(0.01)
    assert (first["n"], second["n"], second["method"]) == ("2", "1", "rko")
    assert float(first["pgd_accuracy@1.58"]) == 0.7
    assert "disk | full" in captured.err


def test_markdown_tables_are_rectangular(folder, capsys):
    lines = [line for line in printed(capsys, folder, "--format", "markdown").splitlines() if line.startswith("|")]
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1


def test_latex_is_escaped_and_complete(make_run, tmp_path, capsys):
    make_run("a_b", {"loss.name": "50%_$x^2&#{~}\\"})
    make_run("c")
    text = printed(capsys, tmp_path, "--format", "latex")
    assert r"50\%\_\$x\textasciicircum{}2\&\#\{\textasciitilde{}\}\textbackslash{}" in text
    columns = re.search(r"\\begin{tabular}{([lr]+)}", text)[1]
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert [len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows] == [len(columns)] * 3
    assert all(text.count(rule) == 1 for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}"))
    assert all(line.startswith("%") for line in text.split(r"\end{tabular}")[1].split("\n") if line)


def test_latex_has_no_character_that_pdflatex_lacks(folder):
    table = latex(tables(folder, paper=True), []).encode("ascii")
    assert rb"$\pm$" in table


@pytest.mark.parametrize(
    ("sort", "reverse", "expected"),
    [("clean", False, ["rko", "bcop"]), ("clean_accuracy", True, ["bcop", "rko"]), ("train_s", False, ["bcop", "rko"]),
     ("n", False, ["bcop", "rko"]), ("conv", True, ["rko", "bcop"]), (None, False, ["bcop", "rko"])],
)  # fmt: skip
def test_sort(folder, sort, reverse, expected):
    assert methods(tables(folder, sort=sort, reverse=reverse)) == expected


def test_numbers_sort_by_value(make_run, tmp_path):
    for epochs in (9, 100, 10):
        make_run(f"{epochs}", {"epochs": epochs})
    (table,) = tables(tmp_path, sort="epochs")
    assert [row.labels["epochs"] for row in table.rows] == ["9", "10", "100"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [(["conv=rko"], ["rko"]), (["method=bcop"], ["bcop"]), (["conv=rko", "conv=bcop"], ["bcop", "rko"]),
     (["conv=rko", "seed=1"], []), (["optimizer.lr=1e-3"], ["bcop", "rko"])],
    ids=str,
)  # fmt: skip
def test_filter(folder, filters, expected):
    assert methods(tables(folder, *filters)) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--filter", "optimiser.lr=1"], "--filter optimiser.lr: no run has this key; did you mean optimizer.lr?"),
        (["--filter", "conv=x"], "--filter conv=x: no run has this value; there are bcop, rko."),
        (["--filter", "conv"], "--filter conv: write KEY=VALUE"),
        (["--sort", "clen"], "clen: no such column; did you mean clean?"),
        (["--sort", "zzz"], "zzz: no such column; there are clean, "),
        (["--columns", "certified@2"], "certified@2: no such column; did you mean certified@"),
        (["--format", "pdf"], "invalid choice"),
        (["--output", "/dev/null/x"], "cannot write there"),
    ],
    ids=str,
)
def test_mistakes_are_said(folder, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        main([str(folder), *arguments])
    assert stop.value.code == 1
    assert message in capsys.readouterr().err


def test_output_goes_to_a_file(folder, capsys, tmp_path):
    text = printed(capsys, folder)
    assert printed(capsys, folder, "--output", tmp_path / "new" / "table.txt") == ""
    assert (tmp_path / "new" / "table.txt").read_text() == text


def test_before_any_run_has_finished(make_run, tmp_path, capsys):
    (make_run("a") / "results.json").unlink()
    for name in FORMATS:
        main([str(tmp_path), "--format", name])
        captured = capsys.readouterr()
        assert "no run has finished yet" in captured.out + captured.err


def test_a_mean_of_fewer_values_says_so(make_run, tmp_path, capsys):
    make_run("a")
    make_run("b", seed=1, attacked_accuracy=None)
    assert "70.00 (n=1)" in printed(capsys, tmp_path)
    (row,) = csv.DictReader(io.StringIO(printed(capsys, tmp_path, "--format", "csv")))
    assert row["pgd_accuracy@1.58_n"] == "1"


def test_each_data_set_has_its_table_and_its_radii(make_run, tmp_path):
    make_run("a")
    certified = {"36/255": 0.5}
    make_run("b", {"dataset.name": "cifar10"}, certified_accuracy=certified, attacked_accuracy={"pgd": certified})
    cifar, mnist = tables(tmp_path)
    assert Measure("certified_accuracy", 36 / 255) in cifar.measures
    assert {measure.radius for measure in mnist.measures} == {None, 0.3, 1.58}


def test_the_papers_values_stand_under_ours(make_run, tmp_path):
    make_run("a", {"model.name": "large"}, certified_accuracy={"0.30": 0.9, "1.58": 0.5})
    (table,) = tables(tmp_path, paper=True)
    _, corrected, difference, published, other = table.rows
    assert [row.source for row in table.rows[1:]] == [
        "paper, corrected", "difference", "paper, published", "difference",
    ]  # fmt: skip
    certified = Measure("certified_accuracy", 1.58)
    assert corrected.values[certified] == (0.56656, 0.00234, 5)
    assert published.values[certified] == (0.5637, 0.0033, 5)
    assert difference.values[certified].mean == pytest.approx(0.5 - 0.56656)
    assert corrected.values[Measure("certified_accuracy", 0.3)].mean == 0.97108
    assert other.values[Measure("clean_accuracy")].mean == pytest.approx(0.9 - 0.9869)
    assert math.isnan(other.values[Measure("clean_accuracy")].std)


@pytest.mark.parametrize("radius", ["36/255", "0.1411764705882353"])
def test_the_paper_is_matched_by_the_value_of_a_radius(make_run, tmp_path, radius):
    make_run("a", {"dataset.name": "cifar10"}, certified_accuracy={radius: 0.6})
    (table,) = tables(tmp_path, paper=True)
    assert table.rows[1].values[Measure("certified_accuracy", 36 / 255)].mean == 0.50012


def test_without_a_counterpart_in_the_paper_there_is_only_ours(make_run, tmp_path):
    make_run("a", {"dataset.name": "digits"})
    (table,) = tables(tmp_path, paper=True)
    assert [row.source for row in table.rows] == ["ours"]


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
@pytest.mark.parametrize("model", ["small", "large"])
@pytest.mark.parametrize("conv", ["bcop", "bcop_fixed", "rko", "ossn", "svcm", "l2ne"])
def test_the_paper_has_every_method(make_run, dataset, model, conv):
    (group,) = group_runs(find_runs([make_run("a", {"dataset.name": dataset, "model.name": model, "conv.name": conv})]))
    found = paper_rows(group)
    affected = model == "large" and conv in ("bcop", "bcop_fixed")
    assert [row.release for row in found] == (["corrected", "published"] if affected else ["both"])
    large = {"mnist": 1.58, "cifar10": 36 / 255}[dataset]
    for row in found:
        values = {measure: value.mean for measure, value in row.values.items()}
        clean, certified = values[Measure("clean_accuracy")], values[Measure("certified_accuracy", large)]
        assert 0 <= certified < values[Measure("pgd_accuracy", large)] < clean < 1
        assert (Measure("mean_certified_radius") in values) == (row.release != "published")


@pytest.mark.parametrize("linear", ["bjorck", "orthogonal"])
def test_the_papers_fully_connected_network(make_run, linear):
    (group,) = group_runs(find_runs([make_run("a", {"model.name": "fc", "linear.name": linear})]))
    (row,) = paper_rows(group)
    assert row.values[Measure("clean_accuracy")] == (0.98708, 0.00025, 5)


def test_a_critic_has_a_table_of_distances(make_run, tmp_path, capsys):
    distances = {"estimate": 0.98, "true_value": 1.0, "ci_low": 0.97, "ci_high": 0.99, "units": "vectors"}
    make_run("runs/a", {"dataset.name": "cone"}, clean_accuracy=None, wasserstein=distances)
    make_run(
        "runs/b", {"dataset.name": "cone"}, seed=1, clean_accuracy=None, wasserstein=distances | {"estimate": 0.96}
    )
    header, _, row, *_ = printed(capsys, tmp_path / "runs", "--columns", "true_value,estimate,ci_low").splitlines()
    assert header.split()[3:] == ["n", "true_value", "estimate", "ci_low"]
    assert re.split("  +", row)[3:] == ["2", "1.0000", "0.9700 ± 0.0100", "0.9700"]


GANS = {
    "of a constrained critic": (
        {"model.name": "small"}, {"lipschitz_upper_bound": 1.0000005},
        ["small", "bcop", "gan", "1", "–", "3.3721", "1.4321", "1.0000005"],
    ),
    "of a penalised critic": (
        {"model.name": "gan_critic"}, {"lipschitz_upper_bound": None},
        ["gan_critic", "–", "gan", "1", "–", "3.3721", "1.4321", "–"],
    ),
    "of another seed": (
        {"model.name": "small"}, {"lipschitz_upper_bound": 1.0, "seed": 1},
        ["small", "bcop", "gan", "1", "–", "3.3721", "1.4321", "1.0000000"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("gan", GANS)
def test_a_gan_stands_beside_a_classifier(make_run, tmp_path, capsys, gan):
    changes, results, expected = GANS[gan]
    generated = {"samples": 360, "transport_of_generated": 3.3721, "transport_of_training": 1.43205}
    make_run("runs/classifier", {"conv.name": "rko"}, mean_certified_radius=None, lipschitz_lower_bound=None)
    taken_out = dict.fromkeys(("clean_accuracy", "certified_accuracy", "attacked_accuracy", "mean_certified_radius",
                               "lipschitz_lower_bound"))  # fmt: skip
    make_run("runs/gan", {"task": {"name": "gan"}} | changes, **{"task": "gan", "gan": generated} | taken_out | results)
    columns = "clean,transport_of_generated,transport_of_training,L_upper"
    header, _, *rows = printed(capsys, tmp_path / "runs", "--columns", columns, "--paper").splitlines()
    assert header.split() == ["dataset", "model", "method", "task", "source", "n", *columns.split(",")]
    cells = [re.split("  +", row)[1:] for row in rows]
    assert [*expected[:3], "ours", *expected[3:]] in cells
    assert {row[1] for row in cells if "difference" in row} == {"rko"}  # the paper has no such GAN
    assert ["small", "rko", "robustness", "ours", "1", "90.00", "–", "–", "1.0000005"] in cells


def test_the_certificate_per_pair_has_a_column_where_it_differs(make_run, tmp_path, capsys):
    make_run("runs/a", certified_accuracy={"1.58": 0.4}, certified_accuracy_per_pair={"1.58": 0.4})
    assert "certified_per_pair" not in printed(capsys, tmp_path / "runs")
    make_run("runs/b", seed=1, certified_accuracy={"1.58": 0.4}, certified_accuracy_per_pair={"1.58": 0.5})
    assert "certified_per_pair@1.58" in printed(capsys, tmp_path / "runs")


BOTH = {"float64": {"0.3": 0.8, "1.58": 0.4}, "float32": {"0.3": 0.75, "1.58": 0.35}}


def certified(dtype, by=BOTH):
    """What a run leaves that certifies its network in an arithmetic."""
    return {"certify_dtype": dtype, "certified_accuracy": by[dtype], "certified_accuracy_by_arithmetic": by}


@pytest.mark.parametrize("name", ["terminal", "markdown", "latex"])
def test_titles_say_of_which_network_certified_accuracies_are(make_run, tmp_path, capsys, name):
    make_run("a", **certified("float64"))
    text = printed(capsys, tmp_path, "--format", name).replace("\\", "")
    header = next(line for line in text.splitlines() if "clean" in line)
    titles = ["certified_float64@0.3", "certified_float32@0.3", "certified_float64@1.58", "certified_float32@1.58"]
    assert re.findall(r"certified[^ |&]*", header) == titles
    row = next(line for line in text.splitlines() if "mnist" in line)
    assert re.findall(r"\d\d\.\d\d", row)[:5] == ["90.00", "80.00", "75.00", "40.00", "35.00"]
    assert "certified accuracy is of the network evaluated in float64; certified_float32: in float32." in text


def test_titles_say_it_beside_a_network_without_certificates(make_run, tmp_path, capsys):
    make_run("a", **certified("float64"))
    nothing = dict.fromkeys(("clean_accuracy", "certified_accuracy", "attacked_accuracy"))
    make_run("gan", {"task": {"name": "gan"}}, gan={"transport_of_generated": 3.0}, **nothing)
    assert "certified_float64@1.58" in printed(capsys, tmp_path)


def test_csv_says_it_in_a_column(make_run, tmp_path, capsys):
    make_run("a", **certified("float64"))
    (row,) = csv.DictReader(io.StringIO(printed(capsys, tmp_path, "--format", "csv")))
    assert (row["certified_in"], row["certified_accuracy@0.3"]) == ("float64", "0.8")
    assert row["certified_float32_accuracy@0.3"] == "0.75"


def test_the_report_says_it_too(make_run, tmp_path):
    make_run("a", **certified("float64"))
    main([str(tmp_path), "--html", str(tmp_path / "report.html")])
    text = (tmp_path / "report.html").read_text().replace("<wbr>", "")
    assert ">certified_float64@1.58<" in text
    assert ">certified_float32@1.58<" in text


def test_a_network_certified_in_float32_has_no_other_figure(make_run, tmp_path, capsys):
    make_run("a", **certified("float32", {"float32": BOTH["float32"]}))
    header, _, row, *notes = printed(capsys, tmp_path).splitlines()
    assert re.findall(r"certified\S*", header) == ["certified_float32@0.3", "certified_float32@1.58"]
    assert "75.00" in row
    assert "certified accuracy is of the network evaluated in float32." in notes


def test_rows_of_several_arithmetics_each_say_theirs(make_run, tmp_path, capsys):
    make_run("a", {"certify_dtype": "float64"}, **certified("float64"))
    make_run("b", {"certify_dtype": "float32"}, **certified("float32", {"float32": BOTH["float32"]}))
    make_run("old", {"conv.name": "rko"})
    header, *_, text = printed(capsys, tmp_path).partition("\n")
    assert re.findall(r"certified\S*@0.3", header) == ["certified@0.3", "certified_float32@0.3"]
    for note in ("bcop: certified accuracy is of the network evaluated in float64.",
                 "bcop: certified accuracy is of the network evaluated in float32.",
                 "rko: certified accuracy is of the network that its results do not tell."):  # fmt: skip
        assert note in text


@pytest.mark.parametrize(
    ("column", "measure"),
    [("certified@1.58", "certified_accuracy"), ("certified_accuracy@1.58", "certified_accuracy"),
     ("certified_float64@1.58", "certified_accuracy"), ("certified_float32@1.58", "certified_float32_accuracy"),
     ("certified_float32_accuracy@1.58", "certified_float32_accuracy")],
)  # fmt: skip
def test_columns_are_found_by_their_titles_and_names(make_run, tmp_path, column, measure):
    make_run("a", **certified("float64"))
    (table,) = tables(tmp_path, columns=column, sort=column)
    assert table.measures == [Measure(measure, 1.58)]


RADII = ("0.1", "0.2", "0.3", "0.5", "1.58")


@pytest.fixture
def wide(make_run, tmp_path):
    """A run attacked at five radii, and one of another learning rate."""
    accuracies = dict.fromkeys(RADII, 0.5)
    attacked = dict.fromkeys(("fgsm", "pgd", "ddn", "fgsm_paper", "pgd_paper"), accuracies)
    by = {"float64": accuracies, "float32": accuracies}
    for number in range(2):
        make_run(
            f"runs/{number}", {"optimizer.lr": 10.0**number}, attacked_accuracy=attacked, **certified("float64", by)
        )
    return tmp_path / "runs"


@pytest.fixture
def terminal(monkeypatch, capsys):
    """``terminal(width, *arguments)``: what ``lipnet-results`` shows in a terminal of that width."""

    def show(width, *arguments):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        return printed(capsys, *arguments)

    return show


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_a_table_fits_the_terminal(wide, terminal, width):
    lines = terminal(width, wide).split("\n\n")[0].splitlines()
    assert all(len(line) <= width for line in lines)
    place = next(number for number, line in enumerate(lines) if line.startswith("---"))
    assert lines[place - 1].split()[:3] == ["dataset", "model", "method"]
    named = " ".join(lines[place + 3 :])
    assert named.startswith(f"no room in {width} characters for ")
    assert "--columns all shows all" in named
    assert "train_s" in named
    shown = " ".join(lines[:place])
    assert "clean" in shown
    assert ("optimizer.lr" in shown) == (width >= 60)
    assert ("float32" in shown) == (width >= 80)


def test_all_columns_where_there_is_room_or_they_are_asked_for(wide, terminal, capsys, tmp_path):
    everything = printed(capsys, wide)
    assert len(everything.splitlines()[0]) > 300
    assert terminal(1000, wide) == everything
    assert terminal(80, wide, "--columns", "all") == everything
    assert "no room" not in terminal(80, wide, "--columns", ",".join(f"pgd_paper@{radius}" for radius in RADII))
    assert terminal(80, wide, "--format", "markdown").startswith("| dataset |")
    terminal(80, wide, "--output", tmp_path / "table.txt")
    assert (tmp_path / "table.txt").read_text() == everything
