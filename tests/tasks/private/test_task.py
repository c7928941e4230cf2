import hashlib
import os
import signal

import numpy
import pytest
import torch
from launching import charts_without_curves, curves, events, launch, outcome_of, results, table

from lipnet.errors import UserError
from lipnet.runs import checkpoint
from lipnet.tasks import driver
from lipnet.tasks.private.accountant import Accountant
from lipnet.tasks.private.task import Private

EPOCHS, STEPS, EXAMPLES = 2, 4, 114
ANY = (
    "task=private", "task.public_validation=true", "task.accountant=rdp", "dataset.limit_train=114",
    "dataset.limit_test=20", "batch_size=32", "model.hidden=[8]", "attack.names=[fgsm]", "progress=off", "threads=1",
    "device=cpu",
)  # fmt: skip
TINY = (*ANY, f"epochs={EPOCHS}", "model.channels=[4,4]")
SEEDED = (*TINY, "task.noise_seed=7")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("private") / "run"
    outcome = launch(*SEEDED, f"hydra.run.dir={directory}")
    assert outcome.code == 0, outcome.output
    return {"directory": directory, "output": outcome.output}


def test_the_results_keep_the_contract(run):
    found = results(run["directory"])
    assert (found["task"], found["status"], found["test_examples"]) == ("private", "completed", 20)
    assert {"clean_accuracy", "certified_accuracy", "attacked_accuracy", "lipschitz_upper_bound"} <= set(found)
    privacy = found["privacy"]
    assert (privacy["delta"], privacy["clip"], privacy["mode"], privacy["accountant"]) == (1e-5, 1.0, "clip", "rdp")
    assert (privacy["steps"], privacy["examples"], privacy["repeatable"]) == (EPOCHS * STEPS, EXAMPLES, True)
    assert privacy["sampling_rate"] == pytest.approx(32 / EXAMPLES)
    spent = Accountant("rdp", 32 / EXAMPLES, 1e-5).epsilon(privacy["noise_multiplier"], EPOCHS * STEPS)
    assert privacy["epsilon"] == pytest.approx(spent, rel=1e-12)
    assert 2.9 < privacy["epsilon"] <= 3.0


def test_what_is_spent_is_shown_as_it_is(run):
    rows = table(run["directory"] / "metrics.csv")
    spent = [float(row["privacy_epsilon"]) for row in rows]
    assert 0 < spent[0] < spent[1] == pytest.approx(results(run["directory"])["privacy"]["epsilon"])
    assert "private training: epsilon 2.997 at delta 1e-05 after 8 steps of 32 of 114 examples" in run["output"]
    assert "privacy epsilon" in run["output"]
    assert "task.noise_seed=7: whoever knows this number can subtract the noise" in run["output"]
    assert "epsilon" in run["output"].rpartition("clean accuracy")[2]
    assert "privacy/epsilon" in events(run["directory"]).Tags()["scalars"]
    assert charts_without_curves(run["directory"]) == []


def test_nothing_tells_of_training_examples(run):
    """Their loss and accuracy have passed no noise."""
    rows = table(run["directory"] / "metrics.csv")
    assert not [key for key in rows[0] if key.startswith("train_")]
    found = events(run["directory"])
    assert not [
        tag for kind in ("scalars", "images", "tensors") for tag in found.Tags()[kind] if tag.startswith("train/")
    ]


def test_a_complete_run_has_forgotten_its_secret(run):
    folder = run["directory"] / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["best.pt", "last.pt"]
    for path in folder.iterdir():
        assert "update" not in checkpoint.load(path)


def test_the_same_noise_gives_the_same_run(run, tmp_path):
    assert launch(*SEEDED, f"hydra.run.dir={tmp_path}").code == 0
    assert outcome_of(tmp_path) == outcome_of(run["directory"])


def test_of_itself_no_two_runs_have_the_same(tmp_path):
    """Nor does a run's seed tell its noise."""
    for name in ("first", "second"):
        assert launch(*TINY, f"hydra.run.dir={tmp_path / name}").code == 0
    first, second = (
        checkpoint.load(tmp_path / name / "checkpoints" / "last.pt")["model"] for name in ("first", "second")
    )
    assert not any(torch.equal(first[name], second[name]) for name in first)
    assert results(tmp_path / "first")["privacy"]["repeatable"] is False


