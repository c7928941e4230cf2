"""Tries hundreds of malformed inputs: every one must end with a clean message, exit code 1, and nothing lost.

    python scripts/stress/malformed_inputs.py [--only KIND ...] [--fuzz 100]

Command lines, folders of configurations, run directories, saved overrides, checkpoints, data files, a user's own data,
code and graphs, environments, runs in a table and exports, each damaged in a way of its own; the program runs in
this process. Prints the counts by kind, and every case that went wrong.
"""

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from malformed import MARK, TINY, Case, lipnet
from malformed.command_lines import command_lines
from malformed.data import data_files
from malformed.environments import environments
from malformed.exports import exports
from malformed.folders import folders
from malformed.occupied import occupied
from malformed.own import own
from malformed.runs import checkpoints, saved_overrides
from malformed.tables import damaged_runs

MAY_CHANGE = ("lipnet.log", "results.json")  # in a run directory that is resumed in vain


def main() -> int:
    """Tries all; exit code 0 where none went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", metavar="KIND", help="such as checkpoints, or 'data files'; all by default"
    )
    parser.add_argument("--fuzz", type=int, default=60, help="random inputs of each kind that has some")
    arguments = parser.parse_args()
    os.environ.pop("HYDRA_FULL_ERROR", None)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        make_originals(base)
        cases = [case for case in all_cases(base, arguments.fuzz) if case.kind in (arguments.only or [case.kind])]
        tried, wrong = Counter(), []
        for case in cases:
            problem = try_one(case)
            tried[case.kind] += 1
            if problem:
                wrong.append(f"{case.kind}: {case.name}: {problem}")
                print(wrong[-1], flush=True)
    failed = Counter(line.partition(":")[0] for line in wrong)
    for kind, count in tried.items():
        print(f"{kind:<24} {count:>4} tried, {count - failed[kind]:>4} ended as they should")
    print(f"{'all':<24} {tried.total():>4} tried, {tried.total() - len(wrong):>4} ended as they should")
    return 1 if wrong or not cases else 0


def try_one(case: Case) -> str | None:
    """Why the case went wrong, or nothing."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)
        try:
            given = case.prepare(folder)
            files = snapshot(folder)
            code, output = captured(case.program, given)
            return verdict(case, code, output, files, folder)
        finally:
            os.chdir(before)


def verdict(case: Case, code: int | str, output: str, files: dict[str, bytes], folder: Path) -> str | None:
    """What is wrong with how it ended: code that ran, a traceback, a lost file, no message."""
    after = snapshot(folder)
    lost = [
        path for path, content in files.items()
        if after.get(path) != content and Path(path).name not in MAY_CHANGE and ".hydra" not in path
    ]  # fmt: skip
    if list(folder.rglob(MARK)):
        return "code of the input ran"
    if code not in (0, 1) or "Traceback" in output or "HYDRA_FULL_ERROR" in output:
        return f"code {code}, {output.strip()[-400:]!r}"
    if lost:
        return f"changed {', '.join(lost)}"
    if case.untouched and after != files:
        return f"changed {', '.join(path for path in {**files, **after} if files.get(path) != after.get(path))}"
    if code == 0:
        return None if case.harmless else f"accepted: {output.strip()[-200:]!r}"
    if (case.program is lipnet or case.untouched) and not any(
        line.startswith("lipnet: ") for line in output.splitlines()
    ):
        return f"no message: {output.strip()[-400:]!r}"
    for path in folder.rglob("results.json"):
        if str(path.relative_to(folder)) not in files and json.loads(path.read_text())["status"] == "completed":
            return f"{path} claims to be complete"
    return None


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def captured(program: Callable[[list[str]], int], given: list[str]) -> tuple[int | str, str]:
    """The exit code (or the exception that got away) and everything printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            code: int | str = program(given)
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException as error:
            code = f"{type(error).__name__}: {str(error)[:200]}"
        finally:
            torch.set_flush_denormal(False)
    return code, printed.getvalue()


def make_originals(base: Path) -> None:
    """A finished run and its export, to be damaged."""
    for given in (
        [*TINY, f"hydra.run.dir={base / 'run'}"],
        ["task=export", f"run={base / 'run'}", "task.onnx=false", f"hydra.run.dir={base / 'exported'}"],
    ):
        code, output = captured(lipnet, given)
        if code:
            raise SystemExit(output)


def all_cases(base: Path, fuzz: int) -> Iterator[Case]:
    """Of every kind; ``base`` holds a finished run and its export."""
    yield from command_lines(fuzz)
    yield from folders()
    yield from saved_overrides(base)
    yield from occupied(base)
    yield from checkpoints(base, fuzz)
    yield from data_files()
    yield from own()
    yield from environments()
    yield from damaged_runs(base)
    yield from exports(base, fuzz)


if __name__ == "__main__":
    sys.exit(main())
