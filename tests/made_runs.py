"""Run directories as a finished run leaves them, made up: for tests that read many."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

CONFIG: dict[str, Any] = {
    "task": {"name": "robustness", "select_by": "certified_accuracy"},
    "model": {"name": "small", "channels": [32, 64]}, "conv": {"name": "bcop", "padding_mode": "circular"},
    "linear": {"name": "bjorck", "iterations": 20},
    "dataset": {"name": "mnist", "root": "data", "epsilon": 1.5, "eval_radii": [0.3, 1.58]},
    "loss": {"name": "margin", "epsilon": "${dataset.epsilon}"}, "optimizer": {"name": "adam", "lr": 0.001},
    "seed": 0, "epochs": 10, "device": "auto", "eval_radii": "${dataset.eval_radii}", "resume": None, "run": None,
    "attack": {"steps": 20},
}  # fmt: skip
RESULTS: dict[str, Any] = {
    "task": "robustness", "choices": {"dataset": "mnist", "model": "small", "conv": "bcop"}, "overrides": ["epochs=10"],
    "git_commit": "a" * 40, "versions": {"torch": "2.6.0"}, "device": "cpu", "threads": 2, "status": "completed",
    "test_examples": 100, "attacked_examples": 100, "clean_accuracy": 0.9,
    "certified_accuracy": {"0.3": 0.8, "1.58": 0.4}, "attacked_accuracy": {"pgd": {"0.3": 0.85, "1.58": 0.7}},
    "mean_certified_radius": 1.25, "lipschitz_upper_bound": 1.0000005, "lipschitz_lower_bound": 0.95,
    "train_seconds": 120.0,
}  # fmt: skip


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """``make_run("runs/a", {"optimizer.lr": 0.1}, seed=1, clean_accuracy=0.5)``: a made-up run directory.

    The dict changes the composed configuration, the keywords change ``results.json`` (``None`` takes a key out).
    """

    def make(name: str, changes: dict[str, Any] | None = None, seed: int = 0, **results: Any) -> Path:
        directory = tmp_path / name
        (directory / ".hydra").mkdir(parents=True)
        config = copy.deepcopy(CONFIG) | {"seed": seed}
        for key, value in (changes or {}).items():
            group, _, leaf = key.rpartition(".")
            (config[group] if group else config)[leaf] = value
        (directory / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        content = {key: value for key, value in (RESULTS | {"seed": seed} | results).items() if value is not None}
        (directory / "results.json").write_text(json.dumps(content))
        return directory

    return make
