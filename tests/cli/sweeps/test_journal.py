import json
import multiprocessing

import pytest

from lipnet.cli.sweeps.journal import FILE, VARIABLE, Entry, append, before, closing_lines, launched, read


def entry(job, outcome, state="new", reason="", launch="a"):
    return Entry(launch, job, f"sweep/job-{job}", outcome, state, reason)


def _append(folder, job):
    for _ in range(50):
        append(folder, entry(job, "completed", reason="x" * 200))


def test_processes_do_not_mix_their_lines(tmp_path):
    workers = [multiprocessing.get_context("fork").Process(target=_append, args=(tmp_path, job)) for job in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lines = (tmp_path / FILE).read_text().splitlines()
    assert len(lines) == 200
    assert {json.loads(line)["job"] for line in lines} == {0, 1, 2, 3}


def test_a_launch_reads_its_own_entries(tmp_path):
    for each in (entry(2, "failed"), entry(1, "completed"), entry(2, "completed"), entry(3, "failed", launch="b")):
        append(tmp_path, each)
    with open(tmp_path / FILE, "a") as file:
        file.write('{"launch": "a", "jo')  # the disk was full
    assert read(tmp_path, "a") == [entry(1, "completed"), entry(2, "completed")]
    assert read(tmp_path / "none", "a") == []


def test_the_closing_lines_count_every_job(tmp_path):
    entries = [
        entry(1, "skipped", "completed"), entry(2, "skipped", "completed"), entry(3, "completed"),
        entry(4, "completed", "unfinished"), entry(5, "completed", "failed"), entry(6, "failed", "new", "no memory."),
        entry(7, "busy"), entry(8, "stopped"),
    ]  # fmt: skip
    first, failed, hint, table = closing_lines(tmp_path, entries, 10).splitlines()
    assert first == (
        f"sweep of 10 jobs in {tmp_path}: 2 completed before and skipped, 1 completed, 1 completed (it was "
        "unfinished), 1 completed (it was failed), 1 failed, 1 running in another process, 1 stopped, "
        "2 not run to an end"
    )
    assert failed == "  failed: sweep/job-6: no memory."
    assert hint.startswith("The same command goes on from here")
    assert table == f"The table: lipnet-results {tmp_path}"


def test_a_sweep_without_trouble_needs_two_lines(tmp_path):
    lines = closing_lines(tmp_path, [entry(1, "completed")], 1).splitlines()
    assert lines == [f"sweep of 1 job in {tmp_path}: 1 completed", f"The table: lipnet-results {tmp_path}"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "new"),
        ({"checkpoints/last.pt": ""}, "unfinished"),
        ({"results.json": '{"status": "failed"}', "checkpoints/last.pt": ""}, "failed"),
        ({"results.json": '{"status": "completed"}'}, "completed"),
        ({"results.json": '{"stat', "checkpoints/last.pt": ""}, "unfinished"),
    ],
)
def test_what_was_there_before(tmp_path, files, expected):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert before(tmp_path) == expected


def test_a_job_knows_its_launch(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert launched() == ("", 1)
    monkeypatch.setenv(VARIABLE, "ab12:9")
    assert launched() == ("ab12", 9)
