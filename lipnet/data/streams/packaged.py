"""Series that come with packages which are no part of lipnet."""

import importlib
from collections.abc import Iterator
from typing import Any

from lipnet.data.streams.series import enough
from lipnet.data.streams.source import Goal, Observation, Source
from lipnet.errors import UserError
from lipnet.options.streams import Stream


def sunspots(option: Stream, goal: Goal, seed: int) -> Source:
    """Yearly mean sunspot numbers from 1700 to 2008, of the National Geophysical Data Center; in statsmodels."""
    found = (
        packaged("statsmodels.datasets.sunspots", f"dataset={option.name}", "statsmodels")
        .load_pandas()
        .data["SUNACTIVITY"]
    )
    return _of_list(found.tolist(), option)


def airline_passengers(option: Stream, goal: Goal, seed: int) -> Source:
    """Monthly passengers of international airlines from 1949 to 1960 (Box & Jenkins 1976); in River."""
    return _of_river("AirlinePassengers", option)


def water_flow(option: Stream, goal: Goal, seed: int) -> Source:
    """Hourly flow through a branch of a pipeline, March to May 2022 (Tecnojest); in River."""
    return _of_river("WaterFlow", option)


def packaged(module: str, what: str, extra: str) -> Any:
    """A module of an optional package.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f"{what}: needs {extra}, which is not installed; pip install 'lipnet[{extra}]'.") from error


def _of_river(name: str, option: Stream) -> Source:
    found = getattr(packaged("river.datasets", f"dataset={option.name}", "river"), name)()
    return _of_list([float(outcome) for _, outcome in found], option)


def _of_list(values: list[float], option: Stream) -> Source:
    enough(f"dataset={option.name}", len(values), option.warmup)

    def observations() -> Iterator[Observation]:
        for value in values:
            yield Observation((value,))

    return Source(observations)
