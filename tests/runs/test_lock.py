import os

import pytest
from launching import TINY, launch

from lipnet.runs.lock import Busy, alone_in


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


def test_a_run_is_not_resumed_while_it_runs(tmp_path):
    with alone_in(tmp_path):
        outcome = launch(*TINY, f"hydra.run.dir={tmp_path}")
    assert outcome.code == 1
    assert outcome.output.endswith(
        f"lipnet: {tmp_path}: another process is running here; wait for its end, or stop it.\n"
    )
    assert not (tmp_path / "results.json").exists()
