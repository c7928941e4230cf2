import dataclasses
import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from lipnet.certify import certify, conformal_sets, conformal_threshold, pairwise_certified_radii
from lipnet.certify.conformal import least_calibration, surely_covered, threshold_of
from lipnet.certify.radius import signed_radii


def _network(dtype=torch.float64, classes=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, classes)).to(dtype).eval()


def _examples(count, seed, classes=4):
    """Inputs whose labels a network of the same kind draws: exchangeable, and not all of them easy."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 3, generator=generator)
    chances = (1.5 * _network()(inputs.double())).softmax(1)
    return inputs, torch.multinomial(chances, 1, generator=generator)[:, 0]


# alpha, examples -> which of the smallest is the threshold; 0: there is none
RANKS = {(0.1, 9): 1, (0.1, 8): 0, (0.1, 18): 1, (0.1, 19): 2, (0.3, 9): 3, (0.3, 2): 0, (0.05, 19): 1, (0.05, 18): 0,
         (0.5, 1): 1, (0.99, 1): 1, (0.7, 9): 7, (1e-3, 998): 0, (1e-3, 999): 1}  # fmt: skip


@pytest.mark.parametrize(("alpha", "count"), RANKS)
def test_the_threshold_is_one_of_the_smallest(alpha, count):
    """0.3 is meant as three tenths, which no float is."""
    numbers = torch.randperm(count, generator=torch.Generator().manual_seed(0)) + 1
    rank = RANKS[alpha, count]
    assert (count >= least_calibration(alpha)) == (rank > 0)
    if rank:
        assert threshold_of(numbers, alpha) == rank
    else:
        with pytest.raises(ValueError, match=f"alpha={alpha} needs at least {least_calibration(alpha)} examples, got"):
            threshold_of(numbers, alpha)


def test_signed_radii_by_hand():
    torch.manual_seed(0)
    logits, constants, slack = torch.randn(5, 4).double(), 0.5 + torch.rand(4, 4).double(), torch.rand(5).double()
    constants = constants + constants.T
    lower, upper = signed_radii(logits, constants, slack)
    for row, (z, error) in enumerate(zip(logits.tolist(), slack.tolist(), strict=True)):
        for k in range(4):
            least, most = (
                min((z[k] - z[j] + sign * error) / float(constants[k, j]) for j in range(4) if j != k)
                for sign in (-1, 1)
            )
            assert float(lower[row, k]) == pytest.approx(least, rel=1e-15)
            assert float(upper[row, k]) == pytest.approx(most, rel=1e-15)
            assert lower[row, k] <= least <= most <= upper[row, k]


def test_a_positive_signed_radius_is_the_certified_one():
    certificate = certify(_network(), *_examples(50, 1))
    lower, _ = certificate.signed_radii()
    slack = certificate.slack()
    of_label = lower.gather(1, certificate.labels[:, None])[:, 0]
    certified = pairwise_certified_radii(certificate.logits, certificate.labels, certificate.constants, slack)
    assert 5 < int((certified > 0).sum()) < 50
    torch.testing.assert_close(of_label.clamp_min(0), certified)


@pytest.mark.parametrize("alpha", [0.1, 0.25])
def test_sets_cover_as_often_as_promised(alpha):
    """Over many draws of calibration and test examples: at least 1 - alpha, and hardly more, as no two are equal."""
    inputs, labels = _examples(40_000, 2)
    certificate = certify(_network(), inputs, labels)
    calibration, draws = 39, 1000
    of_label = certificate.signed_radii()[0].gather(1, labels[:, None])[:, 0].view(draws, calibration + 1)
    covered = [float(draw[-1]) >= threshold_of(draw[:-1], alpha) for draw in of_label]
    error = math.sqrt(alpha * (1 - alpha) / draws)
    assert 1 - alpha - 3 * error <= sum(covered) / draws <= 1 - alpha + 1 / (calibration + 1) + 3 * error


def test_a_set_holds_what_is_at_or_above_the_threshold():
    certificate = certify(_network(), *_examples(50, 8))
    lower, upper = certificate.signed_radii()
    threshold = conformal_threshold(certificate, 0.1)
    assert threshold == float(lower.gather(1, certificate.labels[:, None])[:, 0].sort().values[4])  # the fifth of 50
    assert torch.equal(conformal_sets(certificate, threshold, 0.25), upper >= threshold - 0.25)
    assert int(surely_covered(certificate, threshold).sum()) == 46


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("radius", [0.05, 0.3, 1.0])
def test_no_move_within_the_radius_drives_a_class_out(radius, dtype):
    """The worst one of a linear network is known: straight at the class that is the nearest by the constants."""
    network = _network(dtype)
    alpha, (inputs, labels) = 0.2, _examples(500, 3)
    threshold = conformal_threshold(certify(network, *_examples(200, 4)), alpha)
    certificate = certify(network, inputs, labels)
    surely = surely_covered(certificate, threshold)
    assert 0.7 < float(surely.double().mean()) < 0.9
    rows = network[0].weight.detach().double()
    away = rows - rows[labels][:, None]
    moved_to = []
    for rival in range(4):
        direction = away[:, rival] / away[:, rival].norm(dim=1, keepdim=True).clamp_min(1e-9)
        moved = (inputs.double() + radius * (1 - 1e-6) * direction).float()
        there = certify(network, moved, labels)
        kept = conformal_sets(there, threshold, radius).gather(1, labels[:, None])[:, 0]
        assert bool(kept[surely].all())
        without = conformal_sets(there, threshold, 0.0).gather(1, labels[:, None])[:, 0]
        assert bool((kept | ~without).all())
        moved_to.append(there.signed_radii()[1].gather(1, labels[:, None])[:, 0])
    # Nothing is given away: towards the worst rival the signed radius falls by all of the radius.
    of_label = certificate.signed_radii()[1].gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(torch.stack(moved_to).amin(0), of_label - radius, atol=1e-4, rtol=0)


def test_sets_grow_with_the_radius():
    certificate = certify(_network(), *_examples(100, 5))
    threshold = conformal_threshold(certificate, 0.1)
    sizes = [conformal_sets(certificate, threshold, radius).sum(1) for radius in (0.0, 0.1, 1.0, 100.0)]
    for smaller, larger in pairwise(sizes):
        assert bool((smaller <= larger).all())
        assert int(smaller.sum()) < int(larger.sum())
    assert bool((sizes[-1] == 4).all())


def test_what_rounding_leaves_undecided_is_in_the_set_and_not_sure():
    exact, coarse = (certify(_network(dtype), *_examples(100, 6)) for dtype in (torch.float64, torch.float32))
    lower, upper = coarse.signed_radii()
    inside, outside = exact.signed_radii()
    assert bool((lower < inside).all())
    assert bool((outside < upper).all())
    between = float(inside[0, coarse.labels[0]])
    assert not bool(surely_covered(coarse, between)[0])
    assert bool(conformal_sets(coarse, between, 0.0)[0, coarse.labels[0]])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_of_a_network_that_diverged_nothing_is_sure(value):
    certificate = certify(_network(), *_examples(3, 7))
    broken = dataclasses.replace(certificate, logits=torch.full_like(certificate.logits, value))
    assert bool(conformal_sets(broken, 1e9, 0.0).all())
    assert not bool(surely_covered(broken, -1e9).any())
