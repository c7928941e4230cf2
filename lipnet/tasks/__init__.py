<<<<<<< HEAD
"""Tasks: what a step is, what is evaluated, what is reported. A folder, or a file, each."""
=======
"""Tasks: what a step is, what is evaluated, what is reported. A task's code is imported when it is run."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lipnet.options.config import Config
    from lipnet.tasks.session import Session

TASKS = {
    "robustness": "lipnet.tasks.robustness.task:train",
    "wasserstein": "lipnet.tasks.wasserstein.task:train",
    "gan": "lipnet.tasks.gan.task:train",
    "evaluate": "lipnet.tasks.evaluate:evaluate",
    "export": "lipnet.tasks.export:export",
}
DISTRIBUTED = ("robustness", "wasserstein", "evaluate")  # tasks that several processes can share


def run_of(task: str) -> "Callable[[Config, Session], Mapping[str, object]]":
    """What runs a task, and returns the content of ``results.json``."""
    module, _, name = TASKS[task].partition(":")
    run: Callable[[Config, Session], Mapping[str, object]] = getattr(import_module(module), name)
    return run
>>>>>>> report
