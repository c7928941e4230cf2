"""scripts/measure_float32.py: a row a radius, of what the run and its export found themselves."""

import sys

from launching import RADII, ROOT, finished_run, launch, results

sys.path.insert(0, str(ROOT / "scripts"))
import measure_float32


def test_its_rows_are_what_the_run_and_its_export_say(tmp_path, tmp_path_factory, capsys, monkeypatch):
    run, exported = finished_run(tmp_path_factory), tmp_path / "exported"
    outcome = launch("task=export", "task.assured=true", "task.onnx=false", f"run={run}", f"hydra.run.dir={exported}")
    assert outcome.code == 0, outcome.output
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["measure_float32.py", str(run)])
    measure_float32.main()
    head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    rows = [dict(zip(head, row, strict=True)) for row in rows]
    assert [row["radius"] for row in rows] == list(RADII)
    found, again = results(run)["certified_accuracy_by_arithmetic"], results(exported)["evaluated_again"]
    for row in rows:
        exact, coarse = (100 * found[arithmetic][row["radius"]] for arithmetic in ("float64", "float32"))
        assert [row["float64"], row["float32"]] == [f"{exact:.2f}", f"{coarse:.2f}"]
        assert row["difference"] == f"{exact - coarse:.2f}"
        assert row["second passes"] == f"{100 * again:.2f} %"
