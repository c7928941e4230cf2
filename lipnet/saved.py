"""Commands that start from a finished or stopped run: its overrides, and what may be changed of them."""

from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from lipnet.errors import UserError
from lipnet.trust import read_overrides

# What a command may change when it evaluates a finished run; everything else is the run's own.
EVALUATION_KEYS = (
    "task", "run", "eval_radii", "certify_dtype", "device", "threads", "progress", "bell",
    "attack.names", "attack.steps", "attack.restarts", "attack.ddn_steps", "attack.examples", "attack.proved",
    "attack.foolbox_examples",
    "dataset.root", "dataset.download", "dataset.limit_test", "dataset.evaluation_samples",
    "estimate.confidence", "estimate.transport_samples", "objective", "fail_fast",
)  # fmt: skip
# What may change when a finished run is exported.
EXPORT_KEYS = (
    "task", "task.onnx", "run", "eval_radii", "certify_dtype", "device", "threads", "progress", "bell",
    "dataset.root", "dataset.download", "dataset.limit_test",
)  # fmt: skip
# What may change when a run is continued: nothing that touches training, or the choice of its best epoch.
_NOT_ON_RESUME = (
    "task", "run", "eval_radii", "dataset.limit_test", "dataset.evaluation_samples", "objective", "fail_fast",
)  # fmt: skip
RESUME_KEYS = ("resume", "profile", *(key for key in EVALUATION_KEYS if key not in _NOT_ON_RESUME))
RUN_READERS = {"evaluate": EVALUATION_KEYS, "export": EXPORT_KEYS}  # tasks that take run=DIR, and what each may change


def saved_overrides(overrides: list[Override]) -> list[str]:
    """The overrides of the run that ``resume=DIR`` continues, ``rerun=DIR`` repeats or a task with ``run=DIR`` reads,
    less those given.

    Raises:
        UserError: DIR is not a run directory, or an override would change what is the run's own.
    """
    given = {override.key_or_group: override for override in overrides}
    for name in ("resume", "run", "rerun", "sweep"):
        if name in given and given[name].is_sweep_override():
            raise UserError(f"{given[name].input_line}: takes one value; give each a command of its own.")
    task = str(given["task"].value()) if "task" in given else ""
    evaluates = task in RUN_READERS
    key, allowed = ("run", RUN_READERS[task]) if evaluates else ("resume", RESUME_KEYS)
    if key not in given and "rerun" in given and given["rerun"].value() is not None:  # anything may change
        return [text for text in _read_overrides("rerun", given["rerun"].value()) if _key(text) not in given]
    directory = given[key].value() if key in given else None
    if directory is None:
        return []
    texts = _read_overrides(key, directory)
    refused = [
        name for name in given if name not in allowed and (name == "hydra.run.dir" or not name.startswith("hydra"))
    ]
    if evaluates:
        refused = [name for name in refused if name != "hydra.run.dir"]
    if refused:
        does = f"{task}s a run as it is" if evaluates else "continues a run as it was"
        raise UserError(*(f"{name}: {key}=DIR {does}; it can change {', '.join(allowed)}." for name in refused))
    for read, name in (("task=evaluate", "an evaluation"), ("task=export", "an export")):
        if read in texts:
            raise UserError(f"{key}={directory}: {name}, not a training run; give the run that it was made from.")
    if evaluates:  # the options of the task that trained it are none of this one's, and run is now that run
        texts = [text for text in texts if not text.startswith("task.") and _key(text) != "rerun"]
        texts = [f"dataset.{text}" if text.startswith("run=") else text for text in texts]
    return [text for text in texts if _key(text) not in given]


def _read_overrides(key: str, directory: Any) -> list[str]:
    """What a run was started with, less what concerns a sweep, or how it was continued.

    Raises:
        UserError: this is not a run directory, or its overrides do what only typed ones may.
    """
    saved = Path(str(directory)) / ".hydra" / "overrides.yaml"
    if not saved.is_file() or not saved.stat().st_size:  # a run without overrides has [] in it
        state = "empty" if saved.exists() else "missing"
        raise UserError(f"{key}={directory}: not a run directory ({saved} is {state}); give one from outputs/.")
    return [text for text in read_overrides(saved) if _key(text) not in ("resume", "objective", "fail_fast")]


def _key(text: str) -> str:
    return text.partition("=")[0].lstrip("+~")
