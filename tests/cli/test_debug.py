import dataclasses

import pytest
from launching import TINY, launch, results, table

from lipnet.cli import debug
from lipnet.cli.debug import apply_debug
from lipnet.errors import UserError


@pytest.mark.parametrize(
    "overrides", [["dataset=mnist"], ["task=wasserstein", "dataset=cone"], ["task=bayes", "dataset=quartic"]], ids=str
)
@pytest.mark.parametrize("how", ["fast", "overfit"])
def test_what_is_not_made_small_stays(make_config, overrides, how):
    if how == "overfit" and overrides != ["dataset=mnist"]:
        with pytest.raises(UserError, match=r"debug=overfit: (needs labels|a posterior is sampled)"):
            make_config(*overrides, f"debug={how}")
        return
    before = make_config(*overrides, f"debug={how}", "optimizer.lr=0.5", "epochs=7")
    small = apply_debug(before)
    assert apply_debug(small) == small
    may_change = {"epochs", "attack", "dataset", "estimate", "singular_values_every"}
    changed = {
        field.name for field in dataclasses.fields(before) if getattr(before, field.name) != getattr(small, field.name)
    }
    assert ("inference" if "task=bayes" in overrides else "dataset") in changed
    assert changed <= may_change | ({"inference", "proof"} if "task=bayes" in overrides else set())


def test_without_debug_nothing_changes(make_config):
    config = make_config()
    assert apply_debug(config) is config


def test_fast_takes_one_batch_of_everything(tmp_path):
    outcome = launch(*TINY, "debug=fast", "profile=true", "bell=true", f"hydra.run.dir={tmp_path / 'run'}")
    assert outcome.code == 0, outcome.output
    (said,) = [line for line in outcome.output.splitlines() if "debug=fast: " in line]
    assert {"epochs=1", "dataset.limit_train=16", "dataset.validation=0.01"} <= set(said.split("fast: ")[1].split(", "))
    assert "too few steps for a trace (1; it begins after 3)" in outcome.output
    assert outcome.output.endswith("\a")
    found = results(tmp_path / "run")
    assert (found["status"], found["epochs"], found["test_examples"]) == ("completed", 1, 16)
    assert not (tmp_path / "run" / "profile.json.gz").exists()


def test_overfit_fits_its_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(debug, "_OVERFIT_EPOCHS", 25)
    outcome = launch(*TINY, "debug=overfit", "model.hidden=[32]", f"hydra.run.dir={tmp_path / 'run'}")
    assert outcome.code == 0, outcome.output
    rows = table(tmp_path / "run" / "metrics.csv")
    assert len(rows) == 25
    assert float(rows[0]["train_clean_accuracy"]) < float(rows[-1]["train_clean_accuracy"]) == 1
    assert not any(name.startswith("validation") for name in rows[0])
