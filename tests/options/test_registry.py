import dataclasses
import itertools

import pytest

from lipnet.options import GROUPS, register
from lipnet.options.config import Config
from lipnet.options.facts import inputs_and_outputs
from lipnet.options.option import Named
from lipnet.options.readers import evaluation_keys, run_readers
from lipnet.options.registry import is_for, load_code, names_for

OPTIONS = [option for options in GROUPS.values() for option in options.values()]
KINDS = ("images", "pair", "problem", "stream")
KEYS = {field.name for field in dataclasses.fields(Config)}
over_options = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: f"{option.group}={option.name}")


@over_options
def test_an_option_is_registered_under_its_name(option):
    assert GROUPS[option.group][option.name] is option
    assert issubclass(option.keys, Named)
    assert dataclasses.is_dataclass(option.keys)


@over_options
def test_its_code_is_there(option):
    if (option.group, option.name) in (("loss", "kantorovich"), ("loss", "likelihood")):  # inside a task
        assert not option.code
    else:
        assert callable(option.load())


@over_options
def test_its_code_is_named_where_it_is_written(option):
    """Not through a package that gathers names: that would be one more place to edit."""
    made = option.load() if option.code else None
    if getattr(made, "__module__", "").startswith("lipnet."):
        assert option.code == f"{made.__module__}:{made.__name__}"


@over_options
def test_what_it_goes_with_is_registered(option):
    assert set(option.reads) <= (set(GROUPS) if option.group == "model" else KEYS)
    assert set(option.losses) <= set(GROUPS["loss"])
    assert option.data in ("", *KINDS)


@pytest.mark.parametrize("option", GROUPS["task"].values(), ids=lambda option: option.name)
def test_a_task_says_all_that_is_asked_of_it(option):
    assert callable(load_code(option.numbers))
    assert callable(load_code(option.network))
    assert option.trains == (option.name not in run_readers())
    assert bool(option.data) == option.trains
    assert set(option.evaluation) <= set(evaluation_keys())
    assert {key.partition(".")[0] for key in option.evaluation} <= {*KEYS}


def test_a_data_set_is_of_one_kind():
    images, *others = (names_for("dataset", data) for data in KINDS)
    assert [*images, *itertools.chain(*others)] == list(GROUPS["dataset"])
    assert all(bool(GROUPS["dataset"][name].shape) != bool(GROUPS["dataset"][name].found) for name in images)
    assert is_for("images", "mnist")
    assert not is_for("images", "cone")
    assert not is_for("pair", "nothing of this name")


@pytest.mark.parametrize(
    ("group", "name", "message"),
    [
        (
            "activation",
            "maxmin",
            "activation=maxmin is registered already, by lipnet",
        ),
        ("activations", "mine", "no group 'activations': options belong to model, conv, "),
    ],
)
def test_what_cannot_be_registered(group, name, message):
    with pytest.raises(ValueError, match=message):
        register(group, name)


def test_an_option_from_outside_is_one_of_its_group(monkeypatch):
    monkeypatch.setitem(GROUPS, "activation", dict(GROUPS["activation"]))
    register("activation", "mine", code="torch.nn:Tanh", groups=lambda option: 3)
    option = GROUPS["activation"]["mine"]
    assert option.load().__name__ == "Tanh"
    assert option.groups(Named("mine")) == 3


def test_a_set_of_images_from_outside_is_a_source_of_pairs(monkeypatch, make_config):
    """It is registered after the pairs were, as a user's own is."""
    config = make_config("task=wasserstein", "dataset=two_images").dataset
    check = {field.name: field.metadata["check"] for field in dataclasses.fields(config)}["source"]
    with pytest.raises(ValueError, match=r"not one of digits, .* it must be a set of labelled images"):
        check("mine")
    monkeypatch.setitem(GROUPS, "dataset", dict(GROUPS["dataset"]))
    register("dataset", "mine", data="images", shape=(3, 5, 7), classes=4)
    assert check("mine") == "mine"
    assert inputs_and_outputs(dataclasses.replace(config, source="mine")) == ((3, 5, 7), 1)
