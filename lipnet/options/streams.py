"""The streams of observations among the options of ``dataset``."""

from dataclasses import dataclass

from lipnet.options.checks import checked, number, optional, path, text, whole
from lipnet.options.option import Named
from lipnet.options.registry import register


@dataclass(frozen=True)
class Stream(Named):
    """Observations one after the other, each of which is predicted from those before it; every stream has these keys.

    Attributes:
        rounds: how many are predicted at most; ``None``: all that there are.
        warmup: how many are seen before the first prediction.
        shift, scale: the experts see ``(observation - shift) / scale``; ``None``: by mean and spread of the warm-up.
    """

    rounds: int | None = checked(optional(whole(1)))
    warmup: int = checked(whole(1))
    shift: float | None = checked(optional(number()))
    scale: float | None = checked(optional(number(above=0)))


@dataclass(frozen=True)
class Process(Stream):
    """A random process whose best prediction is known; it has no end."""

    rounds: int = checked(whole(1))
    noise: float = checked(number(above=0))


@dataclass(frozen=True)
class LogisticMap(Process):
    noise: float = checked(number(above=0, at_most=0.05))


@dataclass(frozen=True)
class HiddenMarkov(Process):
    stay: float = checked(number(above=0, below=1))


@dataclass(frozen=True)
class ChangePoint(Process):
    change: int = checked(whole(1))


@dataclass(frozen=True)
class Series(Stream):
    file: str | None = checked(optional(path))
    column: str | None = checked(optional(text))


@dataclass(frozen=True)
class Live(Stream):
    """It comes in while it is predicted, and every prediction goes out: standard output holds nothing else."""


def _register(name: str, keys: type, place: str) -> None:
    register("dataset", name, keys, f"lipnet.data.streams.{place}", data="stream")


_register("autoregression", Process, "processes:autoregression")
_register("setar", Process, "processes:setar")
_register("logistic_map", LogisticMap, "processes:logistic_map")
_register("hidden_markov", HiddenMarkov, "hidden_markov:hidden_markov")
_register("change_point", ChangePoint, "processes:change_point")
_register("series", Series, "series:series")
_register("stdin", Live, "stdin:stdin")
_register("sunspots", Stream, "packaged:sunspots")
_register("airline_passengers", Stream, "packaged:airline_passengers")
_register("water_flow", Stream, "packaged:water_flow")
