import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from launching import launch

import lipnet
from lipnet import app
from lipnet.cli import arguments as commandline
from lipnet.cli import mistakes
from lipnet.cli.arguments import prepare
from lipnet.errors import UserError
from lipnet.options import GROUPS, folder

KEYS = (
    " Keys there: model, conv, shuffle, linear, activation, loss, optimizer, scheduler, inference, dataset, task, "
    "attack, estimate, generator, proof, diagnostics, conformal, seed, epochs, batch_size, device, threads, amp, "
    "averaging, compile, progress, eval_radii, certify_dtype, singular_values_every, debug, profile, bell, resume, "
    "run, rerun, objective, fail_fast, plugins."
)
ADAM_KEYS = " Keys there: optimizer.lr, optimizer.betas, optimizer.weight_decay."
_FOLDER = folder.config_dir() / "experiment"
RECIPES = sorted(path.relative_to(_FOLDER).with_suffix("").as_posix() for path in _FOLDER.rglob("*.yaml"))
EXPERIMENTS = f" experiment takes {', '.join(RECIPES)}."
RESUME_CHANGES = (
    "resume=DIR continues a run as it was; it can change resume, profile, plugins, device, threads, progress, bell, "
    "certify_dtype, attack.names, attack.steps, attack.restarts, attack.ddn_steps, attack.examples, attack.proved, "
    "attack.foolbox_examples, conformal.alpha, conformal.calibration, estimate.confidence, "
    "estimate.transport_samples, proof.unproved, proof.cells, proof.attack_steps, proof.attack_starts, dataset.root, "
    "dataset.file, dataset.labels, dataset.cache, dataset.download. "
    "rerun=DIR starts a new run, with any change."
)
EVALUATE_CHANGES = (
    "run=DIR evaluates a run as it is; it can change task, run, plugins, device, threads, progress, bell, eval_radii, "
    "certify_dtype, attack.names, attack.steps, attack.restarts, attack.ddn_steps, attack.examples, attack.proved, "
    "attack.foolbox_examples, conformal.alpha, conformal.calibration, dataset.evaluation_samples, "
    "estimate.confidence, estimate.transport_samples, proof.unproved, proof.cells, proof.attack_steps, "
    "proof.attack_starts, "
    "dataset.root, dataset.file, dataset.labels, dataset.content, dataset.cache, dataset.download, dataset.limit_test, "
    "objective, fail_fast."
)
RADII = "must be a list of different radii > 0, numbers or fractions such as [0.3,36/255]."
LR = "must be a finite number > 0 and <= 100."
SWEEPS = (
    "area, area_relu, area_tradeoff, learning_rates, margins, methods, mnist, paper_cifar10, paper_mnist, "
    "paper_wasserstein, private, quick_cifar10, quick_mnist, quick_wasserstein, seeds, shufflenet, tune, "
    "wasserstein_benchmark, wasserstein_minfunnel"
)
SWEEP = "several values make a sweep; add -m, or write a list as [1,2]."
LISTS = "these lists describe the convolutions and must have one entry for each."
NOT_READ = "no such key, nothing would read it;"
SWEPT = ["sweep=methods", "conv=bcop", "seed=3", "rerun=done"]
RECIPE = ["experiment=paper/mnist_small_bcop", "seed=3"]
SAVED = ["model=fc", "epochs=3", "eval_radii=[0.5]", "seed=7"]  # what the fake run directories were started with

