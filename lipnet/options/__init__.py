"""What can be configured: every option with its keys, ranges and checks. Nothing here imports torch."""

from lipnet.options import images, layers, models, pairs, posteriors, tasks, training  # noqa: F401  each registers its options
from lipnet.options.registry import GROUPS, Option, register

__all__ = ["GROUPS", "Option", "register"]
