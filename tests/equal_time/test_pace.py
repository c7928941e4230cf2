import json

import pytest

from lipnet.equal_time.pace import checked_config, main
from lipnet.errors import UserError

SMALL = ["model.channels=[4,4]", "model.hidden=[8]", "threads=1", "dataset.limit_train=100", "batch_size=10"]


def test_an_epoch_is_its_steps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main([str(tmp_path / "new" / "pace.json"), *SMALL])
    found = json.loads((tmp_path / "new" / "pace.json").read_text())
    assert found["examples"] == 100
    assert found["seconds"] == pytest.approx(10 * found["seconds_per_step"])
    assert 0 < found["seconds_per_step"] < 60


def test_a_mistake_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="epoch: no such key"):
        checked_config(["epoch=3"])