# (arguments, every problem), word for word
BAD = [
    # constraints on outputs, and what reads them
    (
        "task=bayes dataset=digits",
        "dataset=digits: has no constraints on outputs, which task=bayes is for; use dataset=quartic, three_blobs, "
        "two_lines, forbidden_box, tunnel, two_cubics, sign, "
        "diabetes, diabetes_risk.",
    ),
    (
        "dataset=quartic",
        "dataset=quartic: examples with constraints on outputs; task=robustness needs labelled images; use task=bayes.",
    ),
    (
        "task=bayes dataset=quartic epochs=3 optimizer.lr=1",
        "epochs: task=bayes does not read it; leave it out.",
        "optimizer.lr: task=bayes does not read it; leave it out.",
    ),
    (
        "inference=svgd proof.cells=3",
        "inference: only task=bayes reads it, and dataset=digits holds labelled images; leave it out.",
        "proof.cells: only task=bayes reads it, and dataset=digits holds labelled images; leave it out.",
    ),
    # a key for which the data has no use
    (
        "task=wasserstein dataset=cone attack.steps=3 eval_radii=[0.5] certify_dtype=float32",
        *(
            f"{key}: only task=robustness, private read it, and dataset=cone is a pair of distributions; leave it out."
            for key in ("attack.steps", "certify_dtype", "eval_radii")
        ),
    ),
    (
        "task=gan attack.steps=3 estimate.confidence=0.9",
        "attack.steps: only task=robustness, private read it; leave it out.",
        "estimate.confidence: only task=wasserstein reads it, and dataset=digits holds labelled images; leave it out.",
    ),
    (
        "task=private task.public_validation=true diagnostics.every=3",
        "diagnostics.every: only task=robustness, wasserstein, gan read it; leave it out.",
    ),
    ("generator.latent=3", "generator.latent: only task=gan reads it; leave it out."),
    ("model=fc conv=rko", "conv: model=fc does not read it; leave it out."),
    ("model=fc conv.padding_mode=zeros", "conv.padding_mode: model=fc does not read it; leave it out."),
    ("-m model=small,fc conv=bcop,rko", "conv: model=fc does not read it; leave it out."),
    ("model=fc shuffle=fixed", "shuffle: model=fc does not read it; leave it out."),
    ("sweep=methods model=fc", "conv: model=fc does not read it; leave it out."),
    ("sweep=paper_mnist experiment=paper/mnist_fc_bjorck", "conv: model=fc does not read it; leave it out."),
    (
        "task=wasserstein dataset=cone model=cones activation=relu linear=bjorck",
        "linear: model=cones does not read it; leave it out.",
        "activation: model=cones does not read it; leave it out.",
    ),
    (
        "dataset=cifar10 model=shufflenet conv=rko activation=relu",
        "conv: model=shufflenet does not read it; leave it out.",
        "activation: model=shufflenet does not read it; leave it out.",
    ),
    ("task=gan dataset=digits model=gan_critic conv=rko", "conv: model=gan_critic does not read it; leave it out."),
    (
        "estimate.confidence=0.9",
        "estimate.confidence: only task=wasserstein reads it, and dataset=digits holds labelled images; leave it out.",
    ),
    # an option that is not there
    (
        "task=robust",
        f"task=robust: no such option; did you mean robustness? task takes {', '.join(GROUPS['task'])}.",
    ),
    (
        "model=smal",
        f"model=smal: no such option; did you mean small? model takes {', '.join(GROUPS['model'])}.",
    ),
    (
        "conv=bcp",
        f"conv=bcp: no such option; did you mean bcop? conv takes {', '.join(GROUPS['conv'])}.",
    ),
    (
        "linear=bjork",
        f"linear=bjork: no such option; did you mean bjorck? linear takes {', '.join(GROUPS['linear'])}.",
    ),
    (
        "activation=minmax",
        f"activation=minmax: no such option; did you mean maxmin? activation takes {', '.join(GROUPS['activation'])}.",
    ),
    (
        "dataset=minst",
        "dataset=minst: no such option; did you mean mnist? dataset takes digits, mnist, fashion_mnist, cifar10, "
        "stl10, cifar100, svhn, emnist, tiny_imagenet, circle, s_shape, image_folder, arrays, table, absolute_value, "
        "three_cones, cone, translation, spheres, scaled_gaussians, partial_mass, nuisance, nearest_anchor, discrete, "
        "two_images, minfunnel, two_classes, gan, samples, quartic, three_blobs, two_lines, forbidden_box, tunnel, "
        "two_cubics, sign, diabetes, diabetes_risk, autoregression, setar, logistic_map, hidden_markov, "
        "change_point, series, stdin, sunspots, airline_passengers, water_flow.",
    ),
    (
        "loss=hinge",
        "loss=hinge: no such option; see --help for the names. loss takes "
        "margin, cross_entropy, certificate, emma, logit_annealing, trades, hkr, kantorovich, likelihood, squared, "
        "absolute, pinball.",
    ),
    (
        "optimizer=adan",
        "optimizer=adan: no such option; did you mean adam? optimizer takes adam, adamw, sgd, rmsprop.",
    ),
    (
        "scheduler=onecylce",
        "scheduler=onecylce: no such option; did you mean onecycle? "
        "scheduler takes onecycle, cosine, exponential, constant.",
    ),
    (
        "experiment=paper/mnist_larg_bcop",
        "experiment=paper/mnist_larg_bcop: no such option; did you mean paper/mnist_large?" + EXPERIMENTS,
    ),
    (
        "-m model=small,smal",
        f"model=smal: no such option; did you mean small? model takes {', '.join(GROUPS['model'])}.",
    ),
    # a key that nothing reads
    ("mdel=fc", f"mdel: {NOT_READ} did you mean model?{KEYS}"),
    ("epoch=3", f"epoch: {NOT_READ} did you mean epochs?{KEYS}"),
    ("lr=3", f"lr: {NOT_READ} did you mean optimizer.lr?{KEYS}"),
    ("optimizer.lrr=1", f"optimizer.lrr: {NOT_READ} did you mean optimizer.lr?{ADAM_KEYS}"),
    (
        "model.lr=0.1",
        f"model.lr: {NOT_READ} did you mean optimizer.lr? "
        "Keys there: model.channels, model.kernel_sizes, model.strides, model.hidden, model.head, model.centering, "
        "model.mirrored.",
    ),
    (
        "attack.step=3",
        f"attack.step: {NOT_READ} did you mean attack.steps? "
        "Keys there: attack.names, attack.steps, attack.restarts, attack.ddn_steps, attack.examples, "
        "attack.proved, attack.foolbox_examples.",
    ),
    ("epochs.x=3", f"epochs.x: {NOT_READ} did you mean epochs?"),
    ("+foo=1", f"foo: {NOT_READ} see --help for the names.{KEYS}"),
    ("++optimizer.lrr=0.1", f"optimizer.lrr: {NOT_READ} did you mean optimizer.lr?{ADAM_KEYS}"),
    ("~foo", f"foo: {NOT_READ} see --help for the names.{KEYS}"),
    ("-m lrr=1,2", f"lrr: {NOT_READ} see --help for the names.{KEYS}"),
    # a key that may not be deleted
    ("~seed", "seed: this key is missing; it may not be deleted."),
    ("~attack.steps", "attack.steps: this key is missing; it may not be deleted."),
    (
        "attack.names=[fgsn]",
        "attack.names=[fgsn]: fgsn is not there; did you mean fgsm? it must be a list of different names among fgsm, "
        "pgd, ddn, fgsm_paper, pgd_paper, boundary, pointwise, autoattack.",
    ),
    # a value of the wrong type
    ("optimizer.lr=fast", f"optimizer.lr=fast: {LR}"),
    ("epochs=1.5", "epochs=1.5: must be a whole number >= 1."),
    ("model.hidden=64", "model.hidden=64: must be a list, each entry a whole number >= 1."),
    ("epochs=[1,2]", "epochs=[1,2]: must be a whole number >= 1."),
    (
        "model.channels=[16,x]",
        "model.channels=[16,x]: must be a list, each entry a whole number >= 1.",
    ),
    ("dataset=mnist dataset.download=1", "dataset.download=1: must be true or false."),
    ("device=gpu", "device=gpu: must be one of auto, cpu, cuda."),
    # a value out of range
    ("optimizer.lr=-1", f"optimizer.lr=-1: {LR}"),
    ("optimizer.lr=0", f"optimizer.lr=0: {LR}"),
    ("optimizer.lr=nan", f"optimizer.lr=nan: {LR}"),
    ("optimizer.lr=inf", f"optimizer.lr=inf: {LR}"),
    ("batch_size=0", "batch_size=0: must be a whole number >= 1."),
    ("epochs=0", "epochs=0: must be a whole number >= 1."),
    ("seed=-1", "seed=-1: must be a whole number >= 0 and < 2^64."),
    ("dataset.validation=0.9", "dataset.validation=0.9: must be a finite number >= 0 and <= 0.5."),
    ("loss=cross_entropy loss.temperature=0", "loss.temperature=0: must be a finite number > 0."),
    ("optimizer=sgd optimizer.momentum=1", "optimizer.momentum=1: must be a finite number >= 0 and < 1."),
    ("optimizer.betas=[0.9]", "optimizer.betas=[0.9]: must be a list of 2, each entry a finite number >= 0 and < 1."),
    ("dataset.std=[0]", "dataset.std=[0]: must be a list of at least 1, each entry a finite number > 0."),
    # radii
    ("eval_radii=[]", f"eval_radii=[]: {RADII}"),
    ("eval_radii=[0.5,1/2]", f"eval_radii=[0.5,1/2]: {RADII}"),
    ("eval_radii=[0]", f"eval_radii=[0]: {RADII}"),
    ("eval_radii=[1/0]", f"eval_radii=[1/0]: {RADII}"),
    ("eval_radii=[wide]", f"eval_radii=[wide]: {RADII}"),
    # keys that do not go together
    (
        "model.channels=[15,32]",
        "model.channels[0]=15: activation=maxmin sorts groups of 2, so this must be a multiple of 2; "
        "the nearest is 16.",
    ),
    (
        "model=fc model.hidden=[7]",
        "model.hidden[0]=7: activation=maxmin sorts groups of 2, so this must be a multiple of 2; the nearest is 8.",
    ),
    (
        "activation=groupsort activation.group_size=5",
        "model.channels[0]=16: activation=groupsort sorts groups of 5, so this must be a multiple of 5; "
        "the nearest is 15.",
        "model.channels[1]=32: activation=groupsort sorts groups of 5, so this must be a multiple of 5; "
        "the nearest is 30.",
    ),
    (
        "model.strides=[2,2,2]",
        f"model.channels has 2, model.kernel_sizes has 2, model.strides has 3: {LISTS}",
    ),
    (
        "model.kernel_sizes=[1,4]",
        "model.kernel_sizes[0]=1: a kernel smaller than its stride 2 skips pixels; use at least 2.",
    ),
    ("model.kernel_sizes=[4,3]", "model.kernel_sizes[1]=3: must be a multiple of its stride, model.strides[1]=2."),
    (
        "model.strides=[3,2] model.kernel_sizes=[3,4]",
        "model.strides[0]=3: does not divide the image, which is 8x8 there (digits starts at 8x8); "
        "use a stride that does, or fewer strided layers.",
    ),
    (
        "model=large model.strides=[2,2,2,2] model.kernel_sizes=[4,4,2,2]",
        "model.strides[3]=2: does not divide the image, which is 1x1 there (digits starts at 8x8); "
        "use a stride that does, or fewer strided layers.",
    ),
    (
        "model.kernel_sizes=[10,4]",
        "model.kernel_sizes[0]=10: larger than the image, which is 8x8 there (digits starts at 8x8); "
        "use a kernel of at most 8, or fewer strided layers.",
    ),
    (
        "dataset=cifar10 dataset.mean=[0.5] dataset.std=[1,1]",
        "dataset.mean has 1 entries: cifar10 has 3 channels, one entry each.",
        "dataset.std has 2 entries: cifar10 has 3 channels, one entry each.",
    ),
    # finished runs
    ("task=evaluate", "run=null: task=evaluate needs run=DIR, the directory of a finished run."),
    (
        "run=done",
        "run=done: only task=evaluate, task=export and dataset=gan read it; to continue a run use resume=DIR.",
    ),
    (
        "task=evaluate run=empty",
        "run=empty: not a run directory (empty/.hydra/overrides.yaml is missing); give one from outputs/.",
    ),
    (
        "resume=nowhere",
        "resume=nowhere: not a run directory (nowhere/.hydra/overrides.yaml is missing); give one from outputs/.",
    ),
    (
        "resume=cut",
        "resume=cut: not a run directory (cut/.hydra/overrides.yaml is empty); give one from outputs/.",
    ),
    ("resume=done epochs=4", f"epochs=4: the run in done has epochs=3. {RESUME_CHANGES}"),
    (
        "resume=done model=large seed=3",
        f"model=large, seed=3: the run in done has model=fc, seed=7. {RESUME_CHANGES}",
    ),
    ("task=evaluate run=done epochs=4", f"epochs=4: the run in done has epochs=3. {EVALUATE_CHANGES}"),
    ("task=evaluate run=done resume=done", f"resume=done: the run in done has resume=null. {EVALUATE_CHANGES}"),
    # syntax
    (
        ["optimizer.lr 3"],
        "optimizer.lr 3: not KEY=VALUE as Hydra reads it (token recognition error at: ' '); quote special characters.",
    ),
    (
        "model.channels=[16,32",
        "model.channels=[16,32: not KEY=VALUE as Hydra reads it (no viable alternative at input '[16,32'); "
        "quote special characters.",
    ),
    (
        "optimizer.lr",
        "optimizer.lr: not KEY=VALUE; did you mean optimizer.lr=VALUE?",
    ),
    ("epochs 5", "epochs: not KEY=VALUE; did you mean epochs=5?"),
    ("--epochs 5", "--epochs: no such flag; a key has no dashes: epochs=5"),
    ("--optimizer.lr=1", "--optimizer.lr=1: no such flag; a key has no dashes: optimizer.lr=1"),
    (
        "eval_radii=[0.1, 0.3] seed=1",
        "eval_radii=[0.1,: the shell has cut it at a space; quote the whole: 'eval_radii=[0.1, 0.3]'.",
    ),
    # sweeps
    ("seed=1,2", f"seed=1,2: {SWEEP}"),
    ("model=small,large", f"model=small,large: {SWEEP}"),
    ("-m seed=1,-1", "seed=-1: must be a whole number >= 0 and < 2^64."),
    (
        "-m rerun=done,swept",
        "rerun=done,swept: takes one value; give each a command of its own.",
    ),
    (
        "-m resume=done",
        "resume: continues one run; a sweep launched again, by the same command, continues its jobs.",
    ),
    ("resume=done rerun=swept", f"rerun=swept: the run in done has rerun=null. {RESUME_CHANGES}"),
    (
        "rerun=nowhere",
        "rerun=nowhere: not a run directory (nowhere/.hydra/overrides.yaml is missing); give one from outputs/.",
    ),
    (
        "sweep=paper_wasserstein seed=0",
        "run=null: dataset=gan needs run=DIR, the directory of a finished run of task=gan.",
    ),
    ("sweep=method", f"sweep=method: no such option; did you mean methods? sweep takes {SWEEPS}."),
    ("sweep=methods seed=-1", "seed=-1: must be a whole number >= 0 and < 2^64."),
    ("-m epochs=1,0 optimizer.lr=0", f"optimizer.lr=0: {LR}", "epochs=0: must be a whole number >= 1."),
    # the run directory
    (
        "hydra.run.dir=file/run",
        "hydra.run.dir=file/run: cannot write there (Not a directory); choose another with hydra.run.dir=DIR.",
    ),
    (
        "hydra.run.dir=dangling/run",
        "hydra.run.dir=dangling/run: cannot write there (No such file or directory); choose another with "
        "hydra.run.dir=DIR.",
    ),
    # all at once
    (
        ["epochs=0", "optimizer.lr=-1", "lrr=3", "model=smal", "a b"],
        "a b: not KEY=VALUE as Hydra reads it (token recognition error at: ' '); quote special characters.",
        f"model=smal: no such option; did you mean small? model takes {', '.join(GROUPS['model'])}.",
        f"lrr: {NOT_READ} see --help for the names.{KEYS}",
        f"optimizer.lr=-1: {LR}",
        "epochs=0: must be a whole number >= 1.",
    ),
]

