import errno
import logging
import signal
import threading

import pytest

from lipnet.runs.storage import dispensable, silent_writers, storage_problem
from lipnet.training.interrupt import Interrupted


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EFBIG])
def test_a_storage_problem_names_the_file(tmp_path, number):
    error = OSError(number, "the reason", str(tmp_path / "last.pt"))
    kept = f"what was written to {tmp_path} before is kept"
    assert storage_problem(error, tmp_path) == f"{tmp_path / 'last.pt'}: the reason; {kept}"
    assert storage_problem(OSError(number, "the reason"), tmp_path) == f"{tmp_path}: the reason; {kept}"


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "missing"), OSError("odd"), ValueError("wrong")])
def test_other_errors_are_none(tmp_path, error):
    assert storage_problem(error, tmp_path) is None


def _in_a_thread(error):
    def work():
        raise error

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


class _Full(logging.Handler):
    def emit(self, record):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            self.handleError(record)


@pytest.fixture
def hooked(monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", seen.append)
    return seen


def test_only_failing_writers_are_silent(hooked, capsys):
    logger = logging.Logger("full")
    logger.addHandler(_Full())
    with silent_writers():
        logger.warning("not written")
        _in_a_thread(OSError(errno.ENOSPC, "No space left on device"))
        assert hooked == []
        _in_a_thread(ValueError("a bug"))
        assert [type(arguments.exc_value) for arguments in hooked] == [ValueError]
    assert capsys.readouterr().err == ""
    logger.warning("not written")
    assert "--- Logging error ---" in capsys.readouterr().err
    _in_a_thread(OSError("seen again"))
    assert len(hooked) == 2


@pytest.mark.parametrize("error", [RuntimeError("no font"), OSError(errno.EACCES, "denied", "/elsewhere/cache")])
def test_what_results_do_not_need_may_fail(tmp_path, caplog, error):
    with caplog.at_level("WARNING", "lipnet"), dispensable("figures", tmp_path):
        raise error
    assert f"figures: left out ({type(error).__name__}: {error})" in caplog.text


@pytest.mark.parametrize("name", [None, "certified_accuracy.png"])
def test_a_full_disk_fails_all_the_same(tmp_path, name):
    error = OSError(errno.ENOSPC, "full", *([str(tmp_path / name)] if name else []))
    with pytest.raises(OSError, match="full"), dispensable("figures", tmp_path):
        raise error


def test_a_stop_is_no_failure(tmp_path):
    with pytest.raises(Interrupted), dispensable("figures", tmp_path):
        raise Interrupted(signal.SIGTERM)
