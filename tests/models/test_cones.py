import pytest

from lipnet.layers import Cones
from lipnet.models import build_model


@pytest.mark.parametrize(("apices", "upward"), [("first", False), ("second", True)])
def test_cones_open_away_from_their_apices(make_config, apices, upward):
    config = make_config("task=wasserstein", "dataset=cone", "model=cones", "model.cones=5", f"model.apices={apices}")
    (layer,) = build_model(config, (3, 2), 1)
    assert type(layer) is Cones
    assert (layer.in_features, layer.cones, layer.upward) == (6, 5, upward)
