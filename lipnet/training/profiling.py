"""A trace of a few training steps, for Perfetto (ui.perfetto.dev) or chrome://tracing."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from lipnet.runs.files import write_atomically

log = logging.getLogger("lipnet")

FILE, SUMMARY = "profile.json.gz", "profile.txt"
_WAIT, _WARMUP, _STEPS = 2, 1, 5  # the first steps build caches
_BEFORE = _WAIT + _WARMUP
_ROWS = 25


@contextmanager
def profiled(directory: Path, active: bool) -> Iterator[Callable[[], None]]:
    """A function to call after each step; a trace of five steps and a table of their costliest operations appear.

    Args:
        active: without it nothing is measured or written.
    """
    if not active:
        yield lambda: None
        return
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # it calls a machine without a GPU an error
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    plan = schedule(wait=_WAIT, warmup=_WARMUP, active=_STEPS, repeat=1)
    with profile(activities=activities, schedule=plan, on_trace_ready=lambda done: _write(done, directory)) as profiler:
        yield profiler.step
    if profiler.step_num <= _BEFORE:
        log.warning("profile=true: too few steps for a trace (%d; it begins after %d)", profiler.step_num, _BEFORE)


def _write(profiler: profile, directory: Path) -> None:
    steps = min(profiler.step_num - _BEFORE, _STEPS)
    if steps < 1:
        return
    profiler.export_chrome_trace(str(directory / FILE))
    by = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    table = profiler.key_averages().table(sort_by=by, row_limit=_ROWS, max_name_column_width=60)
    write_atomically(directory / SUMMARY, lambda file: file.writelines([table]))
    log.info("%s: a trace of %d steps, for https://ui.perfetto.dev; %s: what they spent", FILE, steps, SUMMARY)
