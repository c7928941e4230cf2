"""Whether a run's directory can be made, before anything starts."""

import contextlib
import functools
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

_PROBE_BYTES = 2**16  # an empty file fits on a full disk


def escaping(composed: DictConfig | None) -> Iterator[str]:
    """Names of files inside a run or sweep directory that would lead out of it."""
    if composed is not None:
        hydra = OmegaConf.to_container(composed.hydra, resolve=False)
        for key in ("job.name", "output_subdir", "sweep.subdir"):
            value = functools.reduce(lambda node, part: node[part], key.split("."), hydra)
            parts = Path(str(value)).parts
            if value is not None and (".." in parts or parts[:1] == ("/",) or (key == "job.name" and len(parts) > 1)):
                yield f"hydra.{key}={value}: leads out of the run directory; give a name inside it."


def unresolved(composed: DictConfig | None) -> Iterator[str]:
    """Names of directories with ``${...}`` that stands for nothing; Hydra fills in a job's number and name later."""
    if composed is None:
        return
    hydra = OmegaConf.to_container(composed.hydra, resolve=False)
    for key in ("run.dir", "sweep.dir", "sweep.subdir", "job.name", "output_subdir"):
        try:
            OmegaConf.select(composed.hydra, key)
        except InterpolationToMissingValueError:
            continue
        except OmegaConfBaseException as error:
            text = functools.reduce(lambda node, part: node[part], key.split("."), hydra)
            reason = str(error).splitlines()[0]
            yield f"hydra.{key}={text}: what it has in ${{ }} stands for nothing ({reason}); choose another name."


def unusable(composed: DictConfig | None) -> Iterator[str]:
    """Names of directories that Hydra would take for something else."""
    if composed is None:
        return
    for key in ("hydra.run.dir", "hydra.sweep.dir"):
        directory = str(OmegaConf.select(composed, key))
        if "${" in directory:  # Hydra would look for a key of that name
            yield f"{key}={directory}: a run's directory may not have ${{ in its name; rename it, or choose another."
        if directory == "~" or directory.startswith("~/"):
            yield f"{key}={directory}: in a file, ~ is not expanded; write the whole path."


def unwritable(composed: DictConfig | None, multirun: bool) -> list[str]:
    """A problem if the run directory cannot be made."""
    if composed is None:
        return []
    key = "hydra.run.dir"
    if multirun:
        key = "hydra.sweep.dir"
    elif composed.resume is not None:
        key = "resume"
    directory = Path(str(OmegaConf.select(composed, key))).absolute()
    for _ in range(_PROBES):
        try:
            _probe(directory)
            return []
        except OSError as error:
            problem = error.strerror
            if not isinstance(error, FileNotFoundError):
                break  # else perhaps another run, beginning beside this one, has just removed its own probe
    cure = "make room, or make it writable" if key == "resume" else f"choose another with {key}=DIR"
    return [f"{key}={OmegaConf.select(composed, key)}: cannot write there ({problem}); {cure}."]


_PROBES = 50  # a link to nothing is no more there at the last than at the first


def _probe(directory: Path) -> None:
    """Makes a directory, writes to it, and removes what it made."""
    missing = list(itertools.takewhile(lambda path: not path.exists(), (directory, *directory.parents)))
    made = []
    try:
        for path in reversed(missing):
            with contextlib.suppress(FileExistsError):  # another run, beginning beside this one, was first
                path.mkdir()
                made.append(path)
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(bytes(_PROBE_BYTES))
    finally:
        for path in reversed(made):
            with contextlib.suppress(OSError):  # another run has begun in it
                path.rmdir()