# (arguments, words that the message holds, words that it must not hold): where only the gist is promised
SAYS = [
    # nothing may slip through to a run, or past the one way of reporting
    ("~model", ["model"], []),
    ("linear=Or-Thogonal", ["did you mean orthogonal?"], []),
    ("dataset=CIFAR10", ["did you mean cifar10?"], []),
    ("conv=nope", ["see --help for the names"], []),
    ("model=null", ["model"], []),
    ("experiment=null", ["experiment"], []),
    ("experiment=zzz", ["experiment=zzz", "quick/mnist_small"], []),
    ("+model=fc", ["model=fc"], []),
    ("model@other=fc", ["model@other=fc"], []),
    ("model.name=large", ["model.name", "model=large"], []),
    ("seed=18446744073709551616", ["seed"], []),
    ("+resume=nowhere", ["resume=nowhere"], []),
    ("resume=done hydra.run.dir=elsewhere", ["hydra.run.dir"], []),
    ("resume=evaluated", ["resume=evaluated"], []),
    # every combination of a sweep is checked, not only the first option
    ("-m model=small,fc model.channels=[16,32]", ["model.channels"], []),
    ("-m dataset=digits,mnist model.strides=[2,4] model.kernel_sizes=[4,4]", ["model.strides[1]=4", "mnist"], []),
    ("-m optimizer=adam,sgd optimizer.momentum=0.5", ["optimizer.momentum"], []),
    ("-m optimizer.lr=interval(0.1,1)", ["optimizer.lr"], []),
    ("-m model=glob(q*)", ["model"], []),
    ("sweep=margins loss=kantorovich", ["loss=kantorovich", "loss.epsilon"], []),
    ("-m sweep=methods,seeds", ["sweep"], []),
    ("-m hydra.sweep.dir=file/x", ["hydra.sweep.dir=file/x"], []),
    # Hydra's own keys: the cure that it offers, +KEY, is one that nothing would read
    ("hydra.rn.dir=x", ["hydra.rn.dir"], ["+hydra"]),
    ("hydra.mode=foo", ["hydra.mode=foo", "MULTIRUN"], []),
    ("hydra/launcher=x", ["hydra/launcher", "basic"], []),
    # what was given is shown as it was typed
    ("epochs=true", ["epochs=true"], ["True"]),
    ("=3", ["=3"], []),
    ("eval_radii=${dataset.radii}", ["eval_radii", "dataset.radii"], []),
    ("epochs=${oc.env:NO_SUCH_VARIABLE}", ["epochs", "NO_SUCH_VARIABLE"], []),
    # the nearest name is a cure: another option of the group has the key, and `name` is never meant
    ("loss.temperature=1", ["loss.temperature", "loss=cross_entropy"], ["mean loss.name"]),
    ("temperature=1", ["loss.temperature"], []),
    ("dataset.root=here", ["dataset.root"], ["mean dataset.std"]),
    ("optimizer.learning_rate=1", ["optimizer.lr"], ["mean optimizer.name"]),
]