@pytest.mark.parametrize("stopped_at", [1, STEPS, STEPS + 2])
def test_it_goes_on_as_if_nothing_had_happened(run, tmp_path, monkeypatch, stopped_at):
    """With the secret of the first start: sampling and noise, and what is spent, are those of an undisturbed run."""
    original, calls = Private.step, []

    def step(self, *arguments):
        calls.append(1)
        if len(calls) == stopped_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Private, "step", step)
        assert launch(*SEEDED, f"hydra.run.dir={tmp_path / 'run'}").code == 143
    outcome = launch(f"resume={tmp_path / 'run'}")
    assert outcome.code == 0, outcome.output
    assert outcome_of(tmp_path / "run") == outcome_of(run["directory"])
    assert curves(tmp_path / "run") == curves(run["directory"])


def test_a_secret_that_was_drawn_is_taken_up_again(tmp_path, monkeypatch):
    def stop(self, *arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *arguments)

    original = Private.step
    with monkeypatch.context() as patched:
        patched.setattr(Private, "step", stop)
        assert launch(*TINY, f"hydra.run.dir={tmp_path}").code == 143
    number = checkpoint.load(tmp_path / "checkpoints" / "last.pt")["update"]["secret"]
    drawn = []
    with monkeypatch.context() as patched:
        patched.setattr(Private, "step", lambda self, *rest: drawn.append(self.secret.number) or original(self, *rest))
        assert launch(f"resume={tmp_path}").code == 0
    assert {str(found) for found in drawn} == {number}


def test_an_evaluation_tells_what_was_spent(run, tmp_path):
    outcome = launch("task=evaluate", f"run={run['directory']}", f"hydra.run.dir={tmp_path}")
    assert outcome.code == 0, outcome.output
    assert results(tmp_path)["privacy"] == results(run["directory"])["privacy"]


def test_a_rerun_with_the_same_noise_is_warned_of(run, tmp_path):
    outcome = launch(f"rerun={run['directory']}", f"hydra.run.dir={tmp_path}", "dataset.limit_train=100")
    assert outcome.code == 0, outcome.output
    assert "the difference of both networks tells the examples that differ" in outcome.output


MODES = {
    "clipless": ("task.mode=clipless",),
    "clipless, shorter inputs": ("task.mode=clipless", "task.input_norm=2"),
    "noise given": ("task.target_epsilon=null", "task.noise_multiplier=1.5", "task.accountant=pld"),
    "a hinge": ("loss=margin", "optimizer=sgd"),
    "plain": ("conv=plain", "linear=plain", "activation=relu"),
    "groups and a learned shuffle": ("model.channels=[4,4,4]", "model.kernel_sizes=[4,3,3]", "model.strides=[2,1,1]",
                                     "conv.groups=2", "shuffle=learned"),
    "splines": ("activation=spline", "activation.tv2=1e-4"),
    "rarely an example": ("batch_size=1", "dataset.limit_train=12"),
    "no validation": ("dataset.validation=0", "task.public_validation=false"),

}  # fmt: skip


@pytest.mark.parametrize("case", MODES)
def test_it_trains_in_every_way(case, tmp_path):
    outcome = launch(*TINY, "attack.names=[]", *MODES[case], f"hydra.run.dir={tmp_path}", "epochs=1")
    _check_spent(case, outcome, tmp_path)


def test_it_learns_points(tmp_path):
    """Whose figure of the decision regions would show the training examples."""
    outcome = launch("dataset=circle", "experiment=area/circle", *ANY, f"hydra.run.dir={tmp_path}", "epochs=1")
    _check_spent("points", outcome, tmp_path)
    assert not (tmp_path / "decision_regions.png").exists()


def _check_spent(case, outcome, tmp_path):
    assert outcome.code == 0, outcome.output
    found = results(tmp_path)
    assert found["status"] == "completed"
    assert found["privacy"]["epsilon"] > 0
    assert ("clip" in found["privacy"]) == (not case.startswith("clipless"))


