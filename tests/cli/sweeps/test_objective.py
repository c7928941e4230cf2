import pytest
from launching import GAN, PAIR, TINY, finished_run, launch, results

from lipnet.cli.sweeps.objective import _numbers, no_such_number, objective, possible
from lipnet.errors import UserError

RESULTS = {
    "task": "robustness", "clean_accuracy": 0.9, "epochs": 3, "flag": True,
    "certified_accuracy": {"1.58": 0.5, "36/255": 0.7}, "attacked_accuracy": {"pgd": {"0.3": 0.6}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("clean_accuracy", 0.9), ("epochs", 3.0), ("certified_accuracy.1.58", 0.5), ("certified_accuracy.36/255", 0.7),
        ("attacked_accuracy.pgd.0.3", 0.6),
    ],
)  # fmt: skip
def test_the_number_under_a_key(key, value):
    found = objective(RESULTS, key)
    assert found == value
    assert isinstance(found, float)


@pytest.mark.parametrize("key", ["task", "flag", "certified_accuracy", "certified_accuracy.2", "clean"])
def test_what_is_no_number_is_refused_with_the_names_of_those_there_are(key):
    with pytest.raises(UserError) as error:
        objective(RESULTS, key)
    assert str(error.value) == (
        f"objective={key}: no such number in results.json; there are clean_accuracy, epochs, certified_accuracy.1.58, "
        "certified_accuracy.36/255, attacked_accuracy.pgd.0.3."
    )


# Of a kind that depends on what is found, or that the run's data have not.
NOT_FOUND = {
    "robustness": {"foolbox_examples"},
    "wasserstein": {  # the second distribution of a cone is a point, where no potential has a gradient
        "wasserstein.true_value_error",
        "wasserstein.published",
        "wasserstein.gradient.second.cosine",
        "wasserstein.gradient.second.squared_error",
    },
    "gan": set(),
    "evaluate": {"foolbox_examples"},
    "export": set(),
}


@pytest.mark.parametrize("task", NOT_FOUND)
def test_every_number_of_a_run_can_be_an_objective(tmp_path, tmp_path_factory, make_config, task):
    """What ``results.json`` holds is what was said to be possible before."""
    reads = ("task=evaluate", "task=export")
    run = finished_run(tmp_path_factory) if task in ("robustness", "evaluate", "export") else tmp_path
    overrides = {"wasserstein": PAIR, "gan": GAN}.get(task, TINY)
    config = make_config(*overrides)
    if f"task={task}" in reads:
        extra = ["task.onnx=false"] if task == "export" else []
        outcome = launch(f"task={task}", f"run={run}", *extra, f"hydra.run.dir={tmp_path}")
        config = make_config(*overrides, f"task={task}", f"run={run}")
    elif task != "robustness":
        outcome = launch(*overrides, f"hydra.run.dir={tmp_path}")
    if task != "robustness":
        assert outcome.code == 0, outcome.output
    found = set(dict(_numbers(results(run if task == "robustness" else tmp_path))))
    assert found <= set(possible(config))
    assert set(possible(config)) - found == NOT_FOUND[task]


def test_a_near_name_is_suggested(make_config):
    assert no_such_number(make_config("objective=clean_accuracy")) is None
    assert no_such_number(make_config()) is None
    message = no_such_number(make_config("objective=attacked_acuracy.pgd.0.3"))
    assert message.startswith(
        "objective=attacked_acuracy.pgd.0.3: no number that results.json will hold; did you mean "
    )
    assert "mean attacked_accuracy.pgd.0.3? there will be clean_accuracy, " in message
    assert message.endswith("validation.certified_accuracy.RADIUS, with RADIUS one of 0.1, 0.3, 0.5, 1.0.")
