"""``results.json``: everything that a run found, and what it takes to find it again."""

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lipnet.runs.files import write_json


def write_results(directory: Path, content: dict[str, Any]) -> None:
    """Writes ``results.json`` atomically, with the seconds since ``started``; keys without a value are left out."""
    if "started" in content:
        content = content | {"wall_seconds": (now() - datetime.fromisoformat(content["started"])).total_seconds()}
    write_json(directory / "results.json", {key: value for key, value in content.items() if value is not None})


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(timezone.utc)
