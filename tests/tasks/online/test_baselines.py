import pytest
import torch

from lipnet.tasks.online.baselines import LastValue, Ridge, make_baselines


def walk(count, dimension=1):
    """A linear autoregression of order 2 with little noise."""
    noise = 0.01 * torch.randn(count, dimension, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = [torch.ones(dimension, dtype=torch.float64), torch.zeros(dimension, dtype=torch.float64)]
    for drawn in noise:
        values.append(1.2 * values[-1] - 0.8 * values[-2] + drawn)
    return torch.stack(values)


def errors(baseline, outcomes):
    found = []
    for outcome in outcomes:
        found.append(baseline.predict() - outcome)
        baseline.learn(outcome)
    return torch.stack(found)


@pytest.mark.parametrize("dimension", [1, 2])
def test_the_last_value_is_said(dimension):
    outcomes = walk(5, dimension)
    assert torch.equal(errors(LastValue(dimension), outcomes)[1:], outcomes[:-1] - outcomes[1:])


@pytest.mark.parametrize("dimension", [1, 2])
def test_ridge_is_least_squares_with_a_penalty(dimension):
    outcomes, memory, warmup = walk(60, dimension), 2, 10
    baseline = Ridge(dimension, memory, warmup)
    for outcome in outcomes:
        baseline.learn(outcome)
    first = outcomes[:warmup]
    shift = first.mean(0)
    scaled = (outcomes - shift) / float((first - shift).square().mean().sqrt())
    rows = [torch.cat((scaled[place - 2 : place].flatten(), torch.ones(1).double())) for place in range(2, len(scaled))]
    design = torch.stack(rows)
    coefficients = torch.linalg.solve(design.mT @ design + torch.eye(design.shape[1]).double(), design.mT @ scaled[2:])
    last = torch.cat((scaled[-2:].flatten(), torch.ones(1).double()))
    expected = shift + float((first - shift).square().mean().sqrt()) * (last @ coefficients)
    torch.testing.assert_close(baseline.predict(), expected)


def test_ridge_learns_a_linear_process():
    found = errors(Ridge(1, 2, 10), walk(500))
    assert float(found[250:].square().mean()) < 1.5 * 0.01**2


def test_those_of_a_configuration(make_config):
    config = make_config("task=online", "dataset=setar", "task.baselines=[ridge,network,last_value]")
    assert list(make_baselines(config, 1, 4)) == ["ridge", "last_value"]