# (arguments, what is put before them)
GOOD = [
    ("", []),
    ("model=fc linear=bjorck activation=groupsort activation.group_size=4", []),
    ("activation=relu model.channels=[15,31] model.hidden=[]", []),
    ("optimizer.lr=1e-3 ++seed=3", []),
    ("experiment=quick/mnist_small eval_radii=[36/255,0.5]", []),
    ("-m seed=1,2", []),
    ("-m model=small,large seed=range(0,3)", []),
    ("--cfg job", []),
    ("--help epoch=3", []),
    ("--info defaults-tree", []),
    ("-sc query=bash", []),
    ("resume=done", SAVED),
    ("resume=done threads=1 attack.steps=3", SAVED),
    ("task=evaluate run=done", SAVED),
    ("task=evaluate run=done dataset.limit_test=3 eval_radii=[1/2] device=cpu", ["model=fc", "epochs=3", "seed=7"]),
    # the options of the task that trained a run are not those of its evaluation
    ("task=evaluate run=selected", SAVED),
    ("resume=selected", [*SAVED, "task.select_by=loss"]),
    ("task=evaluate run=recipe", ["experiment=paper/mnist_small_bcop", "seed=3", "~task.select_by"]),
    ("resume=recipe", ["experiment=paper/mnist_small_bcop", "seed=3"]),
    # the same again, with something else on top
    ("rerun=done seed=8", SAVED[:-1]),
    ("rerun=done epochs=4 model=small seed=8", ["eval_radii=[0.5]"]),
    ("rerun=evaluated", [*SAVED, "task=evaluate", "run=done"]),
    ("rerun=swept", ["sweep=methods", "conv=bcop", "seed=3", "hydra.mode=RUN"]),
    ("resume=swept", ["sweep=methods", "conv=bcop", "seed=3", "rerun=done", "hydra.mode=RUN"]),
    # a sweep by its file alone
    ("sweep=methods", []),
    ("sweep=seeds seed=1,2 epochs=3", []),
    ("sweep=margins dataset=mnist", []),
    ("sweep=learning_rates seed=0", []),
    ("sweep=mnist", []),
    ("seed=1,2 -m", []),
    # a run directory may have any name
    ("resume=7", SAVED),
    (["resume='my run'"], SAVED),
]


