import pytest
import torch

from lipnet.data.problems import load_problem


@pytest.fixture
def problem(make_config):
    return lambda name: load_problem(make_config("task=bayes", f"dataset={name}").dataset, 0)


def test_heavy_patients_are_not_learned_from(problem):
    found = problem("diabetes")
    assert (len(found.targets), len(found.held_out[1])) == (283, 71)
    heaviest = torch.cat([found.inputs, found.held_out[0]])[:, 2].max()
    assert heaviest < 1 < 2 < found.domain[2, 1]
    assert found.units == pytest.approx(77.09, abs=0.01)  # the standard deviation of the progression


def test_half_of_the_patients_are_at_risk(problem):
    found = problem("diabetes_risk")
    assert (len(found.targets), len(found.held_out[1])) == (354, 88)
    assert float(torch.cat([found.targets, found.held_out[1]]).double().mean()) == pytest.approx(0.5, abs=0.01)
    both = torch.cat([found.inputs, found.held_out[0]])
    torch.testing.assert_close(both.mean(0), torch.zeros(10, dtype=torch.float64))
    torch.testing.assert_close(both.std(0), torch.ones(10, dtype=torch.float64))
