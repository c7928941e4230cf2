import logging

import numpy
import pytest
import torch

from lipnet.attacks.isolation import isolated


def _drawn():
    return float(torch.rand(())), float(numpy.random.rand())


def test_global_generators_go_on_as_if_nothing_had_drawn():
    torch.manual_seed(1)
    numpy.random.seed(1)
    expected = _drawn(), _drawn()
    torch.manual_seed(1)
    numpy.random.seed(1)
    first = _drawn()
    with isolated(torch.Generator().manual_seed(0)):
        _drawn()
    assert (first, _drawn()) == expected


def test_draws_inside_depend_on_the_generator_alone():
    found = []
    for seed in (0, 0, 1):
        torch.rand(seed + 3)
        with isolated(torch.Generator().manual_seed(seed)) as used:
            found.append((used, _drawn()))
    assert found[0] == found[1] != found[2]


def _failing_attack():
    with isolated(torch.Generator()):
        logging.info("unheard")
        logging.warning("heard")
        raise KeyError


def test_the_log_is_heard_again_after_an_error(caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(KeyError):
        _failing_attack()
    logging.info("heard again")
    assert caplog.messages == ["heard", "heard again"]
