"""Runs ``train.py`` in forked processes that share runs, as torchrun would: ``python like_torchrun.py ROUNDS.json``.

A round is a list of jobs, one after another; a job is that of ``stopping.py`` with ``processes``; its signal is sent to
process ``struck`` alone, or that process raises an error after its ``validate`` where there is ``raises``. Logs of
further processes are ``LOG.1``, ... Prints each job's exit codes. As torchrun does, SIGTERM ends the others once a
process has failed; unlike it, only those that have not noticed in a minute, so that what they say is always the same.
"""

import json
import math
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from stopping import ready, run

from lipnet.tasks.robustness import task as robustness


def start(job: dict[str, Any], rank: int, port: int) -> int:
    child = os.fork()
    if child:
        return child
    if job["processes"] > 1:
        os.environ |= {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(job["processes"]),
            "MASTER_ADDR": "localhost", "MASTER_PORT": str(port),
        }  # fmt: skip
    if rank:
        job = job | {"log": f"{job['log']}.{rank}"}
    if rank != job.get("struck", 0):
        job = {key: value for key, value in job.items() if key not in ("moment", "raises")}
    if job.get("raises"):
        robustness.Robustness.validate = broken
    code = run(job)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def broken(*_: Any) -> None:
    raise ArithmeticError("this process cannot go on")


def share(job: dict[str, Any]) -> list[int]:
    """The exit codes of the job's processes, in their order."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    children = [start(job, rank, port) for rank in range(job["processes"])]
    codes: dict[int, int] = {}
    limit = None
    while len(codes) < len(children):
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            codes[child] = os.waitstatus_to_exitcode(status)
        if any(codes.values()) and limit is None:
            limit = time.monotonic() + 60
        if limit is not None and time.monotonic() > limit:
            for other in set(children) - set(codes):
                os.kill(other, signal.SIGTERM)
            limit = math.inf
        time.sleep(0.02)
    return [codes[child] for child in children]


if __name__ == "__main__":
    rounds = json.loads(Path(sys.argv[1]).read_text())
    with ready(rounds[0][0]):
        print(json.dumps([[share(job) for job in jobs] for jobs in rounds]))
