import os
import re
from collections import Counter
from html.parser import HTMLParser

import pytest

from lipnet.results.__main__ import main
from lipnet.runs.files import write_csv

_VOID = {"meta", "br", "img", "link", "hr", "wbr"}


class Document(HTMLParser):
    """Every tag must be closed in order; collects tags, attributes, texts, ids, links, and rows as lists of texts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.rows, self.texts = [], [], [], [], []
        self.tags, self.attributes = Counter(), set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags[tag] += 1
        self.attributes |= set(attributes)
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
        self.texts.append(data)
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


HOSTILE = {
    "a script": "<script>alert(1);",
    "an entity": "&lt;b&gt; & <b>",
    "quotes": "\"double\" onclick='single'",
    "of a template": "{{ 7 * 7 }} {% include 'x' %} {# no #}",
    "not UTF-8": os.fsdecode(b"caf\xe9 <b>"),
}
# Where a name comes from: what makes the runs hold it.
IN_CONFIGURATIONS = {
    "a data set": lambda make_run, text: make_run("runs/a", {"dataset.name": text}),
    "a model": lambda make_run, text: make_run("runs/a", {"model.name": text}),
    "a method": lambda make_run, text: make_run("runs/a", {"conv.name": text}),
    "a key in all rows": lambda make_run, text: [
        make_run(f"runs/{epochs}", {"loss.name": text, "epochs": epochs}) for epochs in (1, 2)
    ],
    "a key that varies": lambda make_run, text: [
        make_run(f"runs/{number}", {"loss.name": name}) for number, name in enumerate(("margin", text))
    ],
}
ELSEWHERE = {
    "a folder": lambda make_run, text: make_run(f"runs/{text}"),
    "a commit": lambda make_run, text: make_run("runs/a", git_commit=text),
    "an attack": lambda make_run, text: make_run("runs/a", attacked_accuracy={text: {"0.3": 0.5}}),
    "a note": lambda make_run, text: [
        make_run(f"runs/{seed}", seed=seed, device=device) for seed, device in enumerate(("cpu", text))
    ],
    "an error": lambda make_run, text: make_run("runs/a", status="failed", error=text),
}
NAMES = [(place, kind) for place in ELSEWHERE for kind in HOSTILE]
# A configuration that is not UTF-8 cannot be read at all.
NAMES += [(place, kind) for place in IN_CONFIGURATIONS for kind in HOSTILE if kind != "not UTF-8"]


@pytest.mark.parametrize(("place", "kind"), NAMES)
def test_no_name_is_markup(make_run, report, monkeypatch, place, kind):
    """The page has the elements that it has with a harmless name, and each name is shown as it is."""
    monkeypatch.setattr("lipnet.results.report.FIGURES", {})
    text = HOSTILE[kind]
    (IN_CONFIGURATIONS | ELSEWHERE)[place](make_run, text)
    _, document = report()
    assert document.tags["script"] == 1
    assert document.tags["b"] == 2 + (place == "an error")  # counts of runs
    assert "onclick" not in document.attributes
    begin = text[:10].encode(errors="backslashreplace").decode()  # no more is shown of a commit and of a device
    assert begin in "".join(document.texts)
