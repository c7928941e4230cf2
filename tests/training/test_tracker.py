import dataclasses
import os
import time

import pytest
import torch
from launching import curves, events, layout, table
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from lipnet.training.tracker import Tracker, flatten


def _track(directory, finished, epochs, value=0.0):
    tracker = Tracker(directory, finished)
    for epoch in epochs:
        tracker.epoch(epoch, {"train/loss": epoch + value, "validation/certified_accuracy@36_255": 0.5})
    tracker.close()


def test_table_and_curves_agree(tmp_path):
    _track(tmp_path, 0, [1, 2])
    assert table(tmp_path / "metrics.csv") == [
        {"epoch": "1", "train_loss": "1.0", "validation_certified_accuracy@36_255": "0.5"},
        {"epoch": "2", "train_loss": "2.0", "validation_certified_accuracy@36_255": "0.5"},
    ]
    assert curves(tmp_path) == {
        "train/loss": [(1, 1.0), (2, 2.0)], "validation/certified_accuracy@36_255": [(1, 0.5), (2, 0.5)],
    }  # fmt: skip


@pytest.mark.parametrize("finished", [0, 1, 2, 3])
def test_what_a_killed_attempt_wrote_after_the_checkpoint_is_dropped(tmp_path, finished):
    _track(tmp_path, 0, [1, 2, 3])
    time.sleep(1 - time.time() % 1)  # TensorBoard orders event files by the second in their names
    _track(tmp_path, finished, range(finished + 1, 5), value=0.25)
    expected = [(epoch, float(epoch)) for epoch in range(1, finished + 1)]
    expected += [(epoch, epoch + 0.25) for epoch in range(finished + 1, 5)]
    assert [(int(row["epoch"]), float(row["train_loss"])) for row in table(tmp_path / "metrics.csv")] == expected
    assert curves(tmp_path)["train/loss"] == expected


def test_rows_are_dropped_at_once(tmp_path):
    _track(tmp_path, 0, [1, 2, 3])
    Tracker(tmp_path, 1).close()
    assert [row["epoch"] for row in table(tmp_path / "metrics.csv")] == ["1"]
    Tracker(tmp_path, 0).close()
    assert not (tmp_path / "metrics.csv").exists()


def test_hyperparameters_belong_to_the_run_itself(tmp_path, make_config):
    tracker = Tracker(tmp_path)
    tracker.hyperparameters(make_config("optimizer.lr=0.5", "seed=7"), ["test/clean_accuracy"])
    tracker.close()
    assert len(list(tmp_path.rglob("events*"))) == 1
    content = events(tmp_path).PluginTagToContent("hparams")["_hparams_/session_start_info"]
    found = HParamsPluginData.FromString(content).session_start_info.hparams
    assert found["optimizer.lr"].number_value == 0.5
    assert found["seed"].number_value == 7
    assert found["conv"].string_value == "bcop"


def test_keys_that_were_typed_are_the_first_columns(tmp_path, make_config):
    tracker = Tracker(tmp_path)
    tracker.hyperparameters(make_config(), ["test/clean_accuracy"], {"optimizer.lr", "conv"})
    tracker.close()
    content = events(tmp_path).PluginTagToContent("hparams")["_hparams_/experiment"]
    found = HParamsPluginData.FromString(content).experiment
    assert {info.name for info in found.hparam_infos if info.differs} == {"optimizer.lr", "conv"}
    assert [info.name.tag for info in found.metric_infos] == ["test/clean_accuracy"]


def test_layout(tmp_path):
    tracker = Tracker(tmp_path)
    tracker.layout({"together": {"loss": ["Multiline", ["(train|validation)/loss"]]}})
    tracker.close()
    ((section,), ((title, tags),)) = layout(tmp_path)
    assert (section, title, tags) == ("together", "loss", ["(train|validation)/loss"])


def test_text_keeps_its_lines(tmp_path):
    tracker = Tracker(tmp_path)
    tracker.text("network", "one\n  two", 0)
    tracker.close()
    (point,) = events(tmp_path).Tensors("network/text_summary")
    assert point.tensor_proto.string_val[0].decode() == "    one\n      two"


@pytest.mark.parametrize("largest", [0.5, 1.0, 7.3, 1e9], ids=str)
def test_histograms_take_singular_values_of_any_size(tmp_path, largest):
    values = torch.linspace(0, largest, 5, dtype=torch.float64)
    tracker = Tracker(tmp_path)
    tracker.singular_values("layer", values, 3)
    tracker.close()
    (point,) = events(tmp_path).Histograms("singular_values/layer")
    assert point.step == 3
    assert (point.histogram_value.num, point.histogram_value.min, point.histogram_value.max) == (5, 0, largest)
    assert sum(point.histogram_value.bucket) == 5


def test_flatten(make_config):
    assert flatten({"a": {"b": 1, "c": None}, "d": [1, 2], "e": True, "f": "x", "g": 0.5}) == {
        "a.b": 1, "a.c": "None", "d": "[1, 2]", "e": True, "f": "x", "g": 0.5,
    }  # fmt: skip
    flat = flatten(dataclasses.asdict(make_config()))
    assert flat["optimizer.name"] == "adam"
    assert all(isinstance(value, (bool, int, float, str)) for value in flat.values())


def test_a_folder_whose_name_is_not_utf8_has_a_table_alone(tmp_path, caplog, make_config):
    directory = tmp_path / os.fsdecode(b"caf\xe9")
    _track(directory, 0, [1, 2])
    tracker = Tracker(directory, 2)
    tracker.hyperparameters(make_config(), ["test/clean_accuracy"])
    tracker.singular_values("1_Linear", torch.ones(3), 1)
    tracker.text("network", "layers", 0)
    tracker.close()
    assert [path.name for path in directory.iterdir()] == ["metrics.csv"]
    assert "its curves are left out" in caplog.text


@pytest.mark.parametrize(
    ("content", "epochs"),
    [(b"", []), (bytes(50), []), (b"epoch,x\n1,0\n\xff", []), (b"epoch,x\n1,0\n2,0\nx,0\n3", [1, 2]), (b"a\n1\n", [])],
)
def test_what_is_damaged_of_a_table_is_lost_alone(tmp_path, content, epochs):
    (tmp_path / "metrics.csv").write_bytes(content)
    tracker = Tracker(tmp_path, 3)
    assert [int(row["epoch"]) for row in tracker._rows] == epochs
    tracker.close()
