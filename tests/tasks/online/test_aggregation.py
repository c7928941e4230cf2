import math

import pytest
import torch

from lipnet.tasks.online.aggregation import Aggregation

KINDS = ("weak", "hedge", "adahedge", "leader", "uniform")


def played(kind, rate, losses):
    """The aggregation after these losses, and the loss of its weighted mean, which is linear in the losses here."""
    found, total = Aggregation(losses.shape[1], kind, rate), 0.0
    for row in losses:
        total += float(found.weights() @ row)
        found.learn(row)
    return found, total


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_a_distribution(kind):
    found, _ = played(kind, 1.0, torch.rand(20, 4, dtype=torch.float64))
    assert float(found.weights().sum()) == pytest.approx(1)
    assert bool((found.weights() >= 0).all())


def test_the_formulas_of_weights():
    losses = torch.tensor([[1.0, 0.0], [1.0, 0.5], [0.0, 0.5]], dtype=torch.float64)
    gap = 2.0 - 1.0
    expected = {"weak": 3 * gap / math.sqrt(4), "hedge": 3 * gap}
    for kind, exponent in expected.items():
        found, _ = played(kind, 3.0, losses)
        assert float(found.weights()[0]) == pytest.approx(1 / (1 + math.exp(exponent)))
    assert played("leader", 1.0, losses)[0].weights().tolist() == [0, 1]
    assert played("uniform", 1.0, losses)[0].weights().tolist() == [0.5, 0.5]
    assert Aggregation(2, "leader", 1.0).weights().tolist() == [0.5, 0.5]  # nobody leads yet


def against_the_leader(rounds):
    """The two-expert sequence on which following the leader loses every round but the first."""
    rows = [[0.5, 0.0]] + [[0.0, 1.0] if place % 2 else [1.0, 0.0] for place in range(1, rounds)]
    return torch.tensor(rows, dtype=torch.float64)


SEQUENCES = {
    "random": torch.rand(300, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
    "one is good": torch.rand(300, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    * torch.tensor([1.0, 1.0, 0.2, 1.0, 1.0]),
    "against the leader": against_the_leader(300),
    "a small gap, then a large one": torch.tensor([[0.0, 1e-9]] * 3 + [[1e3, 0.0]] * 50, dtype=torch.float64),
    "large": 50 * torch.rand(200, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64),
}


@pytest.mark.parametrize("rate", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("kind", ["weak", "hedge", "adahedge"])
@pytest.mark.parametrize("name", SEQUENCES)
def test_the_regret_is_within_its_bound(name, kind, rate):
    losses = SEQUENCES[name]
    for end in (1, 10, len(losses)):
        found, total = played(kind, rate, losses[:end])
        assert total - float(losses[:end].sum(0).min()) <= found.regret_bound() + 1e-9


def test_nothing_is_proved_of_the_others():
    """Following the leader can lose half of all rounds, where the weak aggregating algorithm's regret is their root."""
    losses = SEQUENCES["against the leader"]
    (leader, lost), (_, small) = (played(kind, 1.0, losses) for kind in ("leader", "weak"))
    best = float(losses.sum(0).min())
    assert lost - best > 100 > 2 * math.sqrt(len(losses)) > small - best
    assert leader.regret_bound() is None
    assert Aggregation(3, "uniform", 1.0).regret_bound() is None


def test_losses_that_are_no_numbers_any_more_raise_nothing():
    """The experts have diverged, which is said where they learn."""
    losses = torch.tensor([[1.0, 1e200], [1.0, float("inf")], [1.0, float("nan")]], dtype=torch.float64)
    assert played("weak", 1.0, losses[:2])[0].regret_bound() == float("inf")
    for kind in KINDS:
        played(kind, 1.0, losses)


@pytest.mark.parametrize("name", SEQUENCES)
def test_adahedge_is_the_same_in_any_unit(name):
    losses = SEQUENCES[name]
    (one, total), (other, scaled) = (played("adahedge", 1.0, unit * losses) for unit in (1.0, 2.0**-20))
    torch.testing.assert_close(one.weights(), other.weights())
    assert scaled == pytest.approx(2.0**-20 * total)
    assert other.regret_bound() == pytest.approx(2.0**-20 * one.regret_bound())


def test_adahedge_by_hand():
    """Two experts: the leader alone at first; then the rate is log 2 over what the mean lost on the mix loss."""
    found = Aggregation(2, "adahedge", 1.0)
    assert found.weights().tolist() == [0.5, 0.5]
    found.learn(torch.tensor([0.0, 1.0], dtype=torch.float64))  # the mean 0.5, and the least total grows by 0
    assert found.regret_bound() == 0.5
    rate = math.log(2) / 0.5
    first = 1 / (1 + math.exp(-rate))
    assert float(found.weights()[0]) == pytest.approx(first)
    found.learn(torch.tensor([1.0, 0.0], dtype=torch.float64))
    mix = -math.log(first * math.exp(-rate) + 1 - first) / rate
    assert found.regret_bound() == pytest.approx(0.5 + 0.5 + first - mix)


def test_one_expert_is_never_regretted():
    found, total = played("adahedge", 1.0, torch.rand(9, 1, dtype=torch.float64))
    assert found.regret_bound() == 0
    assert found.weights().tolist() == [1]
    assert total > 0


def test_adahedge_finds_a_small_difference():
    """Losses of a thousandth: at the rate 1/sqrt(n) of the weak algorithm all experts keep nearly the same weight."""
    losses = torch.rand(4000, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 1e-3
    losses[:, 2] -= 2e-4
    (ada, _), (weak, _) = (played(kind, 1.0, losses) for kind in ("adahedge", "weak"))
    assert float(ada.weights()[2]) > 0.9 > 0.3 > float(weak.weights()[2])


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_where_it_was(kind):
    losses = torch.rand(40, 3, dtype=torch.float64)
    whole, _ = played(kind, 1.0, losses)
    first, _ = played(kind, 1.0, losses[:25])
    second = Aggregation(3, kind, 1.0)
    second.load_state_dict(first.state_dict())
    for row in losses[25:]:
        second.learn(row)
    assert torch.equal(second.weights(), whole.weights())
    assert second.regret_bound() == whole.regret_bound()
