import math

import pytest
import torch
from torch import nn

from lipnet.layers import LinearSpline
from lipnet.training.schedules import build_optimizer, learning_rate, parameter_groups

STEPS, STEPS_PER_EPOCH, PEAK = 200, 10, 2.0
ONE_CYCLE = ("scheduler=onecycle", "scheduler.warmup=0.25", "scheduler.final=0.1")
COSINE = ("scheduler=cosine", "scheduler.final=0.1")
EXPONENTIAL = ("scheduler=exponential", "scheduler.gamma=0.5")
SQRT_HALF = math.sqrt(0.5)


@pytest.mark.parametrize(
    ("overrides", "step", "expected"),
    [
        (ONE_CYCLE, 0, 0.08),  # a 25th of the peak
        (ONE_CYCLE, 25, 1.04),  # half-way up
        (ONE_CYCLE, 50, 2.0),
        (ONE_CYCLE, 125, 1.1),  # half-way down to 0.2
        (ONE_CYCLE, 200, 0.2),
        (COSINE, 0, 2.0),
        (COSINE, 50, 1.1 + 0.9 * SQRT_HALF),
        (COSINE, 100, 1.1),
        (COSINE, 150, 1.1 - 0.9 * SQRT_HALF),
        (COSINE, 200, 0.2),
        (EXPONENTIAL, 0, 1.0),  # gamma ** (epoch + 1), as in the paper's code
        (EXPONENTIAL, 9, 1.0),
        (EXPONENTIAL, 10, 0.5),
        (EXPONENTIAL, 39, 0.125),
        (("scheduler=constant",), 0, 2.0),
        (("scheduler=constant",), 199, 2.0),
    ],
)
def test_learning_rate(make_config, overrides, step, expected):
    rate = learning_rate(make_config(*overrides).scheduler, PEAK, STEPS, STEPS_PER_EPOCH)
    assert rate(step) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("overrides", [ONE_CYCLE, COSINE, EXPONENTIAL], ids=["onecycle", "cosine", "exponential"])
def test_rates_stay_in_range_and_end_low(make_config, overrides):
    rate = learning_rate(make_config(*overrides).scheduler, PEAK, STEPS, STEPS_PER_EPOCH)
    rates = [rate(step) for step in range(STEPS)]
    assert all(0 < value <= PEAK for value in rates)
    assert rates[-1] == min(rates[STEPS // 2 :])


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("option", ["onecycle", "cosine", "exponential", "constant"])
def test_runs_of_a_few_steps_have_rates(make_config, option, steps):
    rate = learning_rate(make_config(f"scheduler={option}").scheduler, PEAK, steps, 1)
    assert all(0 < rate(step) <= PEAK for step in range(steps))


@pytest.mark.parametrize(
    ("overrides", "kind", "expected"),
    [
        (("optimizer=adam", "optimizer.betas=[0.5,0.75]"), torch.optim.Adam, {"betas": (0.5, 0.75)}),
        (("optimizer=adamw", "optimizer.betas=[0.5,0.75]"), torch.optim.AdamW, {"betas": (0.5, 0.75)}),
        (("optimizer=sgd", "optimizer.momentum=0.5"), torch.optim.SGD, {"momentum": 0.5}),
        (("optimizer=rmsprop", "optimizer.alpha=0.5"), torch.optim.RMSprop, {"alpha": 0.5}),
    ],
    ids=["adam", "adamw", "sgd", "rmsprop"],
)
def test_optimizers_take_their_options(make_config, overrides, kind, expected):
    option = make_config(*overrides, "optimizer.lr=0.125", "optimizer.weight_decay=0.25").optimizer
    optimizer = build_optimizer(option, nn.Linear(2, 2).parameters())
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert {"lr": 0.125, "weight_decay": 0.25, **expected}.items() <= group.items()
    assert len(group["params"]) == 2


def test_layers_may_learn_at_a_rate_of_their_own():
    """They are not decayed either, and a parameter that is used twice is in one group."""
    shared, spline = nn.Linear(4, 4), LinearSpline(4, knots=17, range=4.0, rate=0.5)
    child = nn.Sequential(nn.Linear(4, 2), LinearSpline(2, knots=17, range=4.0, rate=0.2))
    network = nn.Sequential(nn.Sequential(shared, spline), shared, child)
    groups = parameter_groups(network, {"2": 0.5})
    assert [(group["factor"], len(group["params"]), group.get("weight_decay")) for group in groups] == [
        (1.0, 2, None), (0.5, 2, None), (0.25, 1, 0.0), (0.05, 1, 0.0),
    ]  # fmt: skip
    assert groups[2]["params"][0] is spline.values
    torch.optim.AdamW(groups, lr=0.1, weight_decay=0.5)
