import os

import pytest

from lipnet.sweeps.lock import Busy, alone_in


def test_one_process_a_directory(tmp_path):
    with alone_in(tmp_path), pytest.raises(Busy, match="another process"), alone_in(tmp_path):
        pass
    with alone_in(tmp_path):
        pass


def test_a_killed_process_holds_nothing(tmp_path):
    child = os.fork()
    if not child:
        with alone_in(tmp_path):
            os.kill(os.getpid(), 9)
    assert os.waitpid(child, 0)[1] == 9
    with alone_in(tmp_path):
        pass
