import dataclasses

import pytest
import torch

from lipnet.training import distributed
from lipnet.training.progress import Progress, sums_of_main

WRONG = {
    "epoch": (1.0, "2", -1, True), "batch": (-1,), "best_epoch": (None,), "totals": ([1.0],), "best_score": (1,),
    "seconds": (None,), "epoch_seconds": ("1",),
}  # fmt: skip


def test_a_progress_is_read_back():
    written = Progress(2, 3, torch.ones(1), 0.5, 1, 7.0, 0.25)
    assert Progress(**dataclasses.asdict(written)) == written


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_what_no_run_wrote_is_refused(key, value):
    with pytest.raises(ValueError, match="no progress of a run"):
        Progress(**{key: value})


@pytest.mark.parametrize(("rank", "expected"), [(0, [1.0, 2.0]), (1, [0.0, 0.0])])
def test_sums_go_on_in_the_first_process_alone(monkeypatch, rank, expected):
    monkeypatch.setattr(distributed, "rank", lambda: rank)
    assert sums_of_main(torch.tensor([1.0, 2.0])).tolist() == expected
