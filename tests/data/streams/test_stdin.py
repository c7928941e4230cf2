import os

import pytest

from lipnet.data.streams import Goal, Observation, load_source, stdin


@pytest.fixture
def typed(monkeypatch, make_config):
    """``typed(bytes) -> what a run sees of them``; the writer ends after them."""

    def make(content):
        read, write = os.pipe()
        os.write(write, content)
        os.close(write)
        with os.fdopen(read) as file:
            monkeypatch.setattr("sys.stdin", file)
            source = load_source(make_config("task=online", "dataset=stdin").dataset, Goal(), 0)
            assert (source.again, source.replies, source.dimension) == (False, True, None)
            return list(source.observations())

    return make


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"1\n2.5\n", [(1.0,), (2.5,)]),
        (b"1\n2", [(1.0,), (2.0,)]),  # the last line has no end
        (b"1,2\n3 4\n5;6\n", [(1.0, 2.0), (3.0, 4.0), (5.0, 6.0)]),
        (b"1\noops\nnan\ninf\n\n1,2\n2\n", [(1.0,), (), (), (), (), (), (2.0,)]),  # a gap each
        (b"1\n\xff\n", [(1.0,), ()]),
        (b"", []),
    ],
)  # fmt: skip
def test_a_line_is_an_observation(typed, content, seen):
    assert typed(content) == [Observation(values) for values in seen]


def test_a_gap_is_said(typed, caplog):
    typed(b"1\noops\n")
    assert "standard input: 'oops' is not a finite number; it is taken as a gap" in caplog.text


def test_it_does_not_wait_for_a_line_for_ever(monkeypatch):
    """So that a signal or a checkpoint need not wait for one."""
    monkeypatch.setattr(stdin, "_WAIT", 0.01)
    read, write = os.pipe()
    lines = stdin._lines(read)
    assert next(lines) is None
    os.write(write, b"1\n")
    assert next(lines) == "1"
    os.close(write)
    assert list(lines) == []
    os.close(read)
