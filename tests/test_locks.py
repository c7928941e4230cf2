import errno
import os
import platform
import subprocess
import sys
import types

import pytest

from lipnet import locks
from lipnet.locks import Locked, is_locked, locked

PROCESS = f"process {os.getpid()} on {platform.node()}"


def test_a_lock_is_held_by_one_and_says_by_whom(tmp_path):
    with locked(tmp_path / "lock"):
        with pytest.raises(Locked, match=PROCESS), locked(tmp_path / "lock"):
            pass
        with locked(tmp_path / "other"):
            pass
    with locked(tmp_path / "lock"):
        pass


def test_a_lock_is_asked_for_without_a_trace(tmp_path):
    path = tmp_path / "lock"
    assert not is_locked(path)
    assert not path.exists()
    with locked(path):
        before = path.stat().st_mtime_ns, path.read_bytes()
        assert is_locked(path)
        assert (path.stat().st_mtime_ns, path.read_bytes()) == before
    assert not is_locked(path)
    assert not is_locked(tmp_path)


def test_a_killed_process_holds_nothing(tmp_path):
    child = os.fork()
    if not child:
        with locked(tmp_path / "lock"):
            os.kill(os.getpid(), 9)
    assert os.waitpid(child, 0)[1] == 9
    with locked(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text() == f"{PROCESS}\n"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_without_locks_is_an_error(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, "no locks here")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with pytest.raises(OSError, match="no locks here"), locked(tmp_path / "lock"):
        pass


def test_a_folder_for_a_lock_is_an_error(tmp_path):
    (tmp_path / "lock").mkdir()
    with pytest.raises(OSError), locked(tmp_path / "lock"):  # noqa: PT011
        pass


def test_an_odd_content_names_another_process(tmp_path):
    with locked(tmp_path / "lock"):
        (tmp_path / "lock").write_bytes(b"\xff\x00")
        with pytest.raises(Locked), locked(tmp_path / "lock"):
            pass
        (tmp_path / "lock").write_bytes(b"")
        with pytest.raises(Locked, match="another process"), locked(tmp_path / "lock"):
            pass


def test_a_system_with_neither_module_has_no_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSYS)), locked(tmp_path / "lock"):
        pass


def test_on_windows_a_byte_behind_the_content_is_locked(tmp_path, monkeypatch):
    taken = []

    def locking(descriptor, mode, count):
        place = os.lseek(descriptor, 0, os.SEEK_CUR)
        if taken:
            raise PermissionError(errno.EACCES, "Permission denied")
        taken.append((mode, place, count))

    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setattr(locks, "msvcrt", types.SimpleNamespace(LK_NBLCK=2, locking=locking))
    with locked(tmp_path / "lock"):
        with pytest.raises(Locked, match=PROCESS), locked(tmp_path / "lock"):
            pass
        assert (tmp_path / "lock").read_text() == f"{PROCESS}\n"
    assert taken == [(2, 2**30, 1)]


HIDDEN = """
import sys
sys.modules |= dict.fromkeys(("fcntl", "resource", "termios", "pwd", "grp"))
from lipnet import app
app.main()
"""


def test_a_run_needs_no_module_of_unix(tmp_path):
    given = ("epochs=1", "dataset.limit_train=60", "dataset.limit_test=8", "model.channels=[4,4]", "model.hidden=[8]",
             "attack.names=[]", "progress=off", "threads=1", "device=cpu", f"hydra.run.dir={tmp_path}")  # fmt: skip
    command = [sys.executable, "-c", HIDDEN, *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "results.json").exists()
