import pytest
import torch

from lipnet.data.problems import load_problem
from lipnet.options.facts import inputs_and_outputs
from lipnet.options.registry import names_for
from lipnet.tasks.bayes.constraints import constraints_of

# Name -> a few of the examples of the paper's set-up, and how many there are.
EXAMPLES = {
    "quartic": ({-2.0: -3.0, -1.0: 3.0, 1.8: 0.2224}, 6),
    "two_lines": ({-1.5: 6.0, 0.0: 10.0, 1.0: 6.0}, 3),
    "forbidden_box": ({-3.0: -5.0, 2.0: -4.0}, 4),
    "tunnel": ({-3.0: 7.0, 0.0: 4.0}, 3),
    "two_cubics": ({-2.0: 0.0, 2.0: 0.0}, 2),
    "sign": ({-0.8: -0.29389}, 10),
    "three_blobs": ({}, 24),
}


@pytest.fixture
def problem(make_config):
    return lambda name: load_problem(make_config("task=bayes", f"dataset={name}").dataset, 0)


def test_every_problem_is_here():
    assert EXAMPLES.keys() | {"diabetes", "diabetes_risk"} == set(names_for("dataset", "problem"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_problems_examples_are_the_papers(problem, make_config, name):
    found, (examples, count) = problem(name), EXAMPLES[name]
    config = make_config("task=bayes", f"dataset={name}")
    (coordinates,), outputs = inputs_and_outputs(config.dataset)
    assert found.inputs.shape == (count, coordinates)
    assert found.targets.shape == (count,)
    assert found.domain.shape == (coordinates, 2)
    assert found.classifies == (outputs > 1)
    for x, y in examples.items():
        there = (found.inputs[:, 0] - x).abs().argmin()
        assert float(found.targets[there]) == pytest.approx(y, abs=1e-4)


@pytest.mark.parametrize("name", EXAMPLES)
def test_nothing_is_learned_or_held_out_within_a_constraint(problem, make_config, name):
    """What constraints say is about where there are no examples."""
    found = problem(name)
    for constraint in constraints_of(make_config("task=bayes", f"dataset={name}").dataset, found.domain):
        low, high = constraint.box.T
        for inputs in (found.inputs, found.held_out[0]):
            inside = ((low < inputs) & (inputs < high)).all(1)
            if name not in ("tunnel",):  # its examples lie within the tunnel
                assert not bool(inside.any())


def test_three_blobs_are_of_three_classes_about_their_centres(problem):
    found = problem("three_blobs")
    assert torch.bincount(found.targets).tolist() == [8, 8, 8]
    centres = torch.stack([found.held_out[0][found.held_out[1] == label].mean(0) for label in range(3)])
    torch.testing.assert_close(centres, torch.tensor([[0, -3], [-3, 1], [2, 3]]).double(), atol=0.2, rtol=0)
    assert torch.equal(problem("three_blobs").inputs, found.inputs)
