import math

import pytest
import torch

from lipnet.tasks.bayes.evaluation import coverage, measure, normalised

SEED = 0


def equal(count):
    return torch.full((count,), 1 / count, dtype=torch.float64)


def constant(density, *values):
    """Networks of one hidden layer that are constant."""
    vectors = torch.zeros(len(values), density.functions.size, dtype=torch.float64)
    vectors[:, -1] = torch.tensor(values, dtype=torch.float64)
    return vectors


def test_violations_are_of_the_mean_and_of_any_function(make_density):
    density = make_density("quartic")
    found = measure(density, density.constraints, constant(density, 2.0, 3.5), equal(2), SEED)
    assert (found.violation, found.functions_violating) == (0, 1)  # the mean, 2.75, is permitted
    found = measure(density, density.constraints, constant(density, 2.0, 3.5), torch.tensor([0.2, 0.8]).double(), SEED)
    assert found.violation == 1
    found = measure(density, density.constraints, constant(density, 2.6, 3.5), torch.tensor([0.2, 0.8]).double(), SEED)
    assert found.functions_violating == pytest.approx(0.8)


def test_errors_and_likelihoods_are_of_the_mixture(make_density):
    density = make_density("quartic")
    found = measure(density, density.constraints, constant(density, 0.0, 2.0), equal(2), SEED)
    targets, away = density.problem.targets, density.problem.held_out[1]
    assert found.train_error == pytest.approx(float((targets - 1).square().mean().sqrt()))
    assert found.test_error == pytest.approx(float((away - 1).square().mean().sqrt()))
    each = torch.stack([torch.distributions.Normal(value, 0.1).log_prob(away) for value in (0.0, 2.0)])
    assert found.log_likelihood == pytest.approx(float((torch.logsumexp(each, 0) - math.log(2)).mean()))


def test_classes_are_predicted_by_mean_probabilities(make_density):
    density = make_density("three_blobs")
    vectors = torch.zeros(1, density.functions.size, dtype=torch.float64)
    vectors[0, -3:] = torch.tensor([1.0, 0.0, 0.0])
    found = measure(density, density.constraints, vectors, equal(1), SEED)
    assert (found.violation, found.coverage) == (1, None)
    assert found.train_error == pytest.approx(2 / 3)


def test_a_problem_that_holds_nothing_out_has_no_test_error(make_density):
    density = make_density("tunnel")
    found = measure(density, density.constraints, constant(density, 4.0), equal(1), SEED)
    assert found.test_error is found.log_likelihood is found.coverage is None


def test_an_interval_of_95_percent_covers_95_percent():
    targets = torch.randn(4000, dtype=torch.float64)
    outputs = torch.zeros(2000, 1, dtype=torch.float64).expand(-1, 4000)
    assert coverage(outputs, targets, equal(2000), 1.0, SEED) == pytest.approx(0.95, abs=0.02)
    weights = torch.cat([torch.full((1000,), 1e-3), torch.zeros(1000)]).double()
    mixed = torch.cat([outputs[:1000], outputs[1000:] + 50])  # the others weigh nothing
    assert coverage(mixed, targets, weights, 1.0, SEED) == pytest.approx(0.95, abs=0.03)
    assert coverage(outputs, targets, equal(2000), 0.01, SEED) < 0.1


def test_weights_sum_to_one():
    torch.testing.assert_close(normalised(torch.tensor([0.0, -math.inf, math.log(3)])), torch.tensor([0.25, 0, 0.75]))
    assert normalised(torch.full((4,), -math.inf)).tolist() == [0.25] * 4
