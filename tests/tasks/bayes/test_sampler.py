"""Every way of inference, against the posterior of a linear network, which is known in closed form."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from lipnet.data.problems.problem import without_held_out
from lipnet.options.posteriors import HMC as HMCKeys
from lipnet.options.posteriors import SGLD as SGLDKeys
from lipnet.options.posteriors import SVGD as SVGDKeys
from lipnet.options.posteriors import Variational as VariationalKeys
from lipnet.options.registry import load
from lipnet.tasks.bayes.density import Density, Functions, gaussian
from lipnet.tasks.bayes.hmc import HMC
from lipnet.tasks.bayes.svgd import stein_direction

NOISE = 0.5
INPUTS = torch.tensor([[-1.0, 0.5], [0.0, 1.0], [1.0, -0.5], [2.0, 0.3], [0.5, 2.0]], dtype=torch.float64)
TARGETS = torch.tensor([0.3, 1.0, -0.7, 0.9, 2.0], dtype=torch.float64)
OPTIONS = {
    "hmc": HMCKeys("hmc", 40, 50, 60, 25, 2, 0.1, 8, 0.8),
    "sgld": SGLDKeys("sgld", 60, 100, 300, 20, 10, 0.02, None, 10, 0.3),
    "sgld of some": SGLDKeys("sgld", 60, 100, 800, 20, 10, 0.002, 3, 10, 0.0),
    "svgd": SVGDKeys("svgd", 40, 100, 400, 0.1),
    "variational": VariationalKeys("variational", 2000, 100, 800, 0.05, 20),
}
# How far means, and logarithms of standard deviations, may be off: chains are finite, a step is not tested, and so few
# particles are nearer to each other than draws would be.
TOLERANCE = {
    "hmc": (0.05, 0.1), "sgld": (0.06, 0.15), "sgld of some": (0.12, 0.25), "svgd": (0.02, 0.35),
    "variational": (0.05, 0.1),
}  # fmt: skip


@pytest.fixture
def density():
    functions = Functions(nn.Sequential(nn.Flatten(), nn.Linear(2, 1)).double())
    domain = torch.tensor([[-2.0, 2.0]] * 2, dtype=torch.float64)
    problem = without_held_out(INPUTS, TARGETS, domain)
    return Density(functions, problem, gaussian(1.0, functions.size), [], NOISE)


def exact():
    """Mean and precision of the posterior of ``(weight, bias)``."""
    design = torch.cat([INPUTS, torch.ones(len(INPUTS), 1, dtype=torch.float64)], 1)
    precision = torch.eye(3, dtype=torch.float64) + design.T @ design / NOISE**2
    return torch.linalg.solve(precision, design.T @ TARGETS / NOISE**2), precision


def sampler_of(name, density, **keys):
    option = dataclasses.replace(OPTIONS[name], **keys)
    return load("inference", option.name)(option, density, 0, name)


def run(sampler, state=None, first=0, last=None):
    state = sampler.start() if state is None else state
    for iteration in range(first, sampler.iterations if last is None else last):
        sampler.step(state, iteration)
    return state


@pytest.mark.parametrize("name", OPTIONS)
def test_a_linear_networks_posterior_is_found(density, name):
    sampler = sampler_of(name, density)
    samples = sampler.samples(run(sampler)).flatten(0, 1)
    assert samples.shape == (OPTIONS[name].members, 3)
    mean, precision = exact()
    # A Gaussian with independent parameters has the deviations of each given the others.
    variances = 1 / precision.diagonal() if name == "variational" else precision.inverse().diagonal()
    of_means, of_deviations = TOLERANCE[name]
    torch.testing.assert_close(samples.mean(0), mean, atol=of_means, rtol=0)
    torch.testing.assert_close(samples.std(0).log(), variances.sqrt().log(), atol=of_deviations, rtol=0)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_sampler_goes_on_as_if_it_had_never_stopped(density, name):
    few = {"iterations": 20} if name in ("svgd", "variational") else {"burn_in": 10, "draws": 5, "thin": 2}
    whole, stopped = sampler_of(name, density, **few), sampler_of(name, density, **few)
    state = run(stopped, last=13)
    state = {key: tensor.clone() for key, tensor in state.items()}
    again = sampler_of(name, density, **few)
    assert torch.equal(again.samples(run(again, state, first=13)), whole.samples(run(whole)))


@pytest.mark.parametrize("name", OPTIONS)
def test_numbers_that_are_not_finite_are_noticed(density, name):
    sampler = sampler_of(name, density)
    state = sampler.start()
    assert sampler.problem(state, 1) is None
    assert all(math.isfinite(value) for value in sampler.report(state).values())
    next(iter(state.values())).view(-1)[0] = math.nan
    assert "diverged" in sampler.problem(state, 1)
    assert f"smaller {sampler.remedy}" in sampler.problem(state, 1)


def test_chains_of_which_most_trajectories_diverge_are_noticed(density):
    sampler = sampler_of("hmc", density, step=50.0, acceptance=None, burn_in=0)
    state = run(sampler, last=6)
    assert "smaller inference.step (it is 50)" in sampler.problem(state, 6)


def test_a_proposal_that_is_rejected_changes_nothing(density):
    sampler = sampler_of("hmc", density, step=50.0, acceptance=None)
    state = sampler.start()
    before = {key: state[key].clone() for key in ("position", "value", "gradient")}
    sampler.step(state, 0)
    assert all(torch.equal(state[key], before[key]) for key in before)


def test_a_trajectory_is_reversible_and_keeps_its_energy(density):
    sampler: HMC = sampler_of("hmc", density)
    state = sampler.start()
    momentum = torch.randn(state["position"].shape, dtype=torch.float64)
    size = torch.full((len(momentum),), 0.01, dtype=torch.float64)
    end, value, gradient, after = sampler.trajectory(state["position"], momentum, state["gradient"], size)
    energies = [value - (after**2).sum(1) / 2, state["value"] - (momentum**2).sum(1) / 2]
    torch.testing.assert_close(*energies, atol=0.02, rtol=0)
    back, *_ = sampler.trajectory(end, -after, gradient, size)
    torch.testing.assert_close(back, state["position"], atol=1e-10, rtol=0)


def test_a_burn_in_adapts_the_step_to_the_acceptance(density):
    sampler = sampler_of("hmc", density, burn_in=100, draws=20, thin=2, step=3.0)
    found = sampler.diagnostics(run(sampler))
    assert found["acceptance"] == pytest.approx(0.8, abs=0.12)
    assert found["divergences"] == 0


def test_particles_that_are_alone_climb_and_others_part():
    position, gradient = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    kernel = torch.zeros(5, 5, dtype=torch.float64)
    squares = torch.cdist(position, position).square()
    width = squares.median() / math.log(6)
    wanted = torch.zeros_like(position)
    for i in range(5):
        for j in range(5):
            kernel[j, i] = torch.exp(-squares[j, i] / width)
            wanted[i] += kernel[j, i] * (gradient[j] + 2 / width * (position[i] - position[j]))
    torch.testing.assert_close(stein_direction(position, gradient), wanted / 5)
