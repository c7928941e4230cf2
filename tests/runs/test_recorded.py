import dataclasses

import pytest

from lipnet.errors import UserError
from lipnet.runs.recorded import differences, other_results, recorded_config, saved_config


def test_differences_are_leaves():
    saved = {"a": 1, "b": {"c": [1], "d": 2}, "e": {"f": 0}}
    given = {"a": 1, "b": {"c": [2], "d": 2}, "g": None, "e": 3}
    assert list(differences(saved, given)) == [("b.c", [1], [2]), ("e", {"f": 0}, 3)]
    assert list(differences({}, {"x": {"y": 1}})) == [("x", None, {"y": 1})]


OTHERS = {  # overrides of a second configuration -> what is said of it
    "the same": ((), ""),
    "nothing that changes a result": (("progress=off", "bell=true"), ""),
    "a key": (("epochs=7", "seed=3"), "seed=0, not 3; epochs=5, not 7"),
    "another option": (("conv=rko",), "conv=bcop, not rko"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_differs_is_named(make_config, case):
    overrides, expected = OTHERS[case]
    assert other_results(make_config("epochs=5"), make_config("epochs=5", *overrides)) == expected


def test_another_data_set_is_named_first(make_config):
    found = other_results(make_config(), make_config("seed=3", "dataset=mnist"))
    assert found.startswith("dataset=digits, not mnist; ")
    assert "seed=0, not 3" in found


def test_one_directory_has_many_names(make_config, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "run")
    saved, given = (make_config("task=export", f"run={tmp_path / name}") for name in ("run", "link"))
    assert other_results(saved, given) == ""
    assert "run=" in other_results(saved, dataclasses.replace(given, run=str(tmp_path / "other")))


def test_a_saved_configuration_is_read_back_and_holds_values_alone(make_config, tmp_path):
    config = make_config("epochs=7", "conv=rko")
    content = dataclasses.asdict(config)
    assert saved_config({"config": content}) == config
    del content["bell"]  # a key that came later
    assert saved_config({"config": content}) == config
    with pytest.raises(UserError, match="a saved configuration holds values, no interpolations"):
        saved_config({"config": content | {"device": "${oc.env:HOME}"}})
    with pytest.raises(UserError):
        recorded_config(tmp_path)
