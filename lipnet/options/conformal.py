"""The keys of ``conformal``: sets of classes that hold the true one with a probability that is chosen."""

from dataclasses import dataclass

from lipnet.options.checks import checked, number, one_of, optional


@dataclass(frozen=True)
class Conformal:
    alpha: float | None = checked(optional(number(above=0, below=1)))
    calibration: str = checked(one_of("validation", "test"))
