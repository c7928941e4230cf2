"""What an export knows of one type of layer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from lipnet.options.checks import Check


@dataclass(frozen=True)
class Part:
    """A type of layer.

    Attributes:
        build: the type, or what makes it from the arguments.
        checks: argument -> the values that it takes, in the constructor's order.
        describe: layer -> arguments.
        code: the same layer in torch and ``lipnet.export.deployed``, where ``{arguments}`` are put in.
        carried: the class whose source the code needs beside those of ``lipnet.export.deployed``.
    """

    build: Callable[..., nn.Module]
    checks: dict[str, Check]
    describe: Callable[[Any], dict[str, Any]]
    code: str
    carried: type[nn.Module] | None = None
