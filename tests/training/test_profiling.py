import gzip
import json

import pytest
import torch

from lipnet.training.profiling import profiled


@pytest.mark.parametrize("steps", [3, 8, 12])
def test_a_trace_of_five_steps(tmp_path, steps):
    matrix = torch.eye(4)
    with profiled(tmp_path, active=True) as step_done:
        for _ in range(steps):
            matrix = matrix @ matrix
            step_done()
    if steps < 4:
        assert not list(tmp_path.iterdir())
        return
    with gzip.open(tmp_path / "profile.json.gz", "rt") as file:
        events = json.load(file)["traceEvents"]  # what Perfetto and chrome://tracing read
    products = [event for event in events if event.get("name") == "aten::mm"]
    assert len(products) == 5
    assert all({"ph", "ts", "dur", "pid", "tid"} <= set(event) for event in products)
    assert "aten::mm" in (tmp_path / "profile.txt").read_text()


def test_nothing_is_written_unless_asked(tmp_path):
    with profiled(tmp_path, active=False) as step_done:
        step_done()
    assert not list(tmp_path.iterdir())
