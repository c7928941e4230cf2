"""Every stream that is registered: one row of STREAMS, and of BAD for what it refuses."""

import itertools
import math

import pytest
import torch

from lipnet.data.streams import Goal, load_source
from lipnet.data.streams.noise import Gaussian, Uniform
from lipnet.errors import UserError
from lipnet.options.registry import names_for
from lipnet.randomness import stream
from lipnet.tasks.online.predictor import goal_of, regression_loss

# Stream -> options beside its default ones, and the number of its observations; None where it has no end.
STREAMS = {
    "autoregression": ((), None),
    "setar": (("noise=0.2",), None),
    "logistic_map": (("noise=0.02",), None),
    "hidden_markov": (("stay=0.9",), None),
    "change_point": (("change=50",), None),
    "series": (("file={file}",), 40),
    "stdin": ((), None),
    "sunspots": ((), 309),
    "airline_passengers": ((), 144),
    "water_flow": ((), 1268),
}
PROCESSES = ("autoregression", "setar", "logistic_map", "hidden_markov", "change_point")
PACKAGES = {"sunspots": "statsmodels", "airline_passengers": "river", "water_flow": "river"}
LOSSES = {"squared": (), "absolute": (), "pinball": ("loss.quantile=0.9",), "pinball low": ("loss.quantile=0.2",)}


@pytest.fixture
def load(make_config, tmp_path):
    """``load(name, loss) -> (configuration, source)``."""
    file = tmp_path / "series.csv"
    file.write_text("value\n" + "\n".join(map(str, range(40))))

    def make(name, loss="squared", seed=0):
        if name in PACKAGES:
            pytest.importorskip(PACKAGES[name])
        options = [f"dataset.{text.format(file=file)}" for text in STREAMS[name][0]]
        overrides = [*options, f"loss={loss.split()[0]}", *LOSSES[loss]]
        config = make_config("task=online", f"dataset={name}", *overrides)
        return config, load_source(config.dataset, goal_of(config), seed)

    return make


def test_every_stream_is_tested():
    assert set(names_for("dataset", "stream")) == set(STREAMS)


@pytest.mark.parametrize("name", [name for name in STREAMS if name != "stdin"])
def test_a_stream_comes_again_as_it_was(name, load):
    _, source = load(name)
    count = STREAMS[name][1]
    first, second = (list(itertools.islice(source.observations(), 1500)) for _ in range(2))
    assert first == second
    assert len(first) == (count or 1500)
    assert all(len(observation.outcome) == source.dimension for observation in first)
    assert all(math.isfinite(value) for observation in first for value in observation.outcome)
    assert all((observation.best is None) == (source.optimal_loss is None) for observation in first)


@pytest.mark.parametrize("name", PROCESSES)
def test_another_seed_is_another_process(name, load):
    first, second = (next(load(name, seed=seed)[1].observations()) for seed in (0, 1))
    assert first != second


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", PROCESSES)
def test_the_optimal_loss_is_that_of_the_best_prediction(name, loss, load):
    """And a prediction that is a little off is worse."""
    config, source = load(name, loss)
    drawn = list(itertools.islice(source.observations(), 8_000))
    outcomes, best = (torch.tensor([getattr(seen, what) for seen in drawn]).double() for what in ("outcome", "best"))
    charged = regression_loss(config)(best, outcomes)
    error = float(charged.std()) / math.sqrt(len(charged))
    assert float(charged.mean()) == pytest.approx(source.optimal_loss, abs=5 * error)
    away = 0.2 * math.sqrt(float((outcomes - best).var()))
    for shift in (-away, away):
        assert float(regression_loss(config)(best + shift, outcomes).mean()) > float(charged.mean())


def test_the_process_changes_once(load):
    """The slope of the next value in the sine of the last turns round at the named round, and not before."""
    config, source = load("change_point")
    last = config.dataset.warmup + config.dataset.change
    seen = [observation.best[0] for observation in itertools.islice(source.observations(), last + 400)]
    outcomes = [observation.outcome[0] for observation in itertools.islice(source.observations(), last + 400)]
    for start, end, sign in ((2, last, 1), (last, last + 400, -1)):
        for place in range(start, end):
            expected = sign * 0.72 * math.sin(2 * outcomes[place - 1]) + 0.3 * outcomes[place - 2]
            assert seen[place] == pytest.approx(expected)