REFUSED = {
    "validation": (
        ("task.public_validation=false",),
        "dataset.validation=0.1: held-out training examples would choose",
    ),
    "delta": (("task.delta=0.01",), "task.delta=0.01: more than one in 114 training examples"),
    "delta of one": (("task.delta=1",), "task.delta=1: must be a finite number > 0 and < 1"),
    "no noise": (("task.target_epsilon=null",), "so that no noise is settled; give one of them"),
    "noise twice": (("task.noise_multiplier=1",), "which task.target_epsilon=3 does too"),
    "unreachable": (("task.target_epsilon=1e-9",), "no noise reaches it with task.delta=1e-05"),
    "clip of 0": (("task.clip=0",), "task.clip=0: must be a finite number > 0"),
    "means of batches": (("model.centering=true",), "model.centering=true: subtracts means of batches"),
    "batch statistics": (("model=shufflenet", "dataset=cifar10"), "model=shufflenet: normalises over a batch"),
    "clipless, plain": (("task.mode=clipless", "conv=plain"), "task.mode=clipless: 1 (PaddedConv2d"),
    "clipless, estimates": (
        ("task.mode=clipless", "conv=ossn"),
        "nothing bounds its Lipschitz constant while it trains",
    ),
    "compared examples": (("loss=hkr",), "loss=hkr: compares the examples of a batch"),
    "clipless, no slope": (("task.mode=clipless", "loss=trades"), "loss=trades: it is registered without slope="),
    "pairs of classes": (
        ("loss.per_pair=true", "model.head=normalized"),
        "loss.per_pair=true: its gradient reaches the last layer past what is clipped",
    ),
    "compiled": (("compile=true",), "task=private does not read them"),
    "profiled": (("profile=true",), "writes the sizes of batches"),
    "single examples": (("diagnostics.per_example=true",), "shows gradients of single examples, which no noise"),
    "what is found": (
        ("dataset=table", "dataset.file=t.csv", "dataset.target=y"),
        "dataset=table: what is found in it, such as the rows that are held out",
    ),
    "what is found in pictures": (
        ("dataset=image_folder", "dataset.root=x", "dataset.content=mine", "dataset.test=null"),
        "dataset=image_folder: dataset.mean, dataset.std, dataset.classes, dataset.shape: would be found in the data",
    ),
    "a test part that is drawn": (
        ("dataset=image_folder", "dataset.root=x"),
        "dataset.test=0.2: would part the examples by lot, so that one more moves others",
    ),
    "vectors": (
        ("dataset=arrays", "dataset.file=x.npz", "dataset.shape=[3]"),
        "dataset.shape=[3]: the box that attacks stay in would be found in these vectors",
    ),
    "a pair": (("dataset=cone",), "task=private classifies"),
    "mode": (("task.mode=clipped",), "task.mode=clipped: must be one of clip, clipless"),
}


MIXES = """
import torch
from torch import nn
from lipnet.layers import OrthogonalLinear


def normalised(input_shape, outputs):
    return nn.Sequential(nn.Flatten(), OrthogonalLinear(64, 16), nn.BatchNorm1d(16), OrthogonalLinear(16, outputs))


def layers(input_shape, outputs):
    return nn.Sequential(nn.Flatten(), OrthogonalLinear(64, outputs))
"""


@pytest.mark.parametrize(("build", "message"), [("normalised", "normalises by the batch"), ("layers", None)])
def test_of_networks_of_a_user_s_own_those_that_mix_examples_are_refused(own_module, tmp_path, build, message):
    own_module("my_net", MIXES)
    of_others = [word for word in SEEDED if not word.startswith("model.")]
    outcome = launch(*of_others, "model=module", f"model.build=my_net:{build}", f"hydra.run.dir={tmp_path / 'run'}")
    assert outcome.code == (0 if message is None else 1), outcome.output
    assert message is None or "model=module: task=private needs each example's own gradient" in outcome.output
    assert message is None or message in outcome.output
    assert "Traceback" not in outcome.output