def arguments(row):
    return row.split() if isinstance(row, str) else row


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """A folder with run directories (``evaluated`` is one of task=evaluate), an empty directory and a file."""
    monkeypatch.chdir(tmp_path)
    for name, overrides in {
        "done": ["resume=null", *SAVED],
        "7": SAVED,
        "selected": [*SAVED, "task.select_by=loss"],
        "recipe": ["experiment=paper/mnist_small_bcop", "seed=3"],
        "my run": SAVED,
        "swept": ["sweep=methods", "conv=bcop", "seed=3", "rerun=done", "fail_fast=True"],
        "evaluated": [*SAVED, "task=evaluate", "run=done"],
        "cut": [],
    }.items():
        saved = tmp_path / name / ".hydra" / "overrides.yaml"
        saved.parent.mkdir(parents=True)
        saved.write_text("".join(f"- {override}\n" for override in overrides))
    Path("empty").mkdir()
    Path("file").touch()
    Path("dangling").symlink_to("nowhere")


def refused(row):
    """The mistake that ``prepare`` finds in a command line; it must find it before it makes any directory."""
    before = sorted(Path().rglob("*"))
    with pytest.raises(UserError) as error:
        prepare(arguments(row))
    assert sorted(Path().rglob("*")) == before
    return error.value


