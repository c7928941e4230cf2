"""Which checkpoint a stopped run continues from, whatever was damaged meanwhile."""

import logging
import os
from pathlib import Path
from typing import Any

from lipnet.errors import UserError
from lipnet.runs import checkpoint
from lipnet.runs.weights import check_weights

log = logging.getLogger("lipnet")


def newest(last: Path, previous: Path, best: Path) -> dict[str, Any] | None:
    """The content of ``last``, or of ``previous`` where ``last`` is missing or cannot be continued; or ``None``.

    What is returned is at ``last`` afterwards, and ``best`` holds the best epoch that its progress names.

    Raises:
        UserError: there are checkpoints, and none that can be continued.
    """
    problems: list[str] = []
    for path in (last, previous):
        if path.exists():
            try:
                saved = _with_best(_checked(path), best)
            except UserError as error:
                problems.append(str(error))
                continue
            if problems:
                progress = saved["progress"]
                where = f"epoch {progress['epoch']}, batch {progress['batch']}"
                log.warning("%s Falling back to %s, after %s.", " ".join(problems), path, where)
            os.replace(path, last)
            return saved
    if problems:
        folder = last.parent
        raise UserError(f"{folder}: no checkpoint to continue from; delete it to start anew. {' '.join(problems)}")
    return None


def _checked(path: Path) -> dict[str, Any]:
    """A checkpoint whose parts are of their types, its weights numbers.

    Raises:
        UserError: naming what is wrong.
    """
    saved = checkpoint.load(path)
    checkpoint.require(saved, path, model=dict, progress=dict)
    checkpoint.require(saved["progress"], path, epoch=int, batch=int, best_epoch=int, best_score=float)
    check_weights(saved["model"], str(path))
    return saved


def _with_best(saved: dict[str, Any], best: Path) -> dict[str, Any]:
    """A checkpoint whose best epoch is the one in ``best``.

    ``best`` may be an epoch that this checkpoint does not know of: it is written first. Where it is lost, and the
    checkpoint itself stands at the end of its best epoch, it is written again.

    Raises:
        UserError: the weights of the best epoch are lost.
    """
    progress = saved["progress"]
    if not progress["best_epoch"]:
        return saved
    try:
        found = _checked(best)["progress"]
        if found["epoch"] < progress["best_epoch"]:
            raise UserError(f"{best}: holds epoch {found['epoch']}.")
    except UserError as error:
        if (progress["epoch"], progress["batch"]) != (progress["best_epoch"], 0):
            raise UserError(f"{error} The weights of the best epoch, {progress['best_epoch']}, are lost.") from error
        log.warning("%s It is written again, from the checkpoint of the same epoch.", error)
        checkpoint.save(best, saved)
        return saved
    kept = {key: found[key] for key in ("best_epoch", "best_score")}
    return saved | {"progress": progress | kept}
