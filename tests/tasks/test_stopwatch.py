import time

import pytest

from lipnet.tasks.stopwatch import Stopwatch


def test_parts_add_up_and_inner_ones_are_not_counted_twice(monkeypatch):
    now = iter([0.0, 1.0, 3.0, 7.0, 10.0, 14.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    watch = Stopwatch()
    with watch.part("outer"):
        assert watch.timed("inner", lambda value: 2 * value)(4) == 8
    with watch.part("outer"):
        pass
    assert watch.seconds == {"inner": 2.0, "outer": 5.0 + 4.0}


def test_what_fails_is_timed_too():
    watch = Stopwatch()
    with pytest.raises(ValueError, match="no"), watch.part("failing"):
        raise ValueError("no")
    assert watch.seconds["failing"] >= 0
