import copy
import os
import shutil

import pytest
import yaml

from lipnet.options.defaults import completed
from lipnet.results.collect import find_runs
from lipnet.results.groups import group_runs, varying_keys, varying_labels
from lipnet.results.measures import Measure, statistic
from lipnet.results.notes import notes


def groups_in(folder):
    return group_runs([run for run in find_runs([folder]) if not run.problem])


def test_mean_and_population_deviation():
    assert statistic([1.0, 2.0, 6.0]) == (3.0, pytest.approx((14 / 3) ** 0.5), 3)
    assert statistic([0.5]) == (0.5, 0.0, 1)


def test_seeds_of_one_configuration_are_one_group(make_run, tmp_path):
    for seed, clean in enumerate((0.8, 0.9, 1.0)):
        make_run(f"{seed}", seed=seed, clean_accuracy=clean)
    (group,) = groups_in(tmp_path)
    found = group.statistics()[Measure("clean_accuracy")]
    assert found == (pytest.approx(0.9), pytest.approx((0.02 / 3) ** 0.5), 3)


@pytest.mark.parametrize(
    "changes",
    [{"optimizer.lr": 0.002}, {"epochs": 11}, {"attack.steps": 200}, {"dataset.limit_train": 100}, {"new": 1},
     {"loss.epsilon": 0.3}, {"task.name": "evaluate"}, {"eval_radii": [0.3]}],
    ids=str,
)  # fmt: skip
def test_whatever_differs_is_another_group_and_is_shown(make_run, tmp_path, changes):
    make_run("a")
    make_run("b", changes, seed=1)
    groups = groups_in(tmp_path)
    assert [len(group.runs) for group in groups] == [1, 1]
    ((key, _),) = changes.items()
    assert varying_keys(groups) == [key.removesuffix(".name")]


@pytest.mark.parametrize(
    "changes",
    [{"dataset.root": "/elsewhere"}, {"device": "cuda"}, {"resume": "outputs/1"}, {"loss.epsilon": 1.5},
     {"eval_radii": [0.3, 1.58]}, {"epochs": 10.0}],
    ids=str,
)  # fmt: skip
def test_paths_and_other_spellings_are_no_difference(make_run, tmp_path, changes):
    make_run("a")
    make_run("b", changes, seed=1)
    assert len(groups_in(tmp_path)) == 1


def test_keys_that_come_with_an_option_are_not_shown(make_run, tmp_path):
    make_run("a")
    make_run("b", {"conv": {"name": "svcm", "every": 100}, "linear": {"name": "spectral", "iterations": 1}})
    assert varying_keys(groups_in(tmp_path)) == ["linear"]


# A model, and the layers that it is not built of: no row and no column tells them apart.
_LAYERS = ("conv", "linear", "activation")
UNREAD = {"fc": ("conv",), "cones": _LAYERS, "gan_critic": _LAYERS, "shufflenet": _LAYERS}


@pytest.mark.parametrize("model", UNREAD)
def test_what_a_model_does_not_read_is_no_difference(make_run, tmp_path, model):
    others = {"conv": "rko", "linear": "spectral", "activation": "relu"}
    make_run("a", {"model.name": model})
    make_run("b", {"model.name": model, **{group: {"name": others[group]} for group in UNREAD[model]}}, seed=1)
    assert len(groups_in(tmp_path)) == 1


@pytest.mark.parametrize("model", UNREAD)
def test_what_a_model_does_not_read_tells_it_from_no_other(make_run, tmp_path, model):
    make_run("a")
    make_run("b", {"model.name": model, "linear.name": "bjorck" if model == "fc" else "plain", "conv.name": "plain"})
    make_run("c", {"model.name": model, "activation": {"name": "groupsort", "group_size": 4}}, seed=1)
    assert varying_keys(groups_in(tmp_path)) == (["activation"] if model == "fc" else [])


@pytest.mark.parametrize(("model", "linear"), [("cones", "–"), ("fc", "bjorck")])
def test_a_key_that_only_other_rows_read_has_no_value(make_run, tmp_path, model, linear):
    for place, option in enumerate(("bjorck", "spectral")):
        make_run(option, {"linear": {"name": option, "iterations": 20}}, seed=place)
    make_run("other", {"model.name": model, "model.channels": [32, 64]})
    groups = groups_in(tmp_path)
    assert varying_keys(groups) == ["linear"]
    assert [varying_labels(group, ["linear"])["linear"] for group in groups].count("–") == (linear == "–")
    (other,) = (group for group in groups if group.config["model"] == model)
    assert varying_labels(other, ["linear"]) == {"linear": linear}


