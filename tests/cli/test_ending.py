import pytest

from lipnet.cli.ending import fail
from lipnet.errors import UserError
from lipnet.training import distributed


def test_a_mistake_is_one_message_and_exit_code_1(capsys, monkeypatch):
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    with pytest.raises(SystemExit) as stop:
        fail(UserError("epochs=0: must be >= 1."))
    assert stop.value.code == 1
    assert capsys.readouterr().err == "lipnet: epochs=0: must be >= 1.\n"


def test_a_traceback_is_had_by_asking(monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(UserError, match="epochs"):
        fail(UserError("epochs"))


def test_of_several_processes_one_says_it(capsys, monkeypatch):
    monkeypatch.setattr(distributed, "first_to_fail", lambda: False)
    with pytest.raises(SystemExit) as stop:
        fail(UserError("epochs"))
    assert (stop.value.code, capsys.readouterr().err) == (1, "")
