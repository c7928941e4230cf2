"""Weights that layers are given are used in the context, by one thread, and by no layer afterwards."""

import threading

import pytest
import torch
from layer_table import others
from torch import nn

from lipnet.layers import OrthogonalLinear
from lipnet.layers.constrained import Constrained
from lipnet.layers.given import given_weight, given_weights

CONSTRAINED = {name: row for name, row in others([nn.Identity]).items() if isinstance(row[0](), Constrained)}


@pytest.mark.parametrize(("make", "shape"), CONSTRAINED.values(), ids=CONSTRAINED)
def test_a_layer_computes_with_the_weight_that_it_is_given(make, shape):
    layer = make()
    inputs, known = torch.randn(2, *shape), set(vars(layer))
    own = layer(inputs)
    leaf = torch.randn_like(layer.weight).requires_grad_()
    with given_weights({layer: leaf}):
        assert layer.weight is leaf
        outputs = layer(inputs)
    assert not torch.allclose(outputs, own)
    outputs.sum().backward()
    assert leaf.grad is not None
    assert all(parameter.grad is None for parameter in layer.free_parameters())
    assert torch.equal(layer(inputs), own)
    assert set(vars(layer)) == known


def test_contexts_nest_and_end_with_an_exception():
    first, second = OrthogonalLinear(3, 2), OrthogonalLinear(3, 2)
    one, two = torch.zeros(2, 3), torch.ones(2, 3)

    def fail():
        with given_weights({first: one}):
            with given_weights({second: two}):
                assert given_weight(first) is one
                assert given_weight(second) is two
            assert given_weight(second) is None
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert given_weight(first) is None


def test_another_thread_has_the_layers_own():
    layer, found = OrthogonalLinear(3, 2), []
    with given_weights({layer: torch.zeros(2, 3)}):
        thread = threading.Thread(target=lambda: found.append(given_weight(layer)))
        thread.start()
        thread.join()
    assert found == [None]
