"""The benchmark runs and counts; what it measures is nobody's test."""

import json
import subprocess
import sys

import pytest
from launching import ROOT

FOLDER = ROOT / "scripts" / "benchmarks"
sys.path.insert(0, str(FOLDER))


def script(name, *arguments):
    command = [sys.executable, str(FOLDER / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def test_every_suite_runs(tmp_path):
    output, figure = tmp_path / "report.json", tmp_path / "report.png"
    done = script(
        "benchmark.py", "--rows", "small 28x28", "c=32 k=2", "cayley c=32", "bjorck groups=4", "--rounds", 1,
        "--seconds", 0, "--threads", 1, "--images", 500, "--json", output, "--figure", figure,
    )  # fmt: skip
    report = json.loads(output.read_text())
    for suite in ("step", "eval"):
        plain, cholesky, _, bjorck, _ = report[suite]["small 28x28"].values()
        assert plain["ratio"] == 1
        assert plain["ms"] > 0
        assert bjorck["ms"] > 0
        assert suite == "eval" or plain["operations"] < cholesky["operations"] < bjorck["operations"]
    assert report["kernel"]["c=32 k=2"]["ms"] > 0
    assert report["layers"].keys() == {"cayley c=32"}
    assert report["layers"]["cayley c=32"]["ms"] > 0
    grouped = report["groups"]["large bjorck groups=4"]
    assert grouped.pop("parameters") == 1904362
    assert all(row["ms"] > 0 for row in grouped.values())
    assert all(row["ms"] > 0 for row in report["certify"]["small 28x28"].values())
    assert set(report["end_to_end"]) == {"bare steps", "lipnet's loop"}
    assert "training step, small 28x28" in done.stdout
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_least_count_of_a_kernel_is_what_torch_counts():
    """Of full matrices the formula counts the forward pass, but for the product that checks each orthonormal matrix."""
    import benchmark

    from lipnet.layers import BCOPConv2d

    for kernel_size in (1, 2, 3):
        layer = BCOPConv2d(16, 16, kernel_size)
        operations = benchmark._operations(lambda layer=layer: layer.weight)
        checks = 16**3 + 2 * (kernel_size - 1) * 16 * 8**2
        assert 2 * (benchmark.kernel_multiply_adds(16, kernel_size) // 3 + checks) == operations


def test_time_to_quality(tmp_path):
    run, figure = tmp_path / "run", tmp_path / "curve.png"
    (run / ".hydra").mkdir(parents=True)
    (run / ".hydra" / "config.yaml").write_text("epochs: 2\nseed: 3\nconv: {name: bcop, orthogonalizer: cholesky}\n")
    (run / "metrics.csv").write_text("epoch,time_seconds,score\n1,10.0,0.5\n2,20.0,0.75\n")
    done = script("time_to_quality.py", run, "--metric", "score", "--figure", figure)
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["cholesky,", "2", "epochs,", "seed", "3"], ["10", "s", "0.5000"], ["30", "s", "0.7500"],
    ]  # fmt: skip
    assert figure.read_bytes().startswith(b"\x89PNG")


FEW = ("--rows", "c=32 k=2", "--rounds", "1", "--seconds", "0", "--threads", "1")


def test_one_suite_has_a_figure(tmp_path, monkeypatch):
    import benchmark

    monkeypatch.setattr(sys, "argv", ["benchmark.py", "kernel", *FEW, "--figure", str(tmp_path / "one.png")])
    benchmark.main()
    assert (tmp_path / "one.png").exists()


def test_one_suite_says_that_it_has_no_figure(tmp_path, monkeypatch, capsys):
    import benchmark

    monkeypatch.setattr(sys, "argv", ["benchmark.py", "end_to_end", *FEW, "--figure", str(tmp_path / "one.png")])
    with pytest.raises(SystemExit, match="2"):
        benchmark.main()
    assert "nothing to draw" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
