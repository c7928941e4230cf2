"""Command lines with a mistake in them."""

import random
from collections.abc import Iterator

from malformed import Case, lipnet

WRONG_VALUES = {
    "seed": ["-1", "0.5", "a", "null", "[1]", "1e400", str(2**64)],
    "epochs": ["0", "-3", "2.5", "true", "inf", "nan", "{a:1}"],
    "batch_size": ["0", "'8'", "1e3"],
    "device": ["gpu", "tpu", "null", "cuda:99"],
    "threads": ["0", "-1", "many"],
    "eval_radii": ["[]", "[0]", "[-1]", "[1/0]", "[a]", "0.5", "[nan]", "[inf]", "[0.5,1/2]", "null"],
    "certify_dtype": ["float16", "bfloat16", "int8"],
    "optimizer.lr": ["0", "-1", "1e9", "nan", "inf", "fast", "[0.1]"],
    "optimizer.betas": ["[0.9]", "[0.9,1]", "0.9", "[a,b]"],
    "model.channels": ["[]", "[0,4]", "[4]", "4", "[3,4]", "[4,4,4]", "[-4,4]", "[4.5,4]"],
    "model.strides": ["[3,3]", "[0,2]", "[16,16]"],
    "model.kernel_sizes": ["[64,64]", "[1,1]", "[3,3]"],
    "dataset.validation": ["1", "-0.1", "0.9", "1e-9", "half"],
    "dataset.limit_train": ["0", "-5", "1.5", "1"],
    "dataset.mean": ["[]", "[0,0]", "0", "[nan]"],
    "dataset.std": ["[0]", "[-1]", "[1,1,1]", "[inf]"],
    "attack.names": ["[fgm]", "fgsm", "[fgsm,fgsm]", "[[fgsm]]"],
    "attack.steps": ["0", "1.5"],
    "estimate.confidence": ["0.9"],
    "resume": ["nowhere", "''", "/dev/null", "../../.."],
    "run": ["nowhere", "../../etc"],
}  # fmt: skip
WRONG_LINES = [
    "epoch=3", "modle=fc", "model=smal", "conv=", "task=", "=3", "==", "epochs", "epochs==3", "+epochs=3", "++foo=1",
    "~seed", "~model", "model.name=fc", "model.foo=1", "+model.hiden=[4]", "foo.bar.baz=1",
    "model=../../../etc/passwd", "experiment=../config", "experiment=paper", "dataset=cone", "task=wasserstein",
    "task=wasserstein dataset=digits", "loss=kantorovich", "task=evaluate", "task=export",
    "task=evaluate run=nowhere", "task=export run=nowhere", "task=evaluate run=. resume=.", "epochs=1,2", "epochs=${",
    "epochs=${oc.env}", "epochs=${nothing:1}", "epochs=${foo}", "epochs=${epochs}", "seed=${oc.env:NO_SUCH_VARIABLE}",
    "epochs=[1", "epochs='1", 'epochs="1', "epochs={", "epochs=1)", "a b=c", "--foo", "--config-path=.",
    "--config-name=x", "--config-dir=nowhere", "--experimental-rerun=x.pickle", "hydra.searchpath=[file:///tmp]",
    "hydra.job.name=../../../evil", "hydra.output_subdir=../..", "hydra.sweep.subdir=/tmp/evil", "hydra.foo=1",
    "hydra.run.dir=/proc/lipnet", "hydra/launcher=nothing", "-m epochs=range(0)", "-m epochs=0,1",
    "-m conv=bcop,foo", "conv=glob(z*)", "-m conv=glob(z*)", "model@foo=fc",
    "dataset=cifar10 model=fc dataset.mean=[0]", "dataset.augment=true", "scheduler=cosine scheduler.warmup=0.1",
    "dataset=two_images task=wasserstein model=fc dataset.first=-1",
    "dataset=spheres task=wasserstein dataset.radii=[1,1]", "activation=groupsort activation.group_size=3",
    "activation.group_size=2", "amp=fp16", "compile=yes", "progress=maybe",
    "dataset=mnist dataset.root=nowhere dataset.download=false", "dataset=mnist dataset.root=~nobody-here/x "
    "dataset.download=false", "resume=~", "run=~/nowhere", "rerun=nowhere", "rerun=a,b", "hydra.run.dir=a\\${b}",
    "-m seed=0,1 objective=clean_acuracy", "-m seed=0,1 objective=certified_accuracy.0.25",
    "-m seed=0,1 objective=validation.loss dataset.validation=0", "-m seed=0,1 objective=attacked_accuracy.ddn.9",
    "sweep=seeds objective=wasserstein.estimate", "-m seed=0,1 hydra.sweep.subdir=one", "-m resume=nowhere seed=0,1",
]  # fmt: skip


def command_lines(fuzz: int) -> Iterator[Case]:
    """Wrong values, keys, options and flags, each alone; and random ones."""
    lines = [f"{key}={value}" for key, values in WRONG_VALUES.items() for value in values]
    for line in lines:
        yield Case("command lines", line, lambda folder, line=line: [line], lipnet)
    for line in WRONG_LINES:
        split = [line] if line == "a b=c" else line.split(" ")
        yield Case("command lines", line, lambda folder, split=split: split, lipnet)
    draw = random.Random(0)
    for _ in range(fuzz):
        text = "".join(draw.choices("[]{}()=,:$'\"~+@\\%.-_ /\t\n0a!#é", k=draw.randrange(1, 12)))
        line = draw.choice(["", "epochs=", "model.", "model=", "dataset.std=", "eval_radii=", "+"]) + text
        yield Case("random command lines", repr(line), lambda folder, line=line: ["--cfg=job", line], lipnet, True)
