"""How fast a configuration trains: ``python -m lipnet.equal_time.pace FILE KEY=VALUE ...`` writes what it measured."""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import lipnet.app  # noqa: F401  registers what conf/ resolves
from lipnet.cli.arguments import prepare
from lipnet.cli.composing import hydra_ready, try_composing, without_hydra
from lipnet.errors import UserError
from lipnet.options.config import Config
from lipnet.options.parse import parse
from lipnet.options.registry import GROUPS
from lipnet.runs.files import write_atomically
from lipnet.runs.load import new_model
from lipnet.tasks.session import Session
from lipnet.training.loop import Loop
from lipnet.training.seeding import choose_device, start_clean

_WARM_UP, _STEPS = 3, 20


def checked_config(overrides: list[str]) -> Config:
    """The configuration of a run with these overrides.

    Raises:
        UserError: with everything that is wrong with them.
    """
    problems: list[str] = []
    words = prepare(overrides)
    with hydra_ready():
        composed = try_composing(words, problems)
        if composed is None:
            raise UserError(*problems)
        return parse(without_hydra(composed))


def seconds_per_epoch(config: Config) -> dict[str, Any]:
    """What an epoch of training takes, by the median of some steps after the first ones; and its examples."""
    device = choose_device(config.device)
    start_clean(config.seed, config.threads)
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Path(folder), device, {}, [], config)
        task = GROUPS["task"][config.task.name].load()(session)
        batches = task.batches()
        model = new_model(config).to(device)
        loop = Loop(model, batches, config, session.directory, {}, task.rates, task.update)
        loop.model.train()
        loop.progress.totals = torch.zeros(len(task.sums), dtype=torch.float64)
        times: list[float] = []
        before = time.perf_counter()
        for inputs, targets in batches.training_batches(config.batch_size, config.seed, 0):
            loop.step(task, inputs, targets)
            if device.type == "cuda":
                torch.cuda.synchronize()
            now = time.perf_counter()
            times.append(now - before)
            before = now
            if len(times) == _WARM_UP + _STEPS:
                break
    step = statistics.median(times[_WARM_UP:] or times)
    return {"seconds_per_step": step, "seconds": step * loop.batches, "examples": len(batches)}


def main(arguments: list[str]) -> None:
    """Measures the overrides' configuration, and writes it as JSON."""
    path, *overrides = arguments
    found = seconds_per_epoch(checked_config(overrides))
    write_atomically(Path(path), lambda file: json.dump(found, file))


if __name__ == "__main__":
    main(sys.argv[1:])
