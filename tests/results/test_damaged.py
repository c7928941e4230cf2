"""Run directories that are damaged, copied, vanishing or oddly named: each is noted, and the others are shown."""

import errno
import json
import os
import shutil
import subprocess
import sys

import pytest

from lipnet.results import collect
from lipnet.results.__main__ import main
from lipnet.results.collect import find_runs
from lipnet.results.groups import group_runs
from lipnet.results.layout import FORMATS
from lipnet.results.run_figures import FIGURES, by_network, label_groups

METRICS = "epoch,time_seconds,train_loss,validation_loss,validation_certified_accuracy@0.3\n1,1,2,3,0.5\n2,1,1,2,0.6\n"
SINGULAR = "quantile,0_Linear\n" + "".join(f"{number / 100},1\n" for number in range(101))
PER_EXAMPLE = "epoch,quantile,inputs/margin,weights/0_Linear\n" + "".join(
    f"{epoch},{number / 20},1.1,0.1\n" for epoch in (1, 2) for number in range(21)
)
TABLES = {
    "metrics.csv": METRICS, "certificates.csv": "index,certified_radius\n0,0.5\n1,0.1\n",
    "singular_values.csv": SINGULAR,
    "per_example.csv": PER_EXAMPLE,
    "gradient_norms.csv": "layer,mean,std,relative\ninput,1,0,1\n0_Linear,1,0,1\n",
}  # fmt: skip


@pytest.fixture
def runs(make_run, tmp_path):
    """Two runs of one configuration with all their tables: ``good``, and ``bad``, which is to be damaged."""
    for number, name in enumerate(("good", "bad")):
        directory = make_run(f"runs/{name}", seed=number, started=f"2026-01-01T00:00:0{number}")
        for table, text in TABLES.items():
            (directory / table).write_text(text)
    return tmp_path / "runs"


def tables(folder, capsys, *options):
    """What is printed, in the given format, and everything on stderr."""
    main([str(folder), *options])
    return capsys.readouterr()


def drawn(folder, names=FIGURES):
    """The figures of all runs in a folder, not rendered."""
    groups = group_runs([run for run in find_runs([folder]) if not run.problem])
    figures = {
        (network, name): FIGURES[name](list(label_groups(same)), " ".join(network))
        for network, same in by_network(groups).items()
        for name in names
    }
    return [name for (_, name), figure in figures.items() if figure is not None]


def resulting(**changes):
    def change(run):
        path = run / "results.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def written(content):
    return lambda run: (run / "results.json").write_bytes(content)


def recoded(encoding):
    return lambda run: (run / "results.json").write_bytes((run / "results.json").read_text().encode(encoding))


def replaced_by_folder(run):
    (run / "results.json").unlink()
    (run / "results.json").mkdir()


def replaced_by_pipe(run):
    (run / "results.json").unlink()
    os.mkfifo(run / "results.json")


def linked_to_itself(run):
    (run / "results.json").unlink()
    (run / "results.json").symlink_to("results.json")


# What is wrong with bad/results.json -> what is said of it; nothing for what can be read all the same.
RESULTS = {
    "empty": (written(b""), "cannot be read"),
    "NUL-filled": (written(bytes(500)), "cannot be read"),
    "half": (lambda run: written((run / "results.json").read_bytes()[:200])(run), "cannot be read"),
    "a list": (written(b"[1, 2]"), "is not a table of keys"),
    "a number": (written(b"3"), "is not a table of keys"),
    "null": (written(b"null"), "is not a table of keys"),
    "Latin-1": (lambda run: (resulting(error="x")(run), written(b'{"error": "caf\xe9"}')(run)), "cannot be read"),
    "deep": (written(b"[" * 100_000), "cannot be read"),
    "a number of many digits": (written(b'{"status": ' + b"1" * 5000 + b"}"), "cannot be read"),
    "a folder": (replaced_by_folder, "cannot be read"),
    "a pipe": (replaced_by_pipe, "cannot be read"),
    "a link to itself": (linked_to_itself, ""),
    "UTF-16": (recoded("utf-16"), None),
    "UTF-8 with a mark": (recoded("utf-8-sig"), None),
    "NaN": (resulting(clean_accuracy=float("nan")), "clean_accuracy=nan is not from 0 to 1"),
    "infinity": (resulting(train_seconds=float("inf")), "train_seconds=inf"),
    "a huge number": (resulting(lipschitz_upper_bound=1e300), "lipschitz_upper_bound=1e+300"),
    "a huge whole number": (resulting(lipschitz_upper_bound=10**400), "lipschitz_upper_bound=1000"),
    "an accuracy of 2": (resulting(clean_accuracy=2), "clean_accuracy=2"),
    "an accuracy that is a text": (resulting(clean_accuracy="0.9"), "clean_accuracy is no number"),
    "an accuracy that is true": (resulting(clean_accuracy=True), "clean_accuracy is no number"),
    "an accuracy that is a list": (resulting(clean_accuracy=[0.9]), "clean_accuracy is no number"),
    "seconds of text": (resulting(train_seconds="long"), "train_seconds is no number"),
    "accuracies in a list": (resulting(certified_accuracy=[0.5]), "certified_accuracy is no table"),
    "an attack that is a number": (resulting(attacked_accuracy={"pgd": 0.5}), "is not as lipnet writes it"),
    "a radius that is none": (resulting(certified_accuracy={"far": 0.5}), "far is no finite number"),
    "a radius of many digits": (resulting(certified_accuracy={"1e999999999": 0.5}), "is no finite number"),
    "versions in a list": (resulting(versions=["torch"]), "versions is no table"),
    "a distance that is a list": (resulting(wasserstein=[1]), "wasserstein is no table"),
    "a distance of text": (resulting(wasserstein={"estimate": "far"}), "wasserstein.estimate is no number"),
    "a confidence of text": (
        resulting(wasserstein={"estimate": 1.0, "true_value": 1.0, "confidence": "high", "ci_low": 0.0,
                               "certified_lower_bound": 0.0}), "wasserstein.confidence is no number",
    ),
    "published values that are missing": (
        resulting(wasserstein={"estimate": 1.0, "published": {"true_value": 1.0}}), "is not as lipnet writes it",
    ),
    "a GAN that is a list": (resulting(gan=[1]), "gan is no table"),
    "a GAN of text": (resulting(gan={"transport_of_generated": "far"}), "gan.transport_of_generated is no number"),
    "a GAN of NaN": (resulting(gan={"transport_of_training": float("nan")}), "gan.transport_of_training=nan"),
    "a status that is a number": (resulting(status=3), "3: "),
    "a status that is a list": (resulting(status=[3]), "[3]: "),
    "counts of text": (resulting(attacked_examples="all"), "attacked_examples is no number"),
    "choices in a list": (lambda run: (resulting(choices=[1])(run), shutil.rmtree(run / ".hydra")), None),
    "a commit that is a number": (resulting(git_commit=3), None),
}  # fmt: skip


