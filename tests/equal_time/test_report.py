import json

from lipnet.equal_time.report import row, table, write_report

PACE = {"seconds": 10.0, "seconds_per_step": 0.1, "examples": 1000}


def results(clean, certified):
    return {
        "clean_accuracy": clean, "certified_accuracy": {"0": clean, "0.3": certified}, "samples_per_second": 80.0,
        "train_seconds": 21,
    }  # fmt: skip


def made(choice, seconds, *certified):
    return row(choice, seconds, (0.01, 1e-5), PACE, [results(0.75, share) for share in certified])


def test_a_table_a_budget_with_the_best_first():
    rows = [made("a", 10, 0.5, 0.6), made("b", 10, 0.7, 0.7), made("a", 20, 0.7)]
    assert table(rows).splitlines() == [
        "10 seconds of training", "",
        "| choice | clean | certified at 0.3 | seeds | epochs | ms a step | train s | lr | decay |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| `b` | 75.00 ± 0.00 | 70.00 ± 0.00 | 2 | 1.68 | 100.0 | 21 | 0.01 | 1e-05 |",
        "| `a` | 75.00 ± 0.00 | 55.00 ± 7.07 | 2 | 1.68 | 100.0 | 21 | 0.01 | 1e-05 |",
        "", "20 seconds of training", "",
        "| choice | clean | certified at 0.3 | seeds | epochs | ms a step | train s | lr | decay |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| `a` | 75.00 | 70.00 | 1 | 1.68 | 100.0 | 21 | 0.01 | 1e-05 |",
    ]  # fmt: skip


def test_the_files_hold_every_seed(tmp_path):
    files = write_report(tmp_path, [made("a", 10, 0.5, 0.6), made("a", 20, 0.7)])
    assert [path.name for path in files] == ["equal_time.json", "equal_time.md", "equal_time.png"]
    first, _ = json.loads(files[0].read_text())
    assert first["certified"]["0.3"] == [0.5, 0.6]
    assert files[2].read_bytes().startswith(b"\x89PNG")


def test_without_a_run_there_is_no_figure(tmp_path):
    assert [path.suffix for path in write_report(tmp_path, [])] == [".json", ".md"]
    assert (tmp_path / "equal_time.md").read_text() == "No run has finished.\n"
