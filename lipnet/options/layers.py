"""Keys of the options of ``conv``, ``linear`` and ``activation``."""

from dataclasses import dataclass

from lipnet.options.checks import checked, one_of, optional, whole
from lipnet.options.option import Named


@dataclass(frozen=True)
class PlainConv(Named):
    padding_mode: str = checked(one_of("circular", "zeros"))


@dataclass(frozen=True)
class BCOP(PlainConv):
    orthogonalizer: str = checked(one_of("cholesky", "bjorck"))


@dataclass(frozen=True)
class Iterated(Named):
    iterations: int = checked(whole(1))


@dataclass(frozen=True)
class OSSN(PlainConv):
    iterations: int = checked(whole(1))


@dataclass(frozen=True)
class SVCM(Iterated):
    every: int = checked(whole(1))


@dataclass(frozen=True)
class GroupSort(Named):
    group_size: int | None = checked(optional(whole(2)))
