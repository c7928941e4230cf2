import runpy

from launching import ROOT

from lipnet.results.collect import find_runs
from lipnet.results.groups import group_runs
from lipnet.runs.files import write_csv

SCRIPT = runpy.run_path(str(ROOT / "scripts" / "benchmarks" / "benchmark_results.py"))


def test_made_up_runs_are_finished_failed_and_unfinished(make_run, tmp_path):
    source = make_run("source")
    for name in SCRIPT["_COPIED"]:
        write_csv(source / name, [{"epoch": 1}])
    for number in range(20):
        SCRIPT["make_run"](source, tmp_path / "runs" / str(number), number)
    runs = find_runs([tmp_path / "runs"])
    finished = [run for run in runs if not run.problem]
    assert sorted(run.directory.name for run in runs if run.problem) == ["0", "10", "19"]
    assert [run.directory.name for run in runs if run.unfinished] == ["19"]
    assert sorted(len(group.runs) for group in group_runs(finished)) == [4, 4, 4, 5]
    assert len({group.config["optimizer.lr"] for group in group_runs(finished)}) == 4