@pytest.mark.parametrize("case", REFUSED)
def test_what_breaks_privacy_or_makes_no_sense_is_refused(case, tmp_path):
    overrides, message = REFUSED[case]
    outcome = launch(*TINY, *overrides, f"hydra.run.dir={tmp_path}")
    assert outcome.code == 1
    assert message in outcome.output
    assert "Traceback" not in outcome.output


@pytest.mark.parametrize("with_test", [True, False])
def test_of_data_of_a_user_s_own_nothing_is_told_without_noise(with_test, tmp_path):
    images, labels = numpy.random.default_rng(0).integers(0, 256, (90, 1, 8, 8), dtype=numpy.uint8), ["yes", "no"] * 45
    test = {"x_test": images[60:], "y_test": labels[60:]} if with_test else {}
    numpy.savez(tmp_path / "own.npz", x_train=images[:60], y_train=labels[:60], **test)
    of_others = [word for word in SEEDED if not word.startswith(("dataset", "task.public"))]
    outcome = launch(
        *of_others, "dataset=arrays", f"dataset.file={tmp_path}/own.npz", "dataset.validation=0", "dataset.test=null",
        "dataset.classes=[no,yes]", "dataset.shape=[1,8,8]", "dataset.mean=[0]", "dataset.std=[1]",
        "dataset.content=mine", f"hydra.run.dir={tmp_path}/run", "task.delta=1e-3",
    )  # fmt: skip
    assert outcome.code == (0 if with_test else 1), outcome.output
    if not with_test:
        assert "dataset.test=null: the data have no test part of their own" in outcome.output
        assert "test part" not in results(tmp_path / "run")["error"]  # as of other failures, which might tell more
        return
    assert results(tmp_path / "run")["privacy"]["examples"] == 60
    digest = hashlib.sha256((tmp_path / "own.npz").read_bytes()).hexdigest()[:16]
    written = [path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    for told in (digest, "examples for training", "yes 30"):
        assert told not in outcome.output
        assert not any(told.encode() in content for content in written)
    numpy.savez(tmp_path / "other.npz", x_train=images[:20], y_train=labels[:20], **test)
    again = launch(
        "task=evaluate", f"run={tmp_path}/run", f"dataset.file={tmp_path}/other.npz", f"hydra.run.dir={tmp_path}/again"
    )
    assert again.code == 0, again.output
    assert results(tmp_path / "again")["privacy"] == results(tmp_path / "run")["privacy"]


def test_a_run_that_ends_before_its_results_has_forgotten_its_secret(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(driver, "write_results", _ended)
        assert launch(*SEEDED, f"hydra.run.dir={tmp_path}").code == 137
    for name in ("last", "best"):
        assert "update" not in torch.load(tmp_path / "checkpoints" / f"{name}.pt", weights_only=True)
    outcome = launch(f"resume={tmp_path}")
    assert outcome.code == 0, outcome.output
    assert results(tmp_path)["status"] == "completed"


def _ended(*_):
    """As if it was killed there."""
    raise SystemExit(137)


def test_an_assured_network_chooses_by_no_training_example(make_session):
    overrides = ("task=private", "dataset.limit_train=114", "epochs=1")
    assert Private(make_session(*overrides, "dataset.validation=0")).not_tested() is None
    public = Private(make_session(*overrides, "task.public_validation=true"))
    torch.testing.assert_close(public.not_tested(), public.splits.validation.pixels())


def test_in_several_processes_it_is_refused():
    from lipnet.options.registry import GROUPS

    assert not GROUPS["task"]["private"].shared


def test_the_noise_is_found_from_the_target(make_session):
    overrides = ("task=private", "task.public_validation=true", "task.target_epsilon=1", "epochs=1", "batch_size=256")
    task = Private(make_session(*overrides))
    assert 0.99 < task.accountant.epsilon(task.noise_multiplier, task.steps(1)) <= 1


def test_delta_is_checked_before_anything_is_spent(make_session):
    task = Private(make_session("task=private", "task.public_validation=true", "task.delta=0.1"))
    with pytest.raises(UserError, match=r"use less than"):
        task.prepare(torch.nn.Identity())