@pytest.mark.parametrize(
    ("row", "problems"), [(row, problems) for row, *problems in BAD], ids=lambda part: str(part)[:60]
)
def test_a_mistake_is_reported_word_for_word(row, problems):
    assert list(refused(row).problems) == problems


@pytest.mark.parametrize(("row", "says", "never"), SAYS, ids=[row for row, *_ in SAYS])
def test_the_message_names_mistake_and_cure(row, says, never):
    message = str(refused(row))
    assert [words for words in says if words not in message] == []
    assert [words for words in never if words in message] == []


@pytest.mark.parametrize(("row", "added"), GOOD, ids=[str(row) or "nothing" for row, _ in GOOD])
def test_a_good_command_line_passes(row, added):
    planned = ("hydra.sweep.", "+hydra.job.env_set.")  # what a sweep is told besides
    prepared = [argument for argument in prepare(arguments(row)) if not argument.startswith(planned)]
    assert prepared == [*added, *arguments(row)]


# (arguments, what Hydra is to see): what equals the run's own is accepted, and left out
EQUAL = [
    ("resume=done epochs=3 seed=7 hydra.run.dir=done", [*SAVED, "resume=done"]),
    ("epochs=3 hydra.run.dir=./done/ resume=done threads=1", [*SAVED, "resume=done", "threads=1"]),
    ("resume=done model=fc eval_radii=[0.5] batch_size=64 ++seed=7", [*SAVED, "resume=done"]),
    ("resume=done epochs=4 epochs=3", [*SAVED, "resume=done"]),
    ("resume=done hydra.output_subdir=.hydra dataset=digits conv=bcop", [*SAVED, "resume=done"]),
    ("resume=recipe experiment=paper/mnist_small_bcop seed=3", [*RECIPE, "resume=recipe"]),
    (
        "resume=swept sweep=methods conv=bcop",
        ["sweep=methods", "conv=bcop", "seed=3", "rerun=done", "hydra.mode=RUN", "resume=swept"],
    ),
    ("task=evaluate run=done epochs=3 seed=7 hydra.run.dir=done", [*SAVED, "task=evaluate", "run=done"]),
    ("task=evaluate run=selected task.select_by=loss", [*SAVED, "task=evaluate", "run=selected"]),
    ("task=export run=done model=fc epochs=3", [*SAVED, "task=export", "run=done"]),
    ("rerun=done epochs=3 seed=8", ["model=fc", "eval_radii=[0.5]", "rerun=done", "epochs=3", "seed=8"]),
]

