import pytest

from lipnet.results.collect import find_runs
from lipnet.results.groups import group_runs
from lipnet.results.notes import notes, notes_on_groups

READING = "accuracies in per cent; mean ± population standard deviation over n seeds; attacks: accuracy at most."
IN_FLOAT64 = {"float64": {"0.3": 0.8}, "float32": {"0.3": 0.7}}


@pytest.fixture
def noted(tmp_path):
    """``noted()``: the notes below a table of all runs."""

    def below():
        runs = find_runs([tmp_path])
        return notes(group_runs([run for run in runs if not run.problem]), runs)

    return below


def test_a_plain_table_has_how_to_read_it_alone(make_run, noted):
    make_run("a")
    assert noted() == [READING]


def test_no_table_has_no_notes():
    assert notes_on_groups([]) == []


def test_one_arithmetic_is_said_once(make_run, noted):
    for seed in (0, 1):
        make_run(str(seed), seed=seed, certified_accuracy_by_arithmetic=IN_FLOAT64, certify_dtype="float64")
    assert noted() == [
        READING,
        "certified accuracy is of the network evaluated in float64; certified_float32: in float32.",
    ]


def test_several_arithmetics_are_said_of_each_row(make_run, noted):
    make_run("a", certify_dtype="float64")
    make_run("b", {"conv.name": "rko"}, certify_dtype="float32")
    assert noted() == [
        READING,
        "mnist small bcop: certified accuracy is of the network evaluated in float64.",
        "mnist small rko: certified accuracy is of the network evaluated in float32.",
    ]


def test_what_is_left_out_is_listed(make_run, noted, tmp_path):
    for place in range(13):
        make_run(f"a{place:02}")
    make_run("failed", status="failed", error="OSError: disk full")
    _, repeats, missing = noted()
    title, *lines, more = repeats.splitlines()
    assert title == "12 runs are left out, the same configuration and seed finished again later:"
    assert len(lines) == 10
    assert more == "  and 2 more"
    assert missing == f"1 run is not in the table:\n  {tmp_path / 'failed'}: failed: OSError: disk full"


def test_notes_of_a_row(make_run, noted):
    make_run("a", attacked_examples=10)
    make_run("b", seed=1, attacked_examples=20, device="cuda")
    assert noted() == [
        READING,
        "mnist small bcop: attacks on the first 10 or 20 test examples only.",
        "mnist small bcop: its runs differ in device: cpu, cuda.",
        "mnist small bcop: its runs differ in attacked_examples: 10, 20.",
    ]
