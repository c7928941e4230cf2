"""Sweeps whose jobs run in other processes, with a layer of the user's own."""

import subprocess
import sys

import pytest
from launching import ROOT, TINY, results
from own_modules import CLAMP

from lipnet.runs.cores import available_cores

OVERRIDES = [override for override in TINY if not override.startswith(("epochs", "attack", "singular", "threads"))]
OVERRIDES += ["epochs=1", "attack.names=[]", "singular_values_every=0", "plugins=[my_layer]", "activation=clamp,relu"]


@pytest.mark.parametrize(
    ("plugin", "launcher"),
    [
        ("joblib", ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]),
        ("submitit", ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"]),
    ],
)
def test_jobs_in_processes_of_their_own(plugin, launcher, tmp_path):
    pytest.importorskip(f"hydra_plugins.hydra_{plugin}_launcher", reason=f"needs pip install 'lipnet[{plugin}]'")
    (tmp_path / "my_layer.py").write_text(CLAMP)
    command = [sys.executable, str(ROOT / "train.py"), "-m", *launcher, *OVERRIDES]
    done = subprocess.run(
        [*command, "hydra.sweep.dir=sweep"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sweep of 2 jobs in sweep: 2 completed\n" in done.stdout
    jobs = [path for path in (tmp_path / "sweep").glob("activation-*") if path.is_dir()]
    assert {results(job)["status"] for job in jobs} == {"completed"}
    assert [results(job)["threads"] for job in jobs] == [max(1, available_cores() // 2)] * 2
