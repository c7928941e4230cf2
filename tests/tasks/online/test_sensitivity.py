import pytest
import torch

from lipnet.tasks.online.predictor import Predictor
from lipnet.tasks.online.sensitivity import attacked_sensitivity, certified_sensitivity

SMALL = ("model.memories=[1,2]", "model.budgets=[0.5,2.0]", "model.hidden=[8]", "task.examples=16", "dataset.warmup=5")


@pytest.fixture
def trained(make_config):
    """``trained(overrides, dimension, scale) -> a predictor that has seen some rounds``."""

    def build(*overrides, dimension=1, scale=1.0, rounds=40):
        config = make_config("task=online", "dataset=setar", *SMALL, *overrides)
        predictor = Predictor(config, dimension, torch.device("cpu"))
        for outcome in scale * torch.randn(rounds, dimension, dtype=torch.float64):
            predictor.learn(outcome)
        return predictor

    return build


KINDS = {
    "one number": {},
    "three": {"dimension": 3},
    "of its own size": {"overrides": ("dataset.shift=null", "dataset.scale=null"), "scale": 100.0},
    "unconstrained": {"overrides": ("linear=plain",)},
}


@pytest.mark.parametrize("radius", [1e-9, 0.1, 10.0])
@pytest.mark.parametrize("kind", KINDS)
def test_no_error_moves_a_prediction_by_more_than_is_certified(trained, kind, radius):
    options = dict(KINDS[kind])
    predictor = trained(*options.pop("overrides", ()), **options)
    certified = certified_sensitivity(predictor, radius)
    attacked = attacked_sensitivity(predictor, radius, torch.Generator().manual_seed(0))
    assert attacked <= certified
    said, context = predictor.predict(), predictor.context()
    for seed in range(20):
        error = torch.randn(context.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        error *= radius / error.norm()
        moved = torch.einsum("e,ebd->bd", said.weights, predictor.of_experts((context + error)[None]))[0]
        assert float((moved - said.value).norm()) <= certified


def test_it_is_the_constant_times_the_radius(trained):
    predictor = trained("task.aggregator=uniform")
    assert certified_sensitivity(predictor, 0.1) == pytest.approx(0.1 * (0.5 + 2.0) / 2, rel=1e-9)


def test_it_is_sharp_for_a_linear_network(trained):
    """Without hidden layers an expert is a linear map of exactly its constant, and the attack reaches it."""
    predictor = trained("model.hidden=[]", "model.memories=[2]", "model.budgets=[2.0]")
    certified = certified_sensitivity(predictor, 0.1)
    attacked = attacked_sensitivity(predictor, 0.1, torch.Generator().manual_seed(0))
    assert certified == pytest.approx(0.2)
    assert attacked == pytest.approx(certified, rel=1e-6)
