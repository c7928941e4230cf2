import pytest
import torch

from lipnet.errors import UserError
from lipnet.tasks.bayes.amortised import amortised_prior, linearised, probability_kept


def test_the_linearised_variance_is_that_of_the_parameters(make_density):
    """Of a network that is linear in its last layer alone, exactly: the variance of sampled outputs."""
    density = make_density("quartic", "model.hidden=[3]")
    size = density.functions.size
    mean, deviation = torch.randn(size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
    deviation[-4:] = 0.5  # the last layer's weight and bias
    points = density.points[0][:5]
    outputs, variances = linearised(density, mean, deviation, points)
    drawn = density.functions(mean + deviation * torch.randn(20000, size, dtype=torch.float64), points)[..., 0]
    torch.testing.assert_close(outputs[:, 0], drawn.mean(0), atol=0.03, rtol=0)
    torch.testing.assert_close(variances[:, 0], drawn.var(0), rtol=0.05, atol=0)


def test_the_probability_is_a_gaussians(make_density):
    density = make_density("quartic")
    (constraint,), points = density.constraints, torch.zeros(2, 1, dtype=torch.float64)
    outputs, variances = torch.tensor([[2.75], [3.0]]).double(), torch.tensor([[0.06], [0.06]]).double()
    law = torch.distributions.Normal(outputs[:, 0], (variances[:, 0] + 0.01).sqrt())
    wanted = law.cdf(torch.tensor(3.0).double()) - law.cdf(torch.tensor(2.5).double())
    torch.testing.assert_close(probability_kept(constraint, points, outputs, variances, 0.1), wanted)


def test_the_probability_of_classes_is_that_of_shrunk_logits(make_density):
    (constraint,) = make_density("three_blobs").constraints
    logits, nothing = torch.tensor([[0.0, 2.0, 1.0]]).double(), torch.zeros(1, 3).double()
    points = torch.zeros(1, 2).double()
    certain = probability_kept(constraint, points, logits, nothing, 1.0)
    assert certain.item() == pytest.approx(float(logits.softmax(-1)[0, 1]))
    assert probability_kept(constraint, points, logits, nothing + 100, 1.0) < certain


def test_a_fitted_prior_keeps_the_constraint(make_density):
    density = make_density("sign", "model.hidden=[4]", "dataset.points=10")
    mean, deviation = amortised_prior(density, 150, 0.1, torch.Generator().manual_seed(0))
    assert torch.isfinite(torch.cat([mean, deviation])).all()

    def kept(centre, spread):
        drawn = centre + spread * torch.randn(200, density.functions.size, dtype=torch.float64)
        both = zip(density.constraints, density.points, strict=True)
        shares = [~each.violated(x, density.functions(drawn, x)) for each, x in both]
        return float(torch.cat(shares, 1).double().mean())

    assert kept(mean, deviation) > 0.85 > kept(*density.prior) + 0.2


def test_a_fit_that_diverges_is_told(make_density):
    with pytest.raises(UserError, match=r"a smaller task\.amortised_rate \(it is 1e\+200\) usually avoids it"):
        amortised_prior(make_density("quartic"), 5, 1e200, torch.Generator().manual_seed(0))
