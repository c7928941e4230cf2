"""One file of a user's own brings an option of every group, an attack and a task."""

import json

import pytest
from launching import TINY, launch
from own_modules import CLAMP

EVERYTHING = (
    CLAMP
    + """
import torch.nn.functional as functional
from lipnet.attacks import fgsm
from lipnet.data.images import Split
from lipnet.data.pairs import Pair as Distributions
from lipnet.layers import OrthogonalLinear, RKOConv2d
from lipnet.options import Dataset, Optimizer, Pair, register_attack, whole
from lipnet.randomness import stream
from lipnet.tasks.robustness.task import Robustness


@dataclass(frozen=True)
class Wide(Named):
    width: int = checked(whole(2), 8)


@dataclass(frozen=True)
class Stripes(Dataset):
    count: int = checked(whole(20), 40)


def wide(config, shape, outputs):
    return [nn.Flatten(), OrthogonalLinear(shape[0] * shape[1] * shape[2], config.model.width),
            *([load_activation(config)]), OrthogonalLinear(config.model.width, outputs)]


def load_activation(config):
    from lipnet.models.choices import activation
    return activation(config, config.model.width)


def stripes(option):
    images = torch.zeros(option.count, 1, 4, 4, dtype=torch.uint8)
    images[::2, :, ::2], images[1::2, :, :, ::2] = 255, 255
    split = Split(images, torch.arange(option.count) % 2, 255, torch.arange(option.count))
    return split, split


def apart(option):
    draw = lambda part, count, random: (
        torch.rand(count, 3, generator=random, dtype=torch.float64),
        torch.rand(count, 3, generator=random, dtype=torch.float64) + 1,
    )
    return Distributions(draw, true_value=3**0.5)


@dataclass(frozen=True)
class Apart(Pair):
    dimension: int = checked(whole(3, at_most=3), 3)


class Again(Robustness):
    pass


register("model", "wide", Wide, wide, reads=("linear", "activation"))
register("conv", "mine", Named, lambda *sizes: RKOConv2d(*sizes))
register("linear", "mine", Named, OrthogonalLinear)
register("loss", "soft", Named, lambda option, margin: lambda logits, labels: functional.cross_entropy(
    logits, labels, reduction="none"), data="images")
register("optimizer", "mine", Optimizer, lambda parameters, **keys: torch.optim.Adagrad(parameters, **keys), like="sgd")
register("scheduler", "half", Named, lambda option, peak, steps, per_epoch: lambda step: peak / 2)
register("dataset", "stripes", Stripes, stripes, like="digits", data="images", shape=(1, 4, 4), classes=2)
register("dataset", "apart", Apart, apart, like="cone", data="pair")
register_attack("fgsm_again", lambda model, images, labels, radius: fgsm(model, images, labels, radius))
register("task", "again", GROUPS_OF_TASK.keys, Again, like="robustness", data="images", shared=True,
         reads=GROUPS_OF_TASK.reads, numbers=GROUPS_OF_TASK.numbers, evaluation=GROUPS_OF_TASK.evaluation)
""".replace("GROUPS_OF_TASK", "GROUPS['task']['robustness']").replace(
        "from lipnet.randomness", "from lipnet.options import GROUPS\nfrom lipnet.randomness"
    )
)
OF_CONVOLUTIONS = ("model.channels", "model.hidden", "dataset.limit")
SMALL = [text for text in TINY if not text.startswith(OF_CONVOLUTIONS)]
PAIRED = [
    "task=wasserstein", "dataset=apart", "model.hidden=[8]", "epochs=1", "batch_size=8", "dataset.steps_per_epoch=2",
    "dataset.selection_samples=50", "dataset.evaluation_samples=101", "progress=off", "threads=1",
]  # fmt: skip
RUNS = {
    "task": [*TINY, "task=again"],
    "model and activation": [*SMALL, "model=wide", "model.width=6", "activation=clamp", "dataset.limit_train=60"],
    "conv and linear": [*TINY, "conv=mine", "linear=mine"],
    "loss, optimizer and scheduler": [*TINY, "loss=soft", "optimizer=mine", "scheduler=half"],
    "data set": [*SMALL, "dataset=stripes", "model=fc", "model.hidden=[8]", "dataset.validation=0.5"],
    "attack": [*TINY, "attack.names=[fgsm_again,pgd]"],
    "pair": PAIRED,
}


@pytest.mark.parametrize("words", RUNS.values(), ids=RUNS)
def test_every_kind_is_trained_and_evaluated_again(words, own_module, tmp_path, without_figures):
    own_module("mine", EVERYTHING)
    done = launch("plugins=[mine]", *words, "epochs=1", "hydra.run.dir=done")
    assert done.code == 0, done.output
    found = json.loads((tmp_path / "done" / "results.json").read_text())
    assert found["status"] == "completed"
    again = launch("plugins=[mine]", "task=evaluate", "run=done", "hydra.run.dir=again", "progress=off")
    assert again.code == 0, again.output
    measured = json.loads((tmp_path / "again" / "results.json").read_text())
    key = "wasserstein" if "wasserstein" in found else "clean_accuracy"
    assert measured[key] == found[key]


WITHOUT = {
    "no rule": (CLAMP.replace("@register_rule(LeakyClamp)", ""), "no Lipschitz rule for Sequential.2 (LeakyClamp)"),
    "no rounding step": (
        CLAMP.replace("register_step(LeakyClamp)(one_product)", ""), "it is not known how LeakyClamp rounds"
    ),
    "wrong rule": (CLAMP.replace("return 1.0", "return 0.1"), "LeakyClamp"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), WITHOUT.values(), ids=WITHOUT)
def test_a_layer_without_proof_is_refused_before_it_is_trained(text, said, own_module, tmp_path):
    own_module("mine", text)
    refused = launch("plugins=[mine]", "activation=clamp", "activation.slope=1", *TINY, "hydra.run.dir=done")
    assert refused.code == 1
    assert "Traceback" not in refused.output
    assert said in refused.output.splitlines()[-1]
    assert not (tmp_path / "done" / "metrics.csv").exists()