@pytest.mark.parametrize("what", RESULTS)
def test_damaged_results_are_noted_and_the_others_shown(runs, capsys, what):
    damage, said = RESULTS[what]
    damage(runs / "bad")
    for name in FORMATS:
        printed = tables(runs, capsys, "--format", name)
        everything = printed.out + printed.err
        assert "bcop" in printed.out
        assert said is None or (str(runs / "bad") in everything and said in everything)
    tables(runs, capsys, "--filter", "status=completed", "--sort", "n")
    good = [run for run in find_runs([runs]) if not run.problem]
    assert len(good) == (2 if said is None else 1)


CONFIGURATIONS = {
    "empty": (b"", False),
    "NUL-filled": (bytes(500), False),
    "UTF-16": ("epochs: 3\n".encode("utf-16"), False),
    "Latin-1": (b"dataset: {root: caf\xe9}\n", False),
    "an anchor in itself": (b"model: &a {b: *a}\n", False),
    "a list": (b"- 1\n", False),
    "half": (b"model: {name: sma", False),
    "groups that are numbers": (b"model: 3\nconv: [1]\ndataset: null\n", True),
    "names that are lists": (b"model: {name: [small]}\ntask: {name: 3}\n", True),
    "keys that are numbers": (b"3: 4\n", True),
}


@pytest.mark.parametrize("what", CONFIGURATIONS)
def test_a_damaged_configuration_is_noted_and_the_others_shown(runs, capsys, what):
    content, composed = CONFIGURATIONS[what]
    (runs / "bad" / ".hydra" / "config.yaml").write_bytes(content)
    for name in FORMATS:
        printed = tables(runs, capsys, "--format", name)
        assert "bcop" in printed.out
        assert composed or ".hydra/config.yaml is missing or damaged" in printed.out + printed.err
    assert drawn(runs)


def test_the_page_holds_a_run_without_a_configuration(runs, capsys, tmp_path):
    (runs / "bad" / ".hydra" / "config.yaml").write_bytes(bytes(500))
    tables(runs, capsys, "--html", str(tmp_path / "report.html"), "--figures", str(tmp_path / "figures"))
    assert (tmp_path / "report.html").read_text().count("bcop") > 2


def test_a_configuration_with_a_mark_is_read(runs):
    path = runs / "bad" / ".hydra" / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    (group,) = group_runs(find_runs([runs]))
    assert len(group.runs) == 2


