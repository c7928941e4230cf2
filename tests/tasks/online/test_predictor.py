import dataclasses

import pytest
import torch

from lipnet.data.streams import Goal
from lipnet.errors import UserError
from lipnet.tasks.online.predictor import Predictor, goal_of

CPU = torch.device("cpu")
SMALL = ("model.memories=[1,2]", "model.budgets=[0.5,2.0]", "model.hidden=[8]", "task.examples=16", "task.window=50")


@pytest.fixture
def make(make_config):
    """``make(overrides, dimension) -> predictor``."""

    def build(*overrides, dimension=1):
        config = make_config("task=online", "dataset=setar", *SMALL, "dataset.warmup=5", *overrides)
        torch.manual_seed(0)  # of initial weights
        return Predictor(config, dimension, CPU)

    return build


def fed(predictor, outcomes):
    """Predictions of each of them once there are some, and none sees what it predicts."""
    found = []
    for outcome in outcomes:
        if predictor.ready:
            found.append(predictor.predict().value)
        predictor.learn(outcome)
    return torch.stack(found)


def outcomes(count, dimension=1, seed=0):
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("dimension", [1, 3])
def test_a_prediction_is_the_weighted_mean(make, dimension):
    predictor = make(dimension=dimension)
    fed(predictor, outcomes(12, dimension))
    said = predictor.predict()
    assert said.of_experts.shape == (4, dimension)
    assert torch.equal(said.value, said.weights @ said.of_experts)
    assert predictor.predict() is said


def test_nothing_of_the_future_is_used(make):
    """Two streams that are alike up to a round are predicted alike up to it, and not after it."""
    first, second = outcomes(40), outcomes(40)
    second[30:] += 5
    one, other = (fed(make(), stream) for stream in (first, second))
    same = [torch.equal(left, right) for left, right in zip(one, other, strict=True)]
    assert same == [place <= 30 - 5 for place in range(35)]


def test_the_first_observations_say_how_large_they_are(make):
    """A stream and the same one moved and stretched have the same predictions, moved and stretched."""
    unknown = ("dataset.shift=null", "dataset.scale=null")
    stream = outcomes(30)
    plain, moved = (fed(make(*unknown), values) for values in (stream, 1000 + 50 * stream))
    torch.testing.assert_close(moved, 1000 + 50 * plain)
    constant = make(*unknown)
    assert bool(torch.isfinite(fed(constant, torch.full((20, 1), 3.0, dtype=torch.float64))).all())


@pytest.mark.parametrize(
    ("loss", "goal", "unit"),
    [
        (("loss=squared",), Goal(), 9.0),
        (("loss=absolute",), Goal(0.5, 2.0), 3.0),
        (("loss=pinball", "loss.quantile=0.8"), Goal(0.8), 3.0),
    ],
)
def test_the_loss_says_what_is_predicted(make, loss, goal, unit):
    predictor = make(*loss, "dataset.scale=3.0")
    assert goal_of(predictor.config) == goal
    assert predictor.unit == pytest.approx(unit)


def test_it_learns(make):
    """A sine is predicted far better than by its last value."""
    values = torch.sin(0.7 * torch.arange(400, dtype=torch.float64))[:, None]
    said = fed(make("task.updates=2", "optimizer.lr=0.01"), values)
    errors, changes = (said - values[5:])[-100:], (values[1:] - values[:-1])[-100:]
    assert float(errors.square().mean()) < 0.02 * float(changes.square().mean())


@pytest.mark.parametrize(("updates", "steps"), [(0.0, 0), (0.25, 5), (1.0, 21), (2.5, 52)])
def test_updates_are_as_many_a_round_as_asked_for(make, updates, steps):
    predictor = make(f"task.updates={updates}")
    fed(predictor, outcomes(25))
    assert predictor.steps == steps


def test_without_averaging_the_latest_weights_predict(make):
    predictor = make("task.averaging=0")
    fed(predictor, outcomes(20))
    for mean, latest in zip(predictor.experts.parameters(), predictor.learners.parameters(), strict=True):
        torch.testing.assert_close(mean, latest)


def test_averaged_networks_are_as_constrained(make):
    predictor = make("task.averaging=0.9", "optimizer.lr=0.05")
    fed(predictor, outcomes(60))
    budgets = torch.tensor([0.5, 2.0, 0.5, 2.0], dtype=torch.float64)
    torch.testing.assert_close(predictor.bounds().lipschitz, budgets)
    assert all(0 < local <= budget for local, budget in zip(predictor.local_constants(), budgets, strict=True))


def steep(make, *overrides):
    """Local constants of unconstrained networks of budget 0.5 on a tent map, whose slopes are 1.9 and -1.9."""
    predictor = make("linear=plain", "task.updates=3", "optimizer.lr=0.01", "task.averaging=0", *overrides)
    values = [0.1]
    noise = outcomes(300)[:, 0].tolist()
    for drawn in noise:
        values.append(1 - 1.9 * abs(values[-1]) + 0.01 * drawn)
    fed(predictor, torch.tensor(values, dtype=torch.float64)[:, None])
    return predictor.local_constants()[::2]


def test_a_penalty_keeps_local_constants_near_their_budgets(make):
    free, soft = steep(make), steep(make, "task.penalty=10")
    assert min(free) > 1.0
    assert max(soft) < 0.8


def test_it_goes_on_where_it_was(make):
    stream = outcomes(50)
    whole = fed(make(), stream)
    first, second = make(), make("dataset.shift=1.0")
    fed(first, stream[:30])
    second.load_state_dict(first.state_dict())
    assert torch.equal(fed(second, stream[30:]), whole[25:])


def test_divergence_is_said(make):
    predictor = make("linear=plain", "optimizer=sgd", "optimizer.lr=100", "task.updates=1")
    with pytest.raises(UserError, match=r"diverged after \d+ observations: .* A smaller optimizer.lr"):
        fed(predictor, 10 * outcomes(200))


def test_another_seed_draws_other_examples(make):
    config = make().config
    first, second = (Predictor(dataclasses.replace(config, seed=seed), 1, CPU) for seed in (0, 1))
    second.load_state_dict(first.state_dict())
    assert not torch.equal(fed(first, outcomes(20)), fed(second, outcomes(20)))
