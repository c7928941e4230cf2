"""The keys of ``diagnostics``: what is looked at while a network trains, and changes nothing of it."""

from dataclasses import dataclass

from lipnet.options.checks import boolean, checked, whole


@dataclass(frozen=True)
class Diagnostics:
    per_example: bool = checked(boolean)
    every: int = checked(whole(1))
    examples: int = checked(whole(1))
