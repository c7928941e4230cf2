"""``results.json``: everything that a run found, and what it takes to find it again."""

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TypedDict, TypeVar, cast

from lipnet.runs.files import write_json

Record = TypeVar("Record", bound=Mapping[str, object])


class Added(TypedDict):
    """What ``results.json`` holds beyond the record of its task."""

    wall_seconds: float


def write_results(directory: Path, record: Mapping[str, object]) -> None:
    """Writes ``results.json`` atomically, with the seconds since ``started``; keys without a value are left out."""
    content = dict(without_missing(record))
    if "started" in record:
        added: Added = {"wall_seconds": (now() - datetime.fromisoformat(str(record["started"]))).total_seconds()}
        content |= added
    write_json(directory / "results.json", content)


def without_missing(record: Record) -> Record:
    """The record without the keys that have no value."""
    return cast(Record, {key: value for key, value in record.items() if value is not None})


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(timezone.utc)