@pytest.mark.parametrize("noise", [Uniform(0.5), Gaussian(0.3)])
@pytest.mark.parametrize("goal", [Goal(), Goal(0.5, 2.0), Goal(0.9), Goal(0.2)])
def test_noise_is_what_it_says(noise, goal):
    drawn = torch.tensor(list(itertools.islice(noise.numbers(lambda block: stream(0, "test", block)), 100_000)))
    best = noise.best(goal)
    errors = drawn - best
    if goal.level is None:
        losses, best_of_drawn = errors.square(), float(drawn.mean())
    else:
        losses = goal.factor * torch.maximum(goal.level * errors, (goal.level - 1) * errors)
        best_of_drawn = float(drawn.quantile(goal.level))
    assert best == pytest.approx(best_of_drawn, abs=0.01)
    assert noise.least_loss(goal) == pytest.approx(float(losses.mean()), rel=0.02)


# What is in a file -> options, and what is said of it.
BAD = {
    "no such file": (None, (), "cannot be read (No such file or directory)"),
    "no such column": ("time,value\n1,2\n", ("column=valeu",), "no such column; did you mean value? it has time, "),
    "a gap": ("value\n1\n2\n\"\"\n4\n", (), "line 4 has '' for value, no finite number, and 1 of 4 lines are so"),
    "an infinity": ("1\ninf\n3\n", (), "line 2 has 'inf' for 0, no finite number"),
    "a text": ("value\n1\nx\ny\n", (), "line 3 has 'x' for value, no finite number, and 2 of 3 lines are so"),
    "a short line": ("a,b\n1,2\n3\n", (), "line 3 has 1 cells"),
    "too few": ("value\n1\n2\n", (), "holds 2 observations, and dataset.warmup=20 of them come before"),
    "nothing": ("", (), "holds 0 observations"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_series_that_cannot_be_predicted_is_refused(what, make_config, tmp_path):
    content, options, said = BAD[what]
    file = tmp_path / "series.csv"
    if content is not None:
        file.write_text(content)
    overrides = [f"dataset.{text}" for text in (f"file={file}", *options)]
    config = make_config("task=online", "dataset=series", *overrides)
    with pytest.raises(UserError) as refused:
        load_source(config.dataset, Goal(), 0)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("content", "column", "first"),
    [
        ("a,b\n1,2\n3,4\n5,6\n", None, (1.0, 2.0)),
        ("a,b\n1,2\n3,4\n5,6\n", "b", (2.0,)),
        ("a,b\n1,2\n3,4\n5,6\n", "b, a", (2.0, 1.0)),
        ("1,2\n3,4\n5,6\n", "1", (2.0,)),
        ("\ufeffa\n1\n\n2\n3\n", None, (1.0,)),
    ],
)  # fmt: skip
def test_columns_of_a_series(content, column, first, make_config, tmp_path):
    file = tmp_path / "series.csv"
    file.write_text(content)
    chosen = [] if column is None else [f"dataset.column='{column}'"]
    overrides = ["dataset.warmup=2", "model.memories=[1]", f"dataset.file={file}"]
    config = make_config("task=online", "dataset=series", *overrides, *chosen)
    source = load_source(config.dataset, Goal(), 0)
    seen = [observation.outcome for observation in source.observations()]
    assert (seen[0], len(seen), source.dimension) == (first, 3, len(first))


def test_a_package_that_is_missing_is_named(monkeypatch, make_config):
    monkeypatch.setitem(__import__("sys").modules, "statsmodels.datasets.sunspots", None)
    config = make_config("task=online", "dataset=sunspots")
    with pytest.raises(UserError, match=r"dataset=sunspots: needs statsmodels.*pip install 'lipnet\[statsmodels\]'"):
        load_source(config.dataset, Goal(), 0)
