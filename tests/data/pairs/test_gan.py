from types import SimpleNamespace

import pytest
import torch
from launching import launch, results

from lipnet.data.images import load_files
from lipnet.data.pairs import load_pair
from lipnet.randomness import stream
from lipnet.runs.load import load_run

GAN = (
    "task=gan", "dataset.limit_train=64", "dataset.limit_test=16", "batch_size=32", "epochs=1", "model=fc",
    "model.hidden=[8]", "generator.hidden=[16]", "generator.channels=[4,4]", "progress=off", "threads=1", "device=cpu",
)  # fmt: skip
PAIR = ("task=wasserstein", "dataset=gan", "dataset.selection_samples=100", "dataset.evaluation_samples=300")
SHORT = (
    "model=fc", "model.hidden=[8]", "epochs=1", "dataset.steps_per_epoch=2", "batch_size=16", "progress=off",
    "threads=1", "device=cpu", "estimate.transport_samples=50",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("gan") / "gan"
    outcome = launch(*GAN, f"hydra.run.dir={directory}")
    assert outcome.code == 0, outcome.output
    return directory


def rows(images):
    return {bytes((16 * image).round().to(torch.uint8).flatten().tolist()) for image in images}


def test_the_real_side_is_dealt_out(trained, make_config):
    """Evaluated on test images; selected and trained on different training images."""
    option = make_config(*PAIR, f"run={trained}").dataset
    assert option.source == "digits"
    pair = load_pair(option)
    train, test = (rows(split.pixels()) for split in load_files(SimpleNamespace(name="digits")))
    parts = {part: pair.samples(part, count, 0)[1] for part, count in
             (("training", 1000), ("selection", 100), ("evaluation", 300))}  # fmt: skip
    assert rows(parts["evaluation"]) <= test
    assert rows(parts["selection"]) <= train
    assert rows(parts["training"]) <= train
    assert not rows(parts["selection"]) & rows(parts["training"])


def test_generated_images_are_the_generator_s_and_the_same_for_every_critic(trained, make_config):
    pair = load_pair(make_config(*PAIR, f"run={trained}").dataset)
    images, _ = pair.samples("evaluation", 10, 3)
    assert (images.dtype, images.shape) == (torch.float64, (10, 1, 8, 8))
    again = load_pair(make_config(*PAIR, f"run={trained}").dataset).samples("evaluation", 10, 3)[0]
    assert torch.equal(images, again)
    latent = torch.rand(10, 62, generator=stream(3, "samples", "evaluation"))
    with torch.no_grad():
        torch.testing.assert_close(images.float(), load_run(trained).model.generator(latent))


def test_a_critic_is_trained_evaluated_again_and_loaded_without_the_gan(trained, tmp_path):
    arguments = (*PAIR, *SHORT, f"run={trained}", f"hydra.run.dir={tmp_path / 'critic'}")
    outcome = launch(*arguments)
    assert outcome.code == 0, outcome.output
    found = results(tmp_path / "critic")["wasserstein"]
    assert found["estimate_on_sample"] <= found["exact_on_sample"]
    assert found["units"] == "L2 distance between images with pixels in [0, 1]"
    outcome = launch("task=evaluate", f"run={tmp_path / 'critic'}", f"hydra.run.dir={tmp_path / 'again'}")
    assert outcome.code == 0, outcome.output
    assert results(tmp_path / "again")["wasserstein"] == found
    trained.rename(tmp_path / "elsewhere")
    try:
        assert load_run(tmp_path / "critic").config.dataset.run == str(trained)
    finally:
        (tmp_path / "elsewhere").rename(trained)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("run={gan}", "dataset.source=mnist"), "was trained on digits"),
        (("run={gan}", "dataset.evaluation_samples=400"), "digits has 360 test images; use fewer"),
        (("run={gan}", "dataset.selection_samples=1437"), "digits has 1,437 training images, and some must be left"),
        (("run={gan}-not",), "not the directory of a run of task=gan"),
        (("run={gan}/checkpoints",), "not the directory of a run of task=gan"),
        (("run={untrained}",), "best.pt: this checkpoint does not exist"),
    ],
    ids=lambda value: str(value[-1]),
)
def test_what_is_wrong_is_said_before_training(trained, tmp_path, overrides, words):
    untrained = tmp_path / "untrained" / ".hydra"
    untrained.mkdir(parents=True)
    (untrained / "config.yaml").write_text((trained / ".hydra" / "config.yaml").read_text())
    filled = [text.format(gan=trained, untrained=untrained.parent) for text in overrides]
    kept = [text for text in PAIR if text.partition("=")[0] not in {part.partition("=")[0] for part in filled}]
    outcome = launch(*kept, *SHORT, *filled, f"hydra.run.dir={tmp_path / 'run'}")
    assert outcome.code == 1
    assert words in " ".join(outcome.output.split())
    assert "Traceback" not in outcome.output
    assert not (tmp_path / "run" / "checkpoints").exists()
