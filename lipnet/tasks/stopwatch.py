"""What an evaluation's parts take."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """Wall-clock seconds by part, in ``seconds``; what is timed inside another part is not counted there again."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Adds the block's time to the part, without the time of parts inside the block."""
        started, before = time.perf_counter(), sum(self.seconds.values())
        try:
            yield
        finally:
            inside = sum(self.seconds.values()) - before
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started - inside

    def timed(self, name: str, function: Callable[..., T]) -> Callable[..., T]:
        """The function, each of whose calls is a ``part``."""

        def call(*arguments: object) -> T:
            with self.part(name):
                return function(*arguments)

        return call
