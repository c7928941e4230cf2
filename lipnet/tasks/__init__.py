"""Tasks: what a step is, what is evaluated, what is reported. One file each."""

from collections.abc import Callable
from typing import Any

from lipnet.config import Config
from lipnet.tasks import evaluate, export, gan, robustness, wasserstein
from lipnet.tasks.session import Session

TASKS: dict[str, Callable[[Config, Session], dict[str, Any]]] = {
    "robustness": robustness.train,
    "wasserstein": wasserstein.train,
    "gan": gan.train,
    "evaluate": evaluate.evaluate,
    "export": export.export,
}
DISTRIBUTED = ("robustness", "wasserstein", "evaluate")  # tasks that several processes can share
