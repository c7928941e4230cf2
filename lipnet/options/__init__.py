"""What can be configured: every option with its keys, ranges and checks. Nothing here imports torch.

A plugin registers options of its own, whose keys are a dataclass that derives from ``Named`` or from another option's
keys, each key ``checked(CHECK, default)``.
"""

from lipnet.options import images, layers, models, pairs, posteriors, streams, tasks, training  # noqa: F401  each registers its options
from lipnet.options.checks import boolean, checked, list_of, number, one_of, optional, path, radii, text, whole
from lipnet.options.images import Dataset
from lipnet.options.option import Named
from lipnet.options.pairs import Pair
from lipnet.options.registry import GROUPS, Option, register
from lipnet.options.tasks import register_attack
from lipnet.options.training import Optimizer

__all__ = [
    "GROUPS", "Dataset", "Named", "Optimizer", "Option", "Pair", "boolean", "checked", "list_of", "number", "one_of",
    "optional", "path", "radii", "register", "register_attack", "text", "whole",
]  # fmt: skip
