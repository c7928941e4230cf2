import re
from html.parser import HTMLParser

import pytest

from lipnet.results.__main__ import main
from lipnet.runs.files import write_csv

_VOID = {"meta", "br", "img", "link", "hr", "wbr"}


class Document(HTMLParser):
    """Every tag must be closed in order; collects ids, links, and table rows as lists of texts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.rows = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [value for name, value in attributes.items() if name in ("href", "src", "xlink:href")]
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


@pytest.fixture
def report(tmp_path, capsys):
    """``report(*arguments)``: the report on ``tmp_path/runs``, and what it was parsed into."""

    def make(*arguments):
        path = tmp_path / "deep" / "report.html"
        main([str(tmp_path / "runs"), "--html", str(path), *arguments])
        assert str(path) in capsys.readouterr().err
        text = path.read_text()
        return text, Document(text)

    return make


def _tracked(run, epochs=3):
    rows = [{"epoch": e, "train_loss": 1 / e, "time_seconds": 1.0, "validation_certified_accuracy@1.58": e / 10}
            for e in range(1, epochs + 1)]  # fmt: skip
    write_csv(run / "metrics.csv", rows)
    return run


def test_one_file_with_everything(make_run, tmp_path, report):
    for seed in (0, 1):
        run = _tracked(make_run(f"runs/a{seed}", seed=seed, clean_accuracy=0.9 + seed / 50))
        write_csv(run / "certificates.csv", [{"index": 0, "certified_radius": 0.5}])
    _tracked(make_run("runs/b", {"optimizer.lr": 0.1}, certified_accuracy={"0.3": 0.7, "1.58": 0.5}))
    make_run("runs/failed", seed=7, status="failed", error="ValueError: <b>no</b> & such")
    (_tracked(make_run("runs/going on", seed=8), epochs=1) / "results.json").unlink()
    text, document = report()
    assert ["small", "bcop", "0.001", "2", "91.00 ± 1.00"] in [row[:5] for row in document.rows]
    reasons = {row[0].rpartition("/")[2]: row[1] for row in document.rows if len(row) == 2}
    assert reasons["failed"] == "failed: ValueError: <b>no</b> & such"
    assert reasons["going on"].startswith("unfinished: after epoch 1 of 10")
    assert "<b>3</b> finished, <b>1</b> unfinished, <b>1</b> failed; <b>2</b> configurations" in text
    assert text.count("<svg") == 5  # radius, clean against certified, swept key, curves, seconds
    assert len(document.ids) == len(set(document.ids))
    assert all(link.startswith(("#", "../runs/")) for link in document.links)  # nothing is loaded from elsewhere
    for link in document.links:
        assert link[1:] in document.ids if link[0] == "#" else link.startswith("../runs/")
    assert "../runs/going%20on" in document.links
    assert re.search(r'class="number best" data-value="0.5">50.00<', text)


def test_while_nothing_has_finished(make_run, tmp_path, report):
    (_tracked(make_run("runs/a")) / "results.json").unlink()
    text, _ = report()
    assert "No run has finished yet." in text
    assert text.count("<svg") == 2


def test_a_rerun_that_goes_on_does_not_hide_the_finished_run(make_run, tmp_path, report):
    _tracked(make_run("runs/a"))
    (_tracked(make_run("runs/b"), epochs=1) / "results.json").unlink()
    text, document = report()
    assert ["small", "bcop", "1", "90.00"] in [row[:4] for row in document.rows]
    assert "(n=1)" in text


def test_figures_show_the_best_of_many_configurations(make_run, tmp_path, report):
    for number in range(12):
        accuracy = {"0.3": 0.9, "1.58": number / 20}
        _tracked(make_run(f"runs/{number}", {"epochs": number + 1}, certified_accuracy=accuracy))
    text, _ = report()
    assert text.count("The 10 of 12 configurations with the largest certified@1.58.") == 3
    curves = text.rpartition("Epoch by epoch")[0].rpartition("<figure")[2]
    assert {int(label) for label in re.findall(r">bcop epochs=(\d+) ", curves)} == set(range(3, 13))


def test_a_place_that_cannot_be_written_is_named(make_run, tmp_path, capsys):
    make_run("runs/a")
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match="1"):
        main([str(tmp_path / "runs"), "--html", str(tmp_path / "file" / "report.html")])
    assert "--html" in capsys.readouterr().err