def test_of_repeated_seeds_the_last_one_stands_and_it_is_said(make_run, tmp_path):
    for name, clean, age in (("new", 0.9, 0), ("old", 0.1, 100)):
        path = make_run(name, clean_accuracy=clean) / "results.json"
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
    (group,) = groups_in(tmp_path)
    assert group.statistics()[Measure("clean_accuracy")] == (0.9, 0.0, 1)
    (said,) = (note for note in notes([group], []) if "left out" in note)
    assert str(tmp_path / "old") in said


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ({"git_commit": "b" * 40}, "differ in git_commit: aaaaaaaaaa, bbbbbbbbbb"),
        ({"device": "cuda"}, "differ in device: cpu, cuda"),
        ({"versions": {"torch": "2.7.0"}}, "differ in torch: 2.6.0, 2.7.0"),
        ({"attacked_examples": 50}, "differ in attacked_examples: 100, 50"),
    ],
)
def test_a_row_says_what_it_mixes(make_run, tmp_path, results, said):
    make_run("a")
    make_run("b", seed=1, **results)
    (group,) = groups_in(tmp_path)
    assert any(said in note for note in notes([group], []))


def test_fewer_attacked_examples_are_said(make_run, tmp_path):
    make_run("a", attacked_examples=10)
    assert any("attacks on the first 10 test examples only" in note for note in notes(groups_in(tmp_path), []))


def test_a_configuration_known_in_part_is_a_group_of_its_own(make_run, tmp_path):
    make_run("a")
    make_run("c", {"epochs": 20})
    shutil.rmtree(make_run("b", seed=1) / ".hydra")
    groups = groups_in(tmp_path)
    assert len(groups) == 3
    assert varying_keys(groups) == ["epochs"]
    (told,) = (group for group in groups if not group.runs[0].composed)
    assert varying_labels(told, ["epochs", "attack.steps"]) == {"epochs": "10", "attack.steps": "?"}
    assert any("config.yaml is missing or damaged" in note for note in notes(groups, []))


# Runs made before a key existed: shapes of the same configuration as older versions wrote it.


def written(make_run, name, content, seed):
    directory = make_run(name, seed=seed)
    (directory / ".hydra" / "config.yaml").write_text(yaml.safe_dump(content | {"seed": seed}, sort_keys=False))


def without(content, key):
    content = copy.deepcopy(content)
    group, _, leaf = key.rpartition(".")
    del (content[group] if group else content)[leaf]
    return content


@pytest.mark.parametrize(
    "key",
    ["amp", "compile", "attack", "attack.restarts", "model.head", "scheduler", "activation", "loss.epsilon", "bell",
     "eval_radii", "dataset.epsilon", "certify_dtype"],
)  # fmt: skip
def test_a_run_from_before_a_key_is_in_the_row_of_its_default(make_run, tmp_path, key):
    whole = completed({"dataset": {"name": "mnist"}, "epochs": 3})
    written(make_run, "new", whole, 0)
    written(make_run, "old", without(whole, key), 1)
    (group,) = groups_in(tmp_path)
    assert len(group.runs) == 2
    assert not any("differ" in note for note in notes([group], []))


@pytest.mark.parametrize(
    ("key", "value"),
    [("amp", "bf16"), ("attack.restarts", 9), ("model.head", "normalized"), ("loss.epsilon", 0.3), ("eval_radii", [2])],
)
def test_a_run_from_before_a_key_is_not_in_the_row_of_another_value(make_run, tmp_path, key, value):
    whole = completed({"dataset": {"name": "mnist"}, "epochs": 3})
    changed = copy.deepcopy(whole)
    group, _, leaf = key.rpartition(".")
    (changed[group] if group else changed)[leaf] = value
    written(make_run, "new", changed, 0)
    written(make_run, "old", without(whole, key), 1)
    groups = groups_in(tmp_path)
    assert [len(group.runs) for group in groups] == [1, 1]
    assert varying_keys(groups) == [key]


def test_a_run_without_attacks_is_not_said_to_have_few(make_run, tmp_path):
    make_run("a", attacked_examples=None, attacked_accuracy=None)
    assert not any("attacks on the first" in note for note in notes(groups_in(tmp_path), []))