# (arguments, words of the one message, words that it must not hold)
UNEQUAL = [
    ("resume=done epochs=4 seed=7", ["epochs=4: the run in done has epochs=3. "], ["seed=7"]),
    ("resume=done dataset=mnist conv=rko", ["dataset=mnist, conv=rko: ", "has dataset=digits, conv=bcop. "], []),
    ("resume=done model=small", ["model=small: the run in done has model=fc. "], []),
    ("resume=done +epochs=4", ["+epochs=4: the run in done has epochs=3. "], []),
    ("resume=done eval_radii=[0.2]", ["eval_radii=[0.2]: the run in done has eval_radii=[0.5]. "], []),
    ("resume=done experiment=paper/mnist_small_bcop sweep=methods", ["has experiment=null, sweep=null. "], []),
    ("resume=done hydra.run.dir=my", ["hydra.run.dir=my: the run in done has hydra.run.dir=done. "], []),
    ("task=evaluate run=done epochs=4 model=fc", ["epochs=4: the run in done has epochs=3. "], ["model"]),
    ("task=evaluate run=selected task.select_by=clean_accuracy", ["has task.select_by=loss. "], []),
    ("task=export run=done attack.steps=3", ["attack.steps=3: the run in done has attack.steps=20. "], []),
    ("resume=done epoch=3", [f"epoch: {NOT_READ} did you mean epochs?"], ["the run in done"]),
    ("resume=done model=smal", ["model=smal: no such option"], ["the run in done"]),
    ("-m resume=done seed=1,2", ["resume: continues one run"], []),
    # a sweep's objective
    ("-m seed=0,1 objective=validation.clean_acuracy", ["did you mean validation.clean_accuracy?"], []),
    ("-m seed=0,1 objective=certified_accuracy.0.25", ["did you mean certified_accuracy", "RADIUS one of 0.1"], []),
    ("-m seed=0,1 objective=attacked_accuracy.boundary.0.1", ["objective=attacked_accuracy.boundary.0.1: "], []),
    ("-m seed=0,1 objective=validation.loss dataset.validation=0", ["objective=validation.loss: "], []),
    ("-m seed=0,1 objective=validation.loss debug=overfit", ["objective=validation.loss: "], []),
    ("-m objective=loss,clean_accuracy", ["objective=loss: "], ["objective=clean_accuracy: "]),
    ("-m dataset=digits,mnist objective=certified_accuracy.1.58", ["RADIUS one of 0.1,"], ["one of 1.58"]),
    ("sweep=seeds objective=wasserstein.estimate", ["objective=wasserstein.estimate: "], []),
    # directories that Hydra could not use
    (["hydra.run.dir=a\\${b}"], ["may not have ${ in its name"], []),
    (["hydra.run.dir=a${b}"], ["hydra.run.dir=a${b}: what it has in ${ } stands for nothing (Interp"], []),
    (["hydra.job.name=a${b:c}"], ["hydra.job.name=a${b:c}: what it has in ${ } stands for nothing (Unsup"], []),
    (["-m", "seed=0,1", "hydra.sweep.dir=a${b}"], ["hydra.sweep.dir=a${b}: what it has in ${ }"], []),
    (["-m", "seed=0,1", "hydra.sweep.subdir=a${b}"], ["hydra.sweep.subdir=a${b}: what it has in ${ }"], []),
    ("-m seed=1,2 hydra.sweep.subdir=one", ["the 2 jobs would be in one directory"], []),
]


@pytest.mark.parametrize(("row", "seen"), EQUAL, ids=[row for row, _ in EQUAL])
def test_what_equals_the_run_s_own_is_left_out(row, seen):
    assert prepare(arguments(row)) == seen


@pytest.mark.parametrize(("row", "says", "never"), UNEQUAL, ids=[str(row) for row, *_ in UNEQUAL])
def test_what_differs_is_said_once(row, says, never):
    error = refused(row)
    assert len(error.problems) == 1
    assert [words for words in says if words not in str(error)] == []
    assert [words for words in never if words in str(error).partition(". ")[0]] == []


# a file of a folder given with --config-dir -> what is said of it; nothing where it works
OWN_FILES = {
    "it.yaml": (b"# @package _global_\nseed: 5\n", None),
    "after a blank line": (b"\n\n  # @package _global_\nseed: 5\n", None),
    "it.yml": (
        b"# @package _global_\nseed: 5\n",
        "it.yml is not read, only files ending in .yaml are; rename it to",
    ),
    "without a package": (b"seed: 5\n", "experiment/it.yaml: its keys would all stand under experiment; add the line "),
    "with a remark first": (
        b"# mine\n# @package _global_\nseed: 5\n",
        "add the line '# @package _global_' at its",
    ),
    "marked": (b"\xef\xbb\xbf# @package _global_\nseed: 5\n", "it.yaml: begins with a byte order mark"),
    "wide": ("# @package _global_\nseed: 5\n".encode("utf-16"), "it.yaml: cannot be read"),
}


@pytest.mark.parametrize("what", OWN_FILES)
@pytest.mark.parametrize("place", ["mine", "~/mine"])
def test_a_configuration_file_of_one_s_own(tmp_path, monkeypatch, what, place):
    content, message = OWN_FILES[what]
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / ("it.yml" if what == "it.yml" else "it.yaml")).write_bytes(content)
    line = [f"--config-dir={place}", "experiment=it"]
    if message is None:
        assert prepare(line)[-1] == "experiment=it"
        return
    with pytest.raises(UserError) as error:
        prepare(line)
    (problem,) = error.value.problems
    assert message in problem


