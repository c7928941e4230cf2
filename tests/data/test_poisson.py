import torch

from lipnet.data.images import Split
from lipnet.data.poisson import PoissonBatches, sampling_rate
from lipnet.randomness import Secret

COUNT, BATCH = 40, 8


def _split(augment=None):
    images = torch.arange(COUNT, dtype=torch.uint8).view(COUNT, 1, 1, 1)
    return Split(images, torch.arange(COUNT), 255, torch.arange(COUNT), augment)


def _members(batches, epoch=0, first=0, size=BATCH):
    return [labels.tolist() for _, labels in batches.training_batches(size, 0, epoch, first)]


def test_an_epoch_has_as_many_batches_as_any_other():
    assert len(_members(PoissonBatches(_split(), Secret(1)))) == COUNT // BATCH
    assert len(_members(PoissonBatches(_split(), Secret(1)), size=7)) == 6


def test_each_example_joins_each_batch_at_random():
    """Memberships are independent: counts, and pairs of counts, have the moments of Bernoulli numbers."""
    batches = PoissonBatches(_split(), Secret(5))
    rows = torch.zeros(400 * COUNT // BATCH, COUNT)
    for number, members in enumerate(member for epoch in range(400) for member in _members(batches, epoch)):
        rows[number, members] = 1
    rate = sampling_rate(COUNT, BATCH)
    assert torch.allclose(rows.mean(0), torch.full((COUNT,), rate), atol=5 * (rate * (1 - rate) / len(rows)) ** 0.5)
    sizes = rows.sum(1)
    assert abs(float(sizes.var()) / (COUNT * rate * (1 - rate)) - 1) < 0.2  # that of a shuffled epoch would be 0
    together = (rows - rate).mT @ (rows - rate) / len(rows)
    assert float((together - together.diag().diag()).abs().max()) < 6 * rate * (1 - rate) / len(rows) ** 0.5


def test_some_are_empty_and_some_repeat_nothing():
    members = _members(PoissonBatches(_split(), Secret(2)), size=1)
    assert [] in members
    assert all(len(set(batch)) == len(batch) for batch in members)


def test_an_epoch_can_be_entered_anywhere():
    batches = PoissonBatches(_split(), Secret(3))
    assert _members(batches, epoch=2, first=3) == _members(batches, epoch=2)[3:]


def test_it_depends_on_the_secret_and_not_on_the_seed():
    secret = Secret()
    first, second = PoissonBatches(_split(), secret), PoissonBatches(_split(), Secret())
    assert _members(first) == _members(PoissonBatches(_split(), secret))
    assert _members(first) != _members(second)
    assert [labels.tolist() for _, labels in first.training_batches(BATCH, 17, 0)] == _members(first)


def test_images_are_augmented_from_the_secret():
    def noisy(images, random):
        return images + torch.rand(images.shape, generator=random)

    first, again = (next(PoissonBatches(_split(noisy), Secret(4)).training_batches(BATCH, 0, 0))[0] for _ in range(2))
    other = next(PoissonBatches(_split(noisy), Secret(4)).training_batches(BATCH, 0, 1))[0]
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)


def test_a_batch_larger_than_the_data_takes_all():
    assert sampling_rate(COUNT, 2 * COUNT) == 1
    assert _members(PoissonBatches(_split(), Secret(6)), size=2 * COUNT) == [list(range(COUNT))]
