import pytest
import torch

from lipnet.tasks.online.window import Window


def filled(size, count, dimension=1):
    window = Window(size, dimension)
    for value in range(count):
        window.add(torch.full((dimension,), float(value), dtype=torch.float64))
    return window


@pytest.mark.parametrize("count", [1, 4, 5, 9, 10, 11, 47])
def test_it_holds_the_last(count):
    window = filled(5, count)
    assert len(window) == min(count, 5)
    assert window.last(len(window))[:, 0].tolist() == list(range(max(0, count - 5), count))


def test_its_memory_does_not_grow():
    assert filled(5, 1000)._room.shape == (10, 1)


@pytest.mark.parametrize("count", [6, 10, 23])
def test_examples_are_stretches_and_what_follows(count):
    window = filled(6, count, dimension=2)
    contexts, outcomes = window.examples(200, 3, torch.Generator().manual_seed(0))
    assert contexts.shape == (200, 3, 2)
    assert outcomes.shape == (200, 2)
    first = contexts[:, 0, 0]
    for place in range(3):
        assert torch.equal(contexts[:, place, 1], first + place)
    assert torch.equal(outcomes[:, 0], first + 3)
    assert sorted(set(outcomes[:, 0].tolist())) == list(range(count - 3, count))


def test_it_goes_on_where_it_was():
    first, second = filled(5, 13), Window(5, 1)
    second.load_state_dict(first.state_dict())
    for window in (first, second):
        window.add(torch.tensor([99.0], dtype=torch.float64))
    assert torch.equal(first.last(5), second.last(5))
    drawn = [window.examples(20, 2, torch.Generator().manual_seed(0)) for window in (first, second)]
    assert torch.equal(drawn[0][0], drawn[1][0])
