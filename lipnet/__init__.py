"""Neural networks with a proved L2 Lipschitz constant: train, certify, attack, export.

>>> from lipnet import load_run, to_plain
>>> plain = to_plain(load_run("outputs/...").model)
"""

import platform
from importlib import metadata
from typing import Any

__version__ = "0.1.0"
__all__ = ["Run", "load_plugins", "load_run", "to_plain"]


def version() -> str:
    """What ``--version`` says, read from what the packages say of themselves: nothing is imported."""
    return f"lipnet {__version__}, torch {metadata.version('torch')}, Python {platform.python_version()}"


def __getattr__(name: str) -> Any:
    """Imports the public functions, and torch with them, on first use: ``--help`` must not wait for torch."""
    if name == "to_plain":
        from lipnet.certify.plain import to_plain

        return to_plain
    if name == "load_plugins":
        from lipnet.options.plugins import load_plugins

        return load_plugins
    if name in ("Run", "load_run"):
        from lipnet.runs import load as runs

        return getattr(runs, name)
    raise AttributeError(f"module 'lipnet' has no attribute {name!r}")
