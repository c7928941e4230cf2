import torch

from lipnet.runs.identity import digest
from lipnet.tasks.session import Session


def test_the_header_says_who_a_run_is(make_config, tmp_path):
    config = make_config("epochs=7", "seed=3")
    overrides = ["epochs=7", "+seed=3", "~task.select_by"]
    session = Session(
        tmp_path, torch.device("cpu"), {"conv": "bcop"}, overrides, config, "2020-01-01T00:00:00.000+00:00"
    )
    assert session.typed_keys == {"epochs", "seed", "task.select_by"}
    known = {
        "task": "robustness", "choices": {"conv": "bcop"}, "overrides": overrides, "configuration": digest(config),
        "rerun_of": None, "seed": 3, "started": "2020-01-01T00:00:00.000+00:00", "device": "cpu", "processes": 1,
        "threads": 1,
    }  # fmt: skip
    assert known.items() <= session.header.items()
