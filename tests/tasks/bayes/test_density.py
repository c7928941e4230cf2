import math

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Normal

from lipnet.layers import OrthogonalLinear, SpectralLinear
from lipnet.tasks.bayes import stacked
from lipnet.tasks.bayes.density import Functions, gradient_of

LIPSCHITZ = ("linear=orthogonal", "activation=maxmin", "task.lipschitz=3", "model.hidden=[4,4]")


@pytest.mark.parametrize("overrides", [(), LIPSCHITZ, ("activation=groupsort", "activation.group_size=5")], ids=str)
def test_networks_in_stacks_are_each_itself(make_density, vectors, overrides):
    density = make_density("three_blobs", *overrides)
    given, inputs = vectors(density, 3), torch.randn(5, 2, dtype=torch.float64)
    functions = density.functions
    assert functions.steps is not None
    outputs = functions(given, inputs)
    own = functions.at_own(given, inputs[:3])
    for number, vector in enumerate(given):
        functions.network.load_state_dict(functions.named(vector))
        torch.testing.assert_close(outputs[number], functions.network(inputs))
        torch.testing.assert_close(own[number], functions.network(inputs[number, None])[0])
    functions.steps = None  # by vmap
    torch.testing.assert_close(functions(given, inputs), outputs)
    torch.testing.assert_close(functions.at_own(given, inputs[:3]), own)


def test_layers_that_cannot_be_stacked_are_left_to_vmap():
    assert stacked.steps_of(nn.Sequential(nn.Flatten(), SpectralLinear(2, 2))) is None
    assert stacked.steps_of(nn.Linear(2, 2)) is None
    functions = Functions(
        nn.Sequential(nn.Flatten(), OrthogonalLinear(2, 3, bias=False), nn.Softplus()).double().eval()
    )
    assert functions.steps is None
    given, inputs = torch.randn(4, 6, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    assert functions(given, inputs).shape == (4, 5, 3)


def test_the_density_is_prior_times_likelihood_times_factors(make_density, vectors):
    density = make_density("quartic", "task.deviation=2")
    given = vectors(density, 3)
    outputs = density.functions(given, density.problem.inputs)[..., 0]
    prior = Normal(0.0, 2.0).log_prob(given).sum(1) + density.functions.size * math.log(2 * math.sqrt(2 * math.pi))
    likelihood = Normal(outputs, 0.1).log_prob(density.problem.targets).sum(1)
    wanted = prior + likelihood + density.log_factors(given)
    torch.testing.assert_close(density(given), wanted)
    values, gradients = density.gradient(given)
    torch.testing.assert_close(values, wanted)
    step = 1e-6 * torch.randn_like(given)
    torch.testing.assert_close(
        density(given + step) - density(given - step), 2 * (gradients * step).sum(1), rtol=1e-4, atol=1e-6
    )


def test_classes_have_a_softmax_likelihood(make_density, vectors):
    density = make_density("three_blobs")
    outputs = density.functions(vectors(density, 3), density.problem.inputs)
    wanted = Categorical(logits=outputs).log_prob(density.problem.targets).sum(1)
    torch.testing.assert_close(density.log_likelihood(outputs, density.problem.targets), wanted)


def test_some_examples_estimate_all(make_density, vectors):
    density = make_density("quartic")
    given, everyone = vectors(density, 3), torch.arange(6)
    torch.testing.assert_close(density.of_some(given, everyone), density(given))
    halves = [density.gradient(given, rows)[1] for rows in everyone.split(3)]
    torch.testing.assert_close(sum(halves) / 2, density.gradient(given)[1])


def test_points_are_drawn_anew_where_that_is_asked_for(make_density, vectors):
    density = make_density("quartic")
    given = vectors(density, 3)
    assert torch.equal(density(given), density(given))
    density.generator = torch.Generator().manual_seed(0)
    assert not torch.equal(density(given), density(given))


def test_the_guide_leads_out_of_what_is_forbidden(make_density):
    """On the plateau of soft membership the density has no slope."""
    density = make_density("quartic")
    given = torch.zeros(1, density.functions.size, dtype=torch.float64)
    given[0, -1] = -20.0  # the output bias, far below the interval
    factor = density.log_factors(given)
    assert factor.item() == pytest.approx(-1e4)
    slopes = [gradient_of(function, given)[1][0, -1].item() for function in (density.guide, density)]
    assert slopes[0] - slopes[1] == pytest.approx(300)


@pytest.mark.parametrize(
    ("spoilt", "layers"),
    [(math.nan, ()), (-math.inf, ()), (math.nan, LIPSCHITZ), (math.inf, LIPSCHITZ), (0.0, LIPSCHITZ)],
    ids=str,
)  # fmt: skip
def test_vectors_that_cannot_be_networks_are_told_from_others(make_density, vectors, spoilt, layers):
    """No matrix of zeros can be made orthogonal."""
    density = make_density("quartic", *layers)
    given = vectors(density, 5)
    value, gradient = density.gradient(given)
    given[[1, 4]] = spoilt
    values, gradients = density.gradient(given)
    assert values[[1, 4]].tolist() == [-math.inf, -math.inf]
    assert gradients[[1, 4]].isnan().all()
    torch.testing.assert_close(values[[0, 2, 3]], value[[0, 2, 3]])
    torch.testing.assert_close(gradients[[0, 2, 3]], gradient[[0, 2, 3]])
    assert density.gradient(given[[1, 4]])[1].isnan().all()


def test_a_density_without_constraints_has_no_factors(make_density, vectors):
    density = make_density("quartic")
    density.constraints = []
    density.__post_init__()
    given = vectors(density, 2)
    assert density.log_factors(given).tolist() == [0, 0]
    assert torch.isfinite(density(given)).all()
