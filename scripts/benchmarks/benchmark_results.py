"""Times the table and the report over many made-up run directories: python scripts/benchmarks/benchmark_results.py RUN

The directories are copies of a finished run with other seeds, learning rates and accuracies, and go away afterwards.
"""

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_COPIED = ("metrics.csv", "certificates.csv", "singular_values.csv", "gradient_norms.csv")
_SEEDS = 5


def main() -> None:
    """Makes the directories, and runs the command as a user would."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run directory of task=robustness, to copy")
    parser.add_argument("--runs", type=int, default=5000, help="default: 5000")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.runs):
            make_run(arguments.run, Path(folder) / f"{number:05d}", number)
        for name, options in {"table": [], "table and report": ["--html", f"{folder}/report.html"]}.items():
            command = [sys.executable, "-m", "lipnet.results", folder, *options]
            started, before = time.perf_counter(), _computed()
            subprocess.run(command, check=True, capture_output=True)
            seconds = time.perf_counter() - started
            computed = _computed() - before
            print(f"{name}: {arguments.runs} runs in {seconds:.1f} s ({computed:.1f} s of a core)")
        print(f"report: {(Path(folder) / 'report.html').stat().st_size / 1e6:.1f} MB")


def _computed() -> float:
    """Seconds that the commands so far have had of a core; on a busy machine less than what passed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def make_run(source: Path, target: Path, number: int) -> None:
    """A copy with a seed and a learning rate of its own; every tenth has failed, every twentieth is unfinished."""
    (target / ".hydra").mkdir(parents=True)
    rate, seed = 1e-5 * (1 + number // _SEEDS), number % _SEEDS
    config = (source / ".hydra" / "config.yaml").read_text()
    lines = [_changed(line, {"seed: ": f"seed: {seed}", "  lr: ": f"  lr: {rate:.6g}"}) for line in config.splitlines()]
    (target / ".hydra" / "config.yaml").write_text("\n".join(lines) + "\n")
    for name in _COPIED:
        shutil.copy(source / name, target / name)
    if number % 20 == 19:
        return
    results = json.loads((source / "results.json").read_text()) | {"seed": seed}
    results["clean_accuracy"] *= random.Random(number).uniform(0.5, 1)
    if number % 10 == 0:
        results |= {"status": "failed", "error": "RuntimeError: made up"}
    (target / "results.json").write_text(json.dumps(results))


def _changed(line: str, changes: dict[str, str]) -> str:
    return next((new for start, new in changes.items() if line.startswith(start)), line)


if __name__ == "__main__":
    main()
