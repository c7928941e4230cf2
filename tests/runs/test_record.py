import json

from lipnet.runs.record import write_results


def test_keys_without_a_value_are_left_out(tmp_path):
    write_results(tmp_path, {"a": 0, "b": None, "c": False, "d": {"36/255": 0.0}})
    assert json.loads((tmp_path / "results.json").read_text()) == {"a": 0, "c": False, "d": {"36/255": 0.0}}


def test_results_replace_older_ones(tmp_path):
    write_results(tmp_path, {"status": "running", "old": 1})
    write_results(tmp_path, {"status": "completed"})
    assert json.loads((tmp_path / "results.json").read_text()) == {"status": "completed"}
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
