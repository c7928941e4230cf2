"""A run directory belongs to its run: no other one may start in it. Imports no torch."""

import os
from pathlib import Path

from lipnet.errors import UserError
from lipnet.options.config import Config
from lipnet.runs.commands import on_run
from lipnet.runs.files import read_results
from lipnet.runs.identity import digest
from lipnet.runs.lock import held
from lipnet.runs.recorded import other_results, recorded_config

# A run has made or is making at least one of these; it would overwrite each.
_OF_A_RUN = (
    ".hydra/config.yaml", ".hydra/overrides.yaml", "checkpoints", "results.json", "metrics.csv", "certificates.csv",
    "critic_values.csv", "certificate.json",
)  # fmt: skip
_BUSY = "another process is running here; wait for its end, or stop it."
_FOLDERS = (".hydra", "checkpoints")


def is_run(directory: Path) -> bool:
    """Whether a run has begun there."""
    return any(os.path.lexists(directory / name) for name in _OF_A_RUN)


def other_run(directory: Path, config: Config) -> str | None:
    """What is there, in words, if it is not the run of this configuration; ``None`` if it is, or nothing is."""
    if directory.name in _FOLDERS and is_run(directory.parent):
        return f"is a part of the run in {directory.parent}"
    if not is_run(directory):
        return None
    try:
        different = other_results(recorded_config(directory), config)
    except UserError as error:
        if read_results(directory).get("configuration") == digest(config):
            return None
        return f"holds files of a run whose configuration cannot be read ({error.problems[0].rstrip('.')})"
    return f"holds a run of another configuration, which has {different}" if different else None


def occupied(directory: Path, key: str, config: Config, config_dir: str | None) -> list[str]:
    """A problem if another run is or has been in the directory, or the same one is going on there.

    Args:
        key: what named the directory: ``resume``, ``hydra.run.dir``.
        config_dir: of ``--config-dir``, for the command that is recommended.
    """
    named = f"{key}={directory}"
    if key == "resume":
        return [f"{directory}: {_BUSY}"] if held(directory) else []
    found = other_run(directory, config)
    if found is None:
        return [f"{directory}: {_BUSY}"] if held(directory) else []
    cure = f"choose another with {key}=DIR."
    if held(directory):
        found += " (it is going on)"
    elif (directory / "checkpoints").is_dir() and read_results(directory).get("status") != "completed":
        cure = f"{cure[:-1]}, or continue that run: {on_run('resume', directory, config_dir=config_dir)}"
    return [f"{named}: {found}; {cure}"]


def occupied_by_a_run(sweep: Path) -> list[str]:
    """A problem if a sweep would go into a run's directory."""
    if is_run(sweep) or (sweep.name in _FOLDERS and is_run(sweep.parent)):
        return [f"hydra.sweep.dir={sweep}: holds a run; choose another with hydra.sweep.dir=DIR."]
    return []
