import math

import pytest
import torch

from lipnet.tasks.online.aggregation import Aggregation

KINDS = ("weak", "hedge", "leader", "uniform")


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
    "large": 50 * torch.rand(200, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64),
}


@pytest.mark.parametrize("rate", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("kind", ["weak", "hedge"])
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
    found, _ = played("weak", 1.0, torch.tensor([[1.0, 1e200], [1.0, float("inf")]], dtype=torch.float64))
    assert found.regret_bound() == float("inf")


def test_it_goes_on_where_it_was():
    losses = torch.rand(40, 3, dtype=torch.float64)
    whole, _ = played("weak", 1.0, losses)
    first, _ = played("weak", 1.0, losses[:25])
    second = Aggregation(3, "weak", 1.0)
    second.load_state_dict(first.state_dict())
    for row in losses[25:]:
        second.learn(row)
    assert torch.equal(second.weights(), whole.weights())
    assert second.regret_bound() == whole.regret_bound()
