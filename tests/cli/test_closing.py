from lipnet.cli.closing import closing_lines


def test_files_that_are_there_and_the_next_commands(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["lipnet"])
    run = tmp_path / "a run" / "1"
    (run / "checkpoints").mkdir(parents=True)
    for name in ("results.json", "checkpoints/best.pt"):
        (run / name).touch()
    first, files, *rest = closing_lines(run, "robustness").splitlines()
    assert first == f"everything is in {run}"
    assert files == "  results.json (all numbers), checkpoints/best.pt (the network)"
    commands = [line.partition("  #")[0].strip() for line in rest[1:]]
    assert commands == [
        f"tensorboard --logdir '{run.parent}'", f"lipnet-results '{run.parent}'",
        f"lipnet task=evaluate 'run={run}' attack.steps=100",
    ]  # fmt: skip


def test_only_classifiers_are_attacked(tmp_path):
    assert "task=evaluate" not in closing_lines(tmp_path, "wasserstein")
