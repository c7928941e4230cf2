"""Ctrl-C and SIGTERM as an orderly stop."""

import os
import signal
from types import FrameType


class Interrupted(BaseException):
    """The run was asked to stop, and what it had is saved.

    No ``Exception``, as ``KeyboardInterrupt`` is none: a library that catches every one of those would go on.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


_NOTED = b"\nstopping after this step or validation; once more stops at once, without its result\n"


class StopRequest:
    """While active, the first SIGINT or SIGTERM is noted, for the loop to ask between steps; a second stops at once.

    That it was noted is said on stderr: a step, or an epoch's validation, may take a while.

    With ``at_once=True`` the first one raises ``Interrupted`` where it strikes (for work that keeps no state).
    """

    def __init__(self, at_once: bool = False) -> None:
        self.number: int | None = None
        self._at_once = at_once
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._previous[number] = signal.signal(number, self._note)
            except ValueError:  # not the main thread (a parallel launcher): its owner handles signals
                break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._at_once or self.number is not None:
            raise Interrupted(number)
        self.number = number
        os.write(2, _NOTED)  # a handler may strike within a print, which does not take another one
