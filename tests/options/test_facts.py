from types import SimpleNamespace

import pytest

from lipnet.options.facts import inputs_and_outputs, trained_on

INPUTS = {
    "digits": ({}, ((1, 8, 8), 10)), "cifar10": ({}, ((3, 32, 32), 10)), "cone": ({"dimension": 3}, ((3,), 1)),
    "two_images": ({"source": "mnist"}, ((1, 28, 28), 1)),
}  # fmt: skip
SAVED = {
    "a GAN": ("task: {name: gan}\ndataset: {name: mnist}", "mnist"),
    "a classifier": ("task: {name: robustness}\ndataset: {name: mnist}", None),
    "no task": ("dataset: {name: mnist}", None), "a list": ("[1]", None), "half a file": ("task: {name: ", None),
    "bytes": ("\x00", None),
}  # fmt: skip


@pytest.mark.parametrize("name", INPUTS)
def test_what_a_network_reads_and_gives(name):
    options, expected = INPUTS[name]
    assert inputs_and_outputs(SimpleNamespace(name=name, **options)) == expected


@pytest.mark.parametrize("saved", SAVED)
def test_the_images_of_a_generator(tmp_path, saved):
    text, expected = SAVED[saved]
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text(text)
    assert trained_on(str(tmp_path)) == expected


@pytest.mark.parametrize("run", [None, "nowhere"])
def test_there_are_none_without_a_run(run):
    assert trained_on(run) is None
