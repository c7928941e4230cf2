import json
import math
from pathlib import Path

import pytest

from lipnet.equal_time.plan import Plan, best_trial, score, training

PACE = {"seconds": 10.0, "seconds_per_step": 0.1, "examples": 1000}


def plan(**changes):
    made = {
        "choices": ["conv=bcop"], "common": ["dataset=mnist"], "budgets": [25.0], "trials": 3, "trial_seconds": 12.0,
        "rates": (1e-4, 1e-1), "decays": (1e-6, 1e-3), "seeds": [[0]], "directory": Path("there"),
    }  # fmt: skip
    return Plan(**made | changes)


@pytest.mark.parametrize(
    ("seconds", "overrides"),
    [
        (259, ["epochs=25"]), (20, ["epochs=2"]), (10, ["epochs=1"]), (17, ["epochs=2", "dataset.limit_train=850"]),
        (9.99, ["epochs=1", "dataset.limit_train=999"]),
        (0.001, ["epochs=1", "dataset.limit_train=1"]),
    ],
)  # fmt: skip
def test_as_many_epochs_as_fit(seconds, overrides):
    assert training(seconds, PACE) == overrides


def test_every_choice_has_the_same_draws_within_the_ranges():
    drawn = [plan().drawn(number) for number in range(200)]
    assert drawn == [plan(choices=["conv=rko"], trials=500).drawn(number) for number in range(200)]
    rates, decays = zip(*drawn, strict=True)
    assert 1e-4 < min(rates) < 1.1e-4
    assert 9e-2 < max(rates) < 1e-1
    assert sum(rate < 10**-2.5 for rate in rates) == pytest.approx(100, abs=2)  # even on a logarithmic scale
    assert 1e-6 < min(decays) < 1.1e-6
    assert 9e-4 < max(decays) < 1e-3
    assert plan(decays=(0.0, 0.0)).drawn(1)[1] == 0


def test_four_trials_reach_every_quarter_of_both_ranges():
    drawn = [plan(rates=(1.0, 1e4), decays=(1.0, 1e4)).drawn(number) for number in range(4)]
    for numbers in zip(*drawn, strict=True):
        assert sorted(math.floor(math.log10(number)) for number in numbers) == [0, 1, 2, 3]


def test_a_trial_looks_at_no_test_image_that_counts():
    job = plan().trial("conv=bcop linear=orthogonal", 1, PACE)
    rate, decay = plan().drawn(1)
    assert job.overrides == [
        "dataset=mnist", "conv=bcop", "linear=orthogonal", f"optimizer.lr={rate:.4g}",
        f"optimizer.weight_decay={decay:.4g}", "epochs=2", "dataset.limit_train=600", "seed=0", "attack.names=[]",
        "dataset.limit_test=64", "singular_values_every=0",
    ]  # fmt: skip
    run = plan().run("conv=bcop", 25, 7, PACE, (0.1, 0.0))
    assert run.overrides == [
        "dataset=mnist", "conv=bcop", "optimizer.lr=0.1", "optimizer.weight_decay=0", "epochs=3",
        "dataset.limit_train=833", "seed=7",
    ]  # fmt: skip


def test_folders_are_different_for_different_choices():
    choices = ["conv=bcop", "conv=bcop ", "conv=bcop linear=plain", "conv=bcop_linear=plain", f"x={'y' * 90}"]
    folders = {plan().pace(choice).directory for choice in choices}
    assert len(folders) == len(choices)
    assert all(len(folder.parent.name) < 80 for folder in folders)
    assert "there/conv=bcop/pace" in map(str, folders)


def test_quoted_overrides_stay_whole():
    assert plan().overrides("loss=margin 'model.hidden=[8, 4]'") == [
        "dataset=mnist",
        "loss=margin",
        "model.hidden=[8, 4]",
    ]


def validated(*shares):
    return {"validation": {"certified_accuracy": dict(zip("abc", shares, strict=False))}}


def test_the_best_trial_is_that_of_the_validation_split():
    results = [validated(0.2, 0.3), {}, validated(0.5, 0.1), {"validation": None}]
    assert [score(found) for found in results] == [0.25, -math.inf, 0.3, -math.inf]
    assert best_trial(results) == 2
    assert best_trial([{}]) is None
    assert best_trial([]) is None


def test_the_pace_of_trainings_is_that_of_the_trials(tmp_path):
    made = plan(directory=tmp_path)
    assert made.observed("conv=bcop", PACE) == PACE
    for number, rate in enumerate((40.0, 50.0, 70.0)):
        directory = made.trial("conv=bcop", number, PACE).directory
        directory.mkdir(parents=True)
        (directory / "results.json").write_text(json.dumps({"status": "completed", "samples_per_second": rate}))
    assert made.observed("conv=bcop", PACE) == {**PACE, "seconds": 20.0, "seconds_per_step": 0.2}
