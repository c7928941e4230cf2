import itertools
import math
import sys
from random import Random

import pytest

from lipnet.errors import UserError

pytest.importorskip("river")
from river import compose, conf, evaluate, metrics, preprocessing

from lipnet.tasks.online.estimator import LipschitzRegressor

SMALL = {"memories": (1, 2), "budgets": (1.0, 2.0), "hidden": (8,), "warmup": 5, "updates": 1.0, "window": 100}
STREAM = [({"time": float(place)}, math.sin(place / 2)) for place in range(120)]


def test_it_learns_in_progressive_validation():
    stream = [({}, math.sin(place / 2)) for place in range(400)]
    model, last = LipschitzRegressor(**SMALL | {"hidden": (16, 16)}, lr=0.01), metrics.MAE()
    found = evaluate.progressive_val_score(stream, model, metrics.MAE())
    for (_, before), (_, now) in itertools.pairwise(stream):
        last.update(now, before)
    assert found.get() < 0.8 * last.get()
    assert model.certified_sensitivity(0.1) <= 0.1 * 2.0 * (1 + 1e-9)


def test_it_stands_in_pipelines_and_gets_intervals():
    pipeline = compose.Pipeline(preprocessing.StandardScaler(), LipschitzRegressor(**SMALL))
    wrapped = conf.RegressionJackknife(LipschitzRegressor(**SMALL))
    for x, y in STREAM[:60]:
        pipeline.learn_one(x, y)
        wrapped.learn_one(x, y)
    assert math.isfinite(pipeline.predict_one(STREAM[60][0]))
    interval = wrapped.predict_one(STREAM[60][0], with_interval=True)
    assert interval.lower < interval.upper


def test_a_clone_begins_anew_and_alike():
    first = LipschitzRegressor(**SMALL, seed=3)
    for x, y in STREAM[:30]:
        first.learn_one(x, y)
    second = first.clone()
    assert second.predict_one({}) == 0.0
    for x, y in STREAM[:30]:
        second.learn_one(x, y)
    assert second.predict_one({}) == first.predict_one({})


def test_a_quantile_is_predicted():
    high, low = (LipschitzRegressor(**SMALL, loss="pinball", quantile=level, lr=0.01) for level in (0.95, 0.05))
    random = Random(0)
    for _ in range(300):
        value = random.uniform(-1, 1)
        for model in (high, low):
            model.learn_one({}, value)
    assert high.predict_one({}) > low.predict_one({}) + 0.5


@pytest.mark.parametrize(("arguments", "said"), [({"rate": 0}, "task.rate=0"), ({"warmup": 1}, "dataset.warmup=1")])
def test_what_no_run_could_have_is_refused(arguments, said):
    with pytest.raises(UserError, match=said):
        LipschitzRegressor(**SMALL | arguments)


def test_without_river_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "river.base", None)
    monkeypatch.delitem(sys.modules, "lipnet.tasks.online.estimator")
    with pytest.raises(UserError, match=r"needs river, which is not installed; pip install 'lipnet\[river\]'"):
        __import__("lipnet.tasks.online.estimator")
