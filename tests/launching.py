"""Starts the program as a user would, and reads what a run leaves behind; shared by the tests of whole runs."""

import contextlib
import csv
import hashlib
import io
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Chart, Layout

from lipnet import app

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 3
RADII = ("36/255", "0.3", "0.05", "1.0")
TINY = (
    "dataset.limit_train=60", "dataset.limit_test=16", "batch_size=16", f"epochs={EPOCHS}", "model.channels=[4,4]",
    "model.hidden=[8]", "optimizer.lr=0.03", "attack.steps=2", "attack.restarts=2", "attack.ddn_steps=10",
    "singular_values_every=1", "progress=off", "threads=1", "device=cpu", f"eval_radii=[{','.join(RADII)}]",
)  # fmt: skip
# Runs of other tasks, as small as they can be.
PAIR = (
    "task=wasserstein", "dataset=cone", "model=fc", "model.hidden=[8]", "epochs=1", "batch_size=8",
    "dataset.steps_per_epoch=2", "dataset.selection_samples=50", "dataset.evaluation_samples=101", "progress=off",
    "threads=1",
)  # fmt: skip
GAN = (
    "task=gan", "dataset=digits", "dataset.limit_train=60", "dataset.limit_test=16", "epochs=1", "batch_size=16",
    "generator.hidden=[8]", "generator.channels=[4]", "model.channels=[4]", "model.kernel_sizes=[2]",
    "model.strides=[2]", "model.hidden=[8]", "progress=off", "threads=1",
)  # fmt: skip
BAYES = (
    "task=bayes", "dataset=quartic", "inference.chains=3", "inference.descent=2", "inference.burn_in=2",
    "inference.draws=2", "inference.thin=1", "inference.leapfrog=2", "model.hidden=[4]", "proof.attack_steps=2",
    "proof.attack_starts=1", "proof.cells=64", "progress=off", "threads=1",
)  # fmt: skip
ONLINE = (
    "task=online", "dataset=autoregression", "model.memories=[1,2]", "model.budgets=[0.5,2.0]", "model.hidden=[8]",
    "task.examples=16", "task.attack_every=10", "dataset.warmup=5", "progress=off", "threads=1", "dataset.rounds=20",
)  # fmt: skip
# What may differ between two runs of one configuration.
VOLATILE = (
    "train_seconds", "eval_seconds", "attack_seconds", "seconds", "samples_per_second", "peak_memory_bytes",
    "overrides", "git_commit", "started", "wall_seconds", "rerun_of",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    code: int
    output: str


def launch(*arguments: str, program: str = "lipnet") -> Outcome:
    """Runs the program in this process; returns its exit code and everything it printed."""
    printed = io.StringIO()
    with (
        mock.patch.object(sys, "argv", [program, *arguments]),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        try:
            app.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        finally:
            torch.set_flush_denormal(False)
    return Outcome(code, printed.getvalue())


def made_environment(folder: Path) -> dict[str, str]:
    """For scripts that make a virtual environment: one that is already made, with this Python in it."""
    binaries = folder / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (binaries / "python").chmod(0o755)
    (binaries / "activate").write_text(f'PATH="{binaries}:$PATH"\n')
    (folder / ".installed").touch()
    return {"LIPNET_VENV": str(folder)}


def finished_run(factory: pytest.TempPathFactory) -> Path:
    """One finished run for all tests of a session; they may not change it."""
    directory = factory.getbasetemp() / "finished" / "run"
    return directory if directory.exists() else finish(directory)


def finish(directory: Path, *overrides: str) -> Path:
    """A tiny finished run in ``directory``."""
    outcome = launch(*TINY, *overrides, f"hydra.run.dir={directory}")
    assert outcome.code == 0, outcome.output
    return directory


def results(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "results.json").read_text())


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def events(directory: Path) -> EventAccumulator:
    """Everything in the directory's TensorBoard events, nothing sampled away."""
    kinds = ("scalars", "histograms", "images", "tensors")
    return EventAccumulator(str(directory), size_guidance=dict.fromkeys(kinds, 0)).Reload()


def outcome_of(directory: Path) -> dict[str, Any]:
    """All that must be the same, to the bit, for two runs of one configuration: a flat dict that compares well."""
    return {
        **_weights(directory),
        **{f"metrics.csv row {number}": row for number, row in enumerate(_without_time(directory))},
        **{path.name: path.read_text() for path in directory.glob("certificates.csv")},
        **{f"results.json {key}": value for key, value in results(directory).items() if key not in VOLATILE},
    }


def layout(directory: Path) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The CUSTOM SCALARS page: its sections, and all charts with the patterns of their tags."""
    (point,) = events(directory).Tensors("custom_scalars__config__")
    sections = Layout.FromString(point.tensor_proto.string_val[0]).category
    charts = [
        (chart.title, [*chart.multiline.tag, *_margins(chart)]) for section in sections for chart in section.chart
    ]
    return [section.title for section in sections], charts


def _margins(chart: Chart) -> list[str]:
    return [tag for series in chart.margin.series for tag in (series.value, series.lower, series.upper)]


def charts_without_curves(directory: Path) -> list[str]:
    """Charts of the CUSTOM SCALARS page one of whose patterns no scalar of the run has."""
    tags = events(directory).Tags()["scalars"]
    charts = layout(directory)[1]
    return [title for title, wanted in charts if not all(any(re.match(one, tag) for tag in tags) for one in wanted)]


def curves(directory: Path) -> dict[str, list]:
    """Steps, and for scalars values, of everything that TensorBoard shows, in the order of steps; times left out.

    Files are read by their names, which for two that one process begins in the same second are in no order.
    """
    accumulator = events(directory)
    tags = accumulator.Tags()
    return {
        **{tag: sorted((point.step, point.value) for point in accumulator.Scalars(tag))
           for tag in tags["scalars"] if not tag.startswith("time/")},
        **{tag: sorted(point.step for point in accumulator.Histograms(tag)) for tag in tags["histograms"]},
        **{tag: sorted(point.step for point in accumulator.Images(tag)) for tag in tags["images"]},
        **{tag: sorted(point.step for point in accumulator.Tensors(tag)) for tag in tags["tensors"]},
    }  # fmt: skip


def _weights(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("last", "best"):
        saved = torch.load(directory / "checkpoints" / f"{name}.pt", weights_only=True)
        tensors = {f"model {key}": value for key, value in saved["model"].items()}
        for number, state in saved["optimizer"]["state"].items():
            tensors |= {f"optimizer {number} {key}": value for key, value in state.items()}
        found |= {f"{name}.pt {key}": _digest(value) for key, value in tensors.items()}
        found |= {f"{name}.pt {key}": saved["progress"][key] for key in ("epoch", "batch", "best_score", "best_epoch")}
    return found


def _digest(tensor: torch.Tensor) -> str:
    return f"{tuple(tensor.shape)} {hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()[:16]}"


def _without_time(directory: Path) -> list[dict[str, str]]:
    rows = table(directory / "metrics.csv")
    return [{key: value for key, value in row.items() if not key.startswith("time_")} for row in rows]
