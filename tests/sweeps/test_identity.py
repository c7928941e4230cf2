import pytest

from lipnet.sweeps.identity import NO_RESULT_KEYS, digest


def test_a_digest_does_not_depend_on_how_a_value_was_typed(make_config):
    assert digest(make_config("optimizer.lr=1e-2")) == digest(make_config("optimizer.lr=0.01"))
    assert digest(make_config()) == digest(make_config("conv=bcop", "seed=0"))


@pytest.mark.parametrize("override", ["seed=1", "conv=rko", "optimizer.lr=0.5", "attack.steps=3", "eval_radii=[0.50]"])
def test_a_digest_tells_results_apart(make_config, override):
    assert digest(make_config(override)) != digest(make_config())


def test_a_digest_leaves_out_what_changes_no_result(make_config):
    others = {
        "resume": "x", "rerun": "x", "progress": "off", "device": "cpu", "threads": "1", "dataset.root": "x",
        "dataset.download": "false", "objective": "clean_accuracy", "fail_fast": "true",
        "profile": "true", "bell": "true",
    }  # fmt: skip
    assert set(others) == set(NO_RESULT_KEYS)
    overrides = [f"{key}={value}" for key, value in others.items()]
    assert digest(make_config("dataset=mnist", *overrides)) == digest(make_config("dataset=mnist"))
