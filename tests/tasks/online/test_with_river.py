import sys

import pytest
import torch

from lipnet.errors import UserError
from lipnet.options.tasks import OF_RIVER
from lipnet.tasks.online.with_river import OfRiver


def errors(baseline, outcomes):
    found = []
    for outcome in outcomes:
        found.append(baseline.predict() - outcome)
        baseline.learn(outcome)
    return torch.stack(found)


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("name", OF_RIVER)
def test_a_learner_of_river_predicts(name, dimension):
    pytest.importorskip("river")
    outcomes = torch.sin(torch.arange(200.0).double())[:, None].expand(-1, dimension)
    found = errors(OfRiver(name, dimension, 2, 0), outcomes)
    assert found.shape == (len(outcomes), dimension)
    assert bool(torch.isfinite(found).all())
    again = errors(OfRiver(name, dimension, 2, 0), outcomes)
    assert torch.equal(found, again)


@pytest.mark.parametrize("name", OF_RIVER)
def test_without_river_it_is_said(name, monkeypatch):
    for module in ("river", "river.time_series", "river.tree"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"task.baselines: {name}: needs river.*pip install 'lipnet\[river\]'"):
        OfRiver(name, 1, 2, 0)