def test_a_run_remembers_its_folder_of_configurations(tmp_path, monkeypatch):
    """Commands that start from it work without ``--config-dir``, and what the folder holds is checked again."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "it.yaml").write_text("# @package _global_\nseed: 5\n")
    saved = tmp_path / "run" / ".hydra"
    saved.mkdir(parents=True)
    (saved / "overrides.yaml").write_text("[experiment=it]")
    source = f"{{path: {tmp_path / 'mine'}, provider: command-line, schema: file}}"
    (saved / "hydra.yaml").write_text(f"hydra: {{runtime: {{config_sources: [{source}]}}}}")
    folder = ["--config-dir", str(tmp_path / "mine")]
    assert prepare(["rerun=run", "epochs=1"]) == [*folder, "experiment=it", "rerun=run", "epochs=1"]
    (tmp_path / "mine" / "bad.yaml").write_text("_target_: os.system\n")
    with pytest.raises(UserError, match="only plugins of Hydra are instantiated"):
        prepare(["rerun=run"])
    (tmp_path / "mine").rename(tmp_path / "gone")
    with pytest.raises(UserError, match="experiment=it: no such option"):
        prepare(["rerun=run"])


def test_several_problems_make_one_numbered_message():
    assert str(UserError("a: one.", "b: two.")) == "2 problems in this configuration:\n  1. a: one.\n  2. b: two."
    assert str(UserError("a: one.")) == "a: one."


def test_a_run_leaves_one_directory(monkeypatch):
    used = []
    monkeypatch.setattr(
        app, "_run", lambda config, composed, hydra_config: used.append(hydra_config.runtime.output_dir)
    )
    outcome = launch("model=fc")
    logging.shutdown()
    assert outcome.code == 0, outcome.output
    assert [str(path.resolve()) for path in Path("outputs/robustness/digits-fc-orthogonal").iterdir()] == used


@pytest.mark.parametrize(
    ("argv", "code"), [(["epoch=3"], 1), (["--foo"], 1), (["--cfg", "all_of_it"], 1), (["--version"], 0)]
)
def test_main_arguments_exits(argv, code, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train.py", *argv])
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    with pytest.raises(SystemExit) as stop:
        commandline.main_arguments()
    assert stop.value.code == code
    printed = capsys.readouterr()
    assert bool(printed.err) == (code == 1)
    if argv == ["epoch=3"]:
        assert printed.err == f"lipnet: epoch: {NOT_READ} did you mean epochs?{KEYS}\n"


def test_the_version_is_said_without_torch(tmp_path):
    program = (
        "import sys; sys.argv[1:] = ['--version']\nfrom lipnet.app import main\n"
        "try: main()\nfinally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    version, imported = done.stdout.splitlines()
    assert version.startswith(f"lipnet {lipnet.__version__}, torch {torch.__version__.partition('+')[0]}")
    assert imported == "False"


def test_processes_that_share_a_run_find_its_own_files(tmp_path):
    """Options come first, as argparse wants it, and the folder is known where the run directory is composed."""
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    text = "# @package _global_\nhydra: {run: {dir: runs/of-mine}}\n"
    (tmp_path / "mine" / "experiment" / "it.yaml").write_text(text)
    found = commandline._in_one_directory(["--config-dir", "mine", "experiment=it", "seed=1"])
    assert found == ["--config-dir", "mine", "hydra.run.dir=runs/of-mine", "experiment=it", "seed=1"]


def test_main_arguments_completes_the_command_line(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "resume=done"])
    commandline.main_arguments()
    assert sys.argv == ["train.py", *SAVED, "resume=done"]


@pytest.mark.parametrize(
    ("checkout", "expected"), [(True, "conf"), (False, "lipnet/conf")], ids=["checkout", "installed"]
)
def test_config_dir(checkout, expected, tmp_path, monkeypatch):
    (tmp_path / "lipnet").mkdir()
    if checkout:
        (tmp_path / "conf").mkdir()
        (tmp_path / "conf" / "config.yaml").touch()
    monkeypatch.setattr(folder, "__file__", str(tmp_path / "lipnet" / "options" / "folder.py"))
    assert folder.config_dir() == tmp_path / expected


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize(
    ("names", "package"),
    [("[boundary]", "foolbox"), ("[fgsm,pointwise]", "foolbox"), ("[pgd,autoattack]", "pyautoattack")],
)
def test_an_optional_package_is_asked_for_before_anything_starts(monkeypatch, names, package, installed):
    monkeypatch.setattr(mistakes.importlib.util, "find_spec", lambda name: object() if installed else None)
    if installed:
        assert prepare([f"attack.names={names}"]) == [f"attack.names={names}"]
        return
    with pytest.raises(UserError) as error:
        prepare([f"attack.names={names}"])
    (problem,) = error.value.problems
    name = names.strip("[]").rpartition(",")[2]
    assert problem == (
        f"attack.names: {name} needs the package {package}, which is not installed; "
        f"pip install {package}, or leave it out."
    )


def test_runs_that_begin_beside_each_other_do_not_stumble_over_their_folders(tmp_path, monkeypatch):
    """Another run makes the same parent just before this one does, or its own folder in it just after."""
    original = Path.mkdir

    def mkdir(path, *arguments, **keywords):
        if path == tmp_path / "early":
            original(path, *arguments, **keywords)
        original(path, *arguments, **keywords)
        if path == tmp_path / "late":
            original(path / "other")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    for parent in ("early", "late"):
        assert prepare([f"hydra.run.dir={tmp_path / parent / 'run'}"])
        assert not (tmp_path / parent / "run").exists()
    assert (tmp_path / "late" / "other").exists()
