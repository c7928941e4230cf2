import os
import signal
import threading

import pytest

from lipnet.training.interrupt import Interrupted, StopRequest

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(autouse=True)
def handlers():
    """Handlers of its own for each test: with the default ones, a failing test would end the test run."""

    def unexpected(number, frame):
        raise AssertionError(f"{signal.Signals(number).name} was not caught")

    before = {number: signal.signal(number, unexpected) for number in SIGNALS}
    yield unexpected
    for number, handler in before.items():
        signal.signal(number, handler)


def _strike(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_noted(number):
    with StopRequest() as stop:
        assert stop.number is None
        _strike(number)
        assert stop.number == number


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_the_second_signal_stops_at_once(first, second):
    with StopRequest():
        _strike(first)
        with pytest.raises(Interrupted, match=signal.Signals(second).name) as error:
            _strike(second)
    assert error.value.number == second


@pytest.mark.parametrize("number", SIGNALS)
def test_at_once(number, capfd):
    with pytest.raises(Interrupted) as error, StopRequest(at_once=True):
        _strike(number)
    assert error.value.number == number
    assert capfd.readouterr().err == ""


def test_that_a_signal_was_noted_is_said_once(capfd):
    with StopRequest():
        _strike(signal.SIGINT)
        assert capfd.readouterr().err.count("stopping after this step or validation; once more stops at once") == 1
        with pytest.raises(Interrupted):
            _strike(signal.SIGINT)
    assert capfd.readouterr().err == ""


def test_no_handler_of_every_exception_swallows_a_stop():
    assert not issubclass(Interrupted, Exception)


def test_handlers_are_restored(handlers):
    with StopRequest():
        assert all(signal.getsignal(number) != handlers for number in SIGNALS)
    assert all(signal.getsignal(number) == handlers for number in SIGNALS)


def test_handlers_are_restored_after_an_error(handlers):
    with pytest.raises(RuntimeError), StopRequest():
        raise RuntimeError
    assert all(signal.getsignal(number) == handlers for number in SIGNALS)


def test_requests_nest(handlers):
    with StopRequest() as outer:
        with StopRequest() as inner:
            _strike(signal.SIGTERM)
        assert (outer.number, inner.number) == (None, signal.SIGTERM)
        _strike(signal.SIGINT)
    assert outer.number == signal.SIGINT


def test_outside_the_main_thread_nothing_changes(handlers):
    noted = []

    def work():
        with StopRequest() as stop:
            noted.append(stop.number)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert noted == [None]
    assert all(signal.getsignal(number) == handlers for number in SIGNALS)
