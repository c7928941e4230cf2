"""Commands that start from a run: which of its keys each may change; everything else is the run's own."""

from lipnet.options.registry import GROUPS

_OF_COMMANDS = ("task", "run", "plugins", "device", "threads", "progress", "bell")
_OF_DATA = (
    "dataset.root", "dataset.file", "dataset.labels", "dataset.content", "dataset.cache", "dataset.download",
    "dataset.limit_test",
)  # fmt: skip
_OF_SWEEPS = ("objective", "fail_fast")
# Of an evaluation's keys, those that a run keeps when it is continued: what chooses its data and its best epoch.
_NOT_ON_RESUME = (
    "task",
    "run",
    "eval_radii",
    "dataset.content",
    "dataset.limit_test",
    "dataset.evaluation_samples",
    *_OF_SWEEPS,
)


def evaluation_keys() -> tuple[str, ...]:
    """Of ``task=evaluate``: what any evaluation reads and no training does, and what each task adds to that."""
    of_tasks = [key for option in GROUPS["task"].values() for key in option.evaluation]
    return tuple(dict.fromkeys([*_OF_COMMANDS, *of_tasks, *_OF_DATA, *_OF_SWEEPS]))


def export_keys() -> tuple[str, ...]:
    """Of ``task=export``."""
    first, *others = _OF_COMMANDS
    return (first, "task.onnx", "task.assured", *others, "eval_radii", "certify_dtype", *_OF_DATA)


def resume_keys() -> tuple[str, ...]:
    """Of ``resume=DIR``."""
    return ("resume", "profile", *(key for key in evaluation_keys() if key not in _NOT_ON_RESUME))


def run_readers() -> list[str]:
    """The tasks that take ``run=DIR``."""
    return [name for name, option in GROUPS["task"].items() if not option.trains]