CELLS = {
    "empty": lambda text: b"",
    "NUL-filled": lambda text: bytes(400),
    "half": lambda text: text.encode()[: len(text) // 2],
    "cut in a cell": lambda text: text.encode()[:-3],
    "Latin-1": lambda text: text.encode() + b"caf\xe9\n",
    "words": lambda text: text.replace("1", "one").encode(),
    "infinite": lambda text: text.replace("1", "inf").encode(),
    "other columns": lambda text: b"a,b\n1,2\n",
    "more cells than columns": lambda text: text.replace("\n", ",7,8\n").encode().replace(b",7,8", b"", 1),
}


OF_TABLES = {
    "metrics.csv": "training_curves", "certificates.csv": "certified_accuracy",
    "singular_values.csv": "singular_values",
    "gradient_norms.csv": "gradient_norms",
    "per_example.csv": "per_example",
}  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("what", CELLS)
def test_a_damaged_table_is_left_out_of_the_figures(runs, what, table):
    """The figure is drawn all the same, of the other run's table."""
    (runs / "bad" / table).write_bytes(CELLS[what](TABLES[table]))
    assert drawn(runs, [OF_TABLES[table]]) == [OF_TABLES[table]]


def test_a_damaged_table_is_named(runs, caplog):
    (runs / "bad" / "certificates.csv").write_bytes(b"index,certified_radius\n0,nan\n")
    drawn(runs)
    assert f"{runs / 'bad' / 'certificates.csv'}: cannot be read (nan is no finite number); left out" in caplog.text


def test_a_damaged_table_of_an_unfinished_run(runs, capsys):
    (runs / "bad" / "results.json").unlink()
    (runs / "bad" / "metrics.csv").write_bytes(b"epoch\n\xff\n")
    assert "unfinished: after epoch ? of 10" in tables(runs, capsys).out


# Copies


@pytest.mark.parametrize("lost", [None, ".hydra", "metrics.csv"])
def test_a_copy_is_no_second_run_and_it_is_said(runs, tmp_path, capsys, lost):
    shutil.copytree(runs / "good", runs / "a copy")
    if lost == ".hydra":
        shutil.rmtree(runs / "a copy" / lost)
    elif lost:
        (runs / "a copy" / lost).unlink()
    first, second = ("good", "a copy") if lost == ".hydra" else ("a copy", "good")
    printed = tables(runs, capsys).out
    assert f"{runs / second}: a copy of {runs / first}" in printed
    (group,) = group_runs([run for run in find_runs([runs]) if not run.problem])
    assert len(group.runs) == 2
    tables(runs, capsys, "--html", str(tmp_path / "report.html"))
    assert "<b>1</b> left out" in (tmp_path / "report.html").read_text()


def test_a_run_again_is_no_copy(runs, make_run):
    make_run("runs/again", started="2026-01-02")
    assert not any("copy" in run.problem for run in find_runs([runs]))


# What the file system does


def test_a_folder_that_cannot_be_looked_into_is_noted(runs, capsys, monkeypatch):
    original = os.scandir

    def refuse(path):
        if str(path) == str(runs / "bad"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(os, "scandir", refuse)
    printed = tables(runs, capsys).out
    assert f"{runs / 'bad'}: cannot be read: Permission denied" in printed
    assert "bcop" in printed


@pytest.mark.parametrize("when", ["_composed_config", "read_csv"])
def test_a_run_that_is_deleted_meanwhile(runs, capsys, monkeypatch, when):
    if when == "read_csv":
        (runs / "bad" / "results.json").unlink()
    original = getattr(collect, when)

    def deleting(path):
        found = original(path)
        shutil.rmtree(runs / "bad", ignore_errors=True)
        return found

    monkeypatch.setattr(collect, when, deleting)
    assert "bcop" in tables(runs, capsys).out


def test_a_repeated_run_that_is_deleted_meanwhile(runs, make_run):
    make_run("runs/again", seed=1)
    found = find_runs([runs])
    shutil.rmtree(runs / "again")
    (group,) = group_runs(found)
    assert [run.directory.name for run in group.repeats] == ["again"]


def test_links_in_a_circle(runs, capsys):
    (runs / "good" / "above").symlink_to(runs)
    (runs / "itself").symlink_to("itself")
    assert len(find_runs([runs])) == 2
    with pytest.raises(SystemExit):
        main([str(runs / "itself")])
    assert "no such directory" in capsys.readouterr().err


# Names and terminals


ENVIRONMENTS = {
    "UTF-8": {"PYTHONIOENCODING": "utf-8"},
    "ASCII by Python's variable": {"PYTHONIOENCODING": "ascii"},
    "Latin-1": {"PYTHONIOENCODING": "latin-1"},
    "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


PRINT = """
import sys
from lipnet.results.__main__ import main
folder, outputs, *formats = sys.argv[1:]
for name in formats:
    main([folder, "--format", name])
    main([folder, "--format", name, "--output", f"{outputs}/{name}"])
"""


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_names_of_any_bytes_on_any_terminal(runs, tmp_path, environment):
    os.rename(runs / "bad", os.fsencode(runs) + b"/caf\xe9")
    (runs / os.fsdecode(b"caf\xe9") / "results.json").write_text("[]")
    shutil.copytree(runs / "good", runs / "größer")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHON"))}
    command = [sys.executable, "-c", PRINT, str(runs), str(tmp_path), *FORMATS]
    done = subprocess.run(command, env=clean | environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert done.stdout.count(b"bcop") >= len(FORMATS)
    for name in FORMATS:
        assert name == "csv" or "caf\\udce9" in (tmp_path / name).read_text(encoding="utf-8")


def test_a_page_names_any_bytes(runs, tmp_path, capsys):
    os.rename(runs / "good", os.fsencode(runs) + b"/caf\xe9")
    tables(runs, capsys, "--html", str(tmp_path / "x.html"))
    text = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "caf\\udce9" in text
    assert "caf%E9" in text
