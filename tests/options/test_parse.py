import copy
import dataclasses
import functools

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from lipnet.errors import UserError
from lipnet.options.folder import config_dir
from lipnet.options.parse import NODES, Config, examine, parse
from lipnet.options.readers import run_readers
from lipnet.options.registry import GROUPS, image_sets, names_for

PAIRS, STREAMS = names_for("dataset", "pair"), names_for("dataset", "stream")

NUMBER = "must be a finite number"
LIST, EACH = "must be a list", "each entry a finite number"
FRACTION = ", or a fraction such as 36/255"
FOR_GANS = ["model=gan_critic"]
FOR_LARGER_IMAGES = ["model=shufflenet", "model=residual"]
LOSSES = ", ".join(names_for("loss", "images"))
CONVS = ", ".join(GROUPS["conv"])
LABELLED, IMAGES = ", ".join(names_for("dataset", "images")), ", ".join(image_sets())
A_GAN = ["run=somewhere", "dataset.source=mnist"]
SHUFFLED = ["model=large", "conv.groups=4"]
NARROW = ["model=shufflenet", "model.groups=4", "model.channels=[32,48]", "model.units=[1,2]"]
OF_RUNS = [f"task={name}" for name in run_readers()]
FOR_PAIRS = ["task=wasserstein", "loss=kantorovich", "model=cones", *(f"dataset={name}" for name in PAIRS)]
FOR_PROBLEMS = [
    "task=bayes", "loss=likelihood", *(f"inference={name}" for name in GROUPS["inference"]),
    *(f"dataset={name}" for name in names_for("dataset", "problem")),
]  # fmt: skip
FOR_STREAMS = [
    "task=online", "model=experts", *(f"dataset={name}" for name in STREAMS),
    *(f"loss={name}" for name in names_for("loss", "stream")),
]  # fmt: skip
A_SERIES = "dataset.file=series.csv"
ONLINE = ["task=online", "dataset=setar"]
OPTION_SETS = [
    ["task=online", "dataset=setar", f"{group}={option}", *([A_SERIES] if option == "series" else [])]
    if f"{group}={option}" in FOR_STREAMS
    else ["task=wasserstein", "dataset=cone", f"{group}={option}", *(A_GAN if option == "gan" else [])]
    if f"{group}={option}" in FOR_PAIRS
    else ["task=gan", f"{group}={option}"] if f"{group}={option}" in FOR_GANS
    else [f"{group}={option}", "task.public_validation=true"] if option == "private"
    else ["dataset=cifar10", f"{group}={option}"] if f"{group}={option}" in FOR_LARGER_IMAGES
    else ["task=bayes", "dataset=quartic", f"{group}={option}"] if f"{group}={option}" in FOR_PROBLEMS
    else [f"{group}={option}", "model=large", "conv.groups=4"] if group == "shuffle"
    else [f"{group}={option}", "model.build=my_module:build"] if f"{group}={option}" == "model=module"
    else [f"{group}={option}"]
    for group, options in GROUPS.items()
    for option in options
    if f"{group}={option}" not in OF_RUNS
] + [[task, "run=somewhere"] for task in OF_RUNS]  # fmt: skip

# (options, changed keys, every problem)
PROBLEMS = [
    # of the user's own
    (
        ["model=module"],
        {},
        ["model.build=null: model=module needs the function that returns the network, as my_module:build."],
    ),
    *(
        (
            ["task=evaluate", "model=module", "model.build=my_module:build", "model.weights=w.pt", *chosen],
            {},
            [
                f"{chosen[0]}: nothing is measured of a single network on it; task=evaluate takes labelled images and "
                "pairs of distributions."
            ],
        )
        for chosen in (["dataset=quartic"], ["dataset=setar"])
    ),
    (["dataset=image_folder"], {"dataset.channels": 2}, ["dataset.channels=2: must be 1 or 3."]),
    (["dataset=table"], {"dataset.test": 1}, ["dataset.test=1: must be a finite number > 0 and < 1."]),
    ([], {"plugins": "mine"}, ["plugins=mine: must be a list, each entry a non-empty text."]),
    # top level
    ([], {"epochs": 0}, ["epochs=0: must be a whole number >= 1."]),
    ([], {"epochs": None}, ["epochs=null: must be a whole number >= 1."]),
    ([], {"batch_size": 1.0}, ["batch_size=1.0: must be a whole number >= 1."]),
    ([], {"seed": -1}, ["seed=-1: must be a whole number >= 0 and < 2^64."]),
    ([], {"threads": 0}, ["threads=0: must be a whole number >= 1, or null."]),
    ([], {"device": "gpu"}, ["device=gpu: must be one of auto, cpu, cuda."]),
    ([], {"progress": "maybe"}, ["progress=maybe: must be one of auto, on, off."]),
    ([], {"certify_dtype": "float16"}, ["certify_dtype=float16: must be one of float64, float32."]),
    ([], {"singular_values_every": -1}, ["singular_values_every=-1: must be a whole number >= 0."]),
    ([], {"resume": ""}, ["resume=: must be a path, or null."]),
    # each option's own keys
    (
        [],
        {"task.select_by": "accuracy"},
        [
            "task.select_by=accuracy: must be one of certified_accuracy, certified_accuracy_per_pair, clean_accuracy, "
            "loss."
        ],
    ),
    ([], {"conv.padding_mode": "same"}, ["conv.padding_mode=same: must be one of circular, zeros."]),
    (["conv=plain"], {"conv.padding_mode": "same"}, ["conv.padding_mode=same: must be one of circular, zeros."]),
    ([], {"conv.orthogonalizer": "qr"}, ["conv.orthogonalizer=qr: must be one of cholesky, bjorck."]),
    (["linear=bjorck"], {"linear.iterations": 0}, ["linear.iterations=0: must be a whole number >= 1."]),
    (
        ["activation=groupsort"],
        {"activation.group_size": 1},
        ["activation.group_size=1: must be a whole number >= 2, or null."],
    ),
    (
        ["activation=spline"],
        {"activation.knots": 2, "activation.range": 0, "activation.initial": "sine", "activation.shared": 1},
        [
            "activation.knots=2: must be a whole number >= 3 and <= 1025.",
            f"activation.range=0: {NUMBER} > 0.",
            "activation.initial=sine: must be one of identity, abs, relu, pairs.",
            "activation.shared=1: must be true or false.",
        ],
    ),
    (
        ["activation=spline"],
        {
            "activation.constrained": "yes",
            "activation.tv2": -1,
            "activation.steep": -0.1,
            "activation.rate": -1,
            "activation.threshold": -1,
        },
        [
            "activation.constrained=yes: must be true or false.",
            f"activation.tv2=-1: {NUMBER} >= 0.",
            f"activation.steep=-0.1: {NUMBER} >= 0.",
            f"activation.rate=-1: {NUMBER} >= 0.",
            f"activation.threshold=-1: {NUMBER} >= 0.",
        ],
    ),
    (
        ["activation=spline"],
        {"activation.shared": True},
        [
            "activation.initial=pairs: needs a spline for each channel, and activation.shared=true has one for all; "
            "use identity, abs, relu."
        ],
    ),
    (
        ["activation=spline"],
        {"activation.constrained": False, "activation.steep": 0.5},
        ["activation.steep=0.5: free slopes (activation.constrained=false) would grow without end; use 0."],
    ),
    (
        ["activation=leaky_relu"],
        {"activation.negative_slope": 1.5},
        [f"activation.negative_slope=1.5: {NUMBER} >= 0 and <= 1."],
    ),
    (["activation=spline"], {"activation.bv2": -1}, [f"activation.bv2=-1: {NUMBER} >= 0."]),
    # points of a square
    (["dataset=circle"], {"dataset.points": 1}, ["dataset.points=1: must be a whole number >= 2."]),
    (
        ["dataset=circle", "model=small"],
        {},
        ["model=small: needs images, and dataset=circle draws vectors; use model=fc."],
    ),
    (
        ["dataset=s_shape", "model=critic"],
        {},
        ["model=critic: needs images, and dataset=s_shape draws vectors; use model=fc."],
    ),
    (
        ["dataset=circle"],
        {"dataset.crop": 1, "attack.names": ["pgd", "autoattack"]},
        [
            "dataset.crop=1: shifts images, and dataset=circle draws points; use 0.",
            "attack.names=[autoattack]: they change images, and dataset=circle draws points; leave them out.",
        ],
    ),
    (
        ["dataset=circle"],
        {"dataset.mean": [0.5]},
        ["dataset.mean has 1 entries: circle has 2 channels, one entry each."],
    ),
    (
        ["task=gan", "dataset=circle"],
        {},
        [f"dataset=circle: draws points, and task=gan generates images; use dataset={IMAGES}."],
    ),
    (
        ["task=wasserstein", "dataset=nearest_anchor"],
        {"dataset.source": "circle"},
        [f"dataset.source=circle: not one of {IMAGES}; it must be a set of labelled images."],
    ),
    ([], {"dataset.validation": 0.51}, [f"dataset.validation=0.51: {NUMBER} >= 0 and <= 0.5."]),
    ([], {"dataset.limit_train": 0}, ["dataset.limit_train=0: must be a whole number >= 1, or null."]),
    ([], {"dataset.limit_test": 0}, ["dataset.limit_test=0: must be a whole number >= 1, or null."]),
    ([], {"dataset.mean": ["a"]}, [f"dataset.mean=[a]: {LIST} of at least 1, {EACH}."]),
    ([], {"dataset.std": [-1]}, [f"dataset.std=[-1]: {LIST} of at least 1, {EACH} > 0."]),
    ([], {"dataset.epsilon": 0}, [f"dataset.epsilon=0: {NUMBER} > 0{FRACTION}."]),
    (["dataset=mnist"], {"dataset.root": ""}, ["dataset.root=: must be a path."]),
    (["dataset=mnist"], {"dataset.download": "yes"}, ["dataset.download=yes: must be true or false."]),
    (["dataset=cifar10"], {"dataset.augment": "yes"}, ["dataset.augment=yes: must be true or false."]),
    ([], {"dataset.crop": -1}, ["dataset.crop=-1: must be a whole number >= 0."]),
    ([], {"loss.epsilon": 0}, [f"loss.epsilon=0: {NUMBER} > 0{FRACTION}."]),
    (["loss=cross_entropy"], {"loss.epsilon": -1}, [f"loss.epsilon=-1: {NUMBER} >= 0{FRACTION}."]),
    (["loss=cross_entropy"], {"loss.temperature": 0}, [f"loss.temperature=0: {NUMBER} > 0."]),
    ([], {"optimizer.lr": 101}, [f"optimizer.lr=101: {NUMBER} > 0 and <= 100."]),
    ([], {"optimizer.weight_decay": -0.1}, [f"optimizer.weight_decay=-0.1: {NUMBER} >= 0."]),
    (
        [],
        {"optimizer.betas": [0.9, 1]},
        [f"optimizer.betas=[0.9,1]: {LIST} of 2, {EACH} >= 0 and < 1."],
    ),
    (["optimizer=sgd"], {"optimizer.momentum": 1}, [f"optimizer.momentum=1: {NUMBER} >= 0 and < 1."]),
    (["optimizer=rmsprop"], {"optimizer.alpha": 1}, [f"optimizer.alpha=1: {NUMBER} >= 0 and < 1."]),
    ([], {"scheduler.warmup": 0}, [f"scheduler.warmup=0: {NUMBER} > 0 and < 1."]),
    ([], {"scheduler.warmup": 1}, [f"scheduler.warmup=1: {NUMBER} > 0 and < 1."]),
    ([], {"scheduler.final": 1.1}, [f"scheduler.final=1.1: {NUMBER} >= 0 and <= 1."]),
    (["scheduler=cosine"], {"scheduler.final": -1}, [f"scheduler.final=-1: {NUMBER} >= 0 and <= 1."]),
    (["scheduler=exponential"], {"scheduler.gamma": 0}, [f"scheduler.gamma=0: {NUMBER} > 0 and <= 1."]),
    ([], {"attack.steps": 0}, ["attack.steps=0: must be a whole number >= 1."]),
    (
        [],
        {"attack.names": ["fgms"]},
        [
            "attack.names=[fgms]: fgms is not there; did you mean fgsm? it must be a list of different names among "
            "fgsm, pgd, ddn, fgsm_paper, pgd_paper, boundary, pointwise, autoattack."
        ],
    ),
    (
        [],
        {"attack.names": ["pgd", "pgd"]},
        [
            "attack.names=[pgd,pgd]: must be a list of different names among fgsm, pgd, ddn, fgsm_paper, pgd_paper, "
            "boundary, pointwise, autoattack."
        ],
    ),
    ([], {"attack.restarts": 0}, ["attack.restarts=0: must be a whole number >= 1."]),
    ([], {"attack.examples": 0}, ["attack.examples=0: must be a whole number >= 1, or null."]),
    ([], {"attack.proved": 1.1}, ["attack.proved=1.1: must be a finite number >= 0 and <= 1."]),
    ([], {"attack.proved": -0.1}, ["attack.proved=-0.1: must be a finite number >= 0 and <= 1."]),
    # between keys
    (
        [],
        {"run": "somewhere"},
        ["run=somewhere: only task=evaluate, task=export and dataset=gan read it; to continue a run use resume=DIR."],
    ),
    (["task=evaluate"], {}, ["run=null: task=evaluate needs run=DIR, the directory of a finished run."]),
    (
        ["task=evaluate", "run=a"],
        {"resume": "b"},
        ["resume and task=evaluate do not go together: evaluate a run with run=DIR alone."],
    ),
    ([], {"dataset.mean": [0.0, 0.0, 0.0]}, ["dataset.mean has 3 entries: digits has 1 channels, one entry each."]),
    (
        ["dataset=cifar10"],
        {"dataset.std": [1.0]},
        ["dataset.std has 1 entries: cifar10 has 3 channels, one entry each."],
    ),
    (
        [],
        {"model.channels": [], "model.kernel_sizes": [], "model.strides": []},
        [
            "model.channels has 0, model.kernel_sizes has 0, model.strides has 0: "
            "these lists describe the convolutions and must have one entry for each."
        ],
    ),
    (
        ["dataset=mnist"],
        {"model.strides": [2, 4]},
        [
            "model.strides[1]=4: does not divide the image, which is 14x14 there (mnist starts at 28x28); "
            "use a stride that does, or fewer strided layers."
        ],
    ),
    (
        [],
        {"model.kernel_sizes": [4, 8]},
        [
            "model.kernel_sizes[1]=8: larger than the image, which is 4x4 there (digits starts at 8x8); "
            "use a kernel of at most 4, or fewer strided layers."
        ],
    ),
    (
        ["model=fc"],
        {"model.hidden": [1]},
        ["model.hidden[0]=1: activation=maxmin sorts groups of 2, so this must be a multiple of 2; the nearest is 2."],
    ),
    (
        [],
        {"model.channels": [16, 31], "model.hidden": [99]},
        [
            f"model.{key}: activation=maxmin sorts groups of 2, so this must be a multiple of 2; the nearest is {near}."
            for key, near in (("channels[1]=31", 32), ("hidden[0]=99", 100))
        ],
    ),
    # a group that is not one
    ([], {"attack": 3}, ["attack=3: must be a group of keys; choose an option or override a key in it."]),
    ([], {"attack": None}, ["attack=null: must be a group of keys; choose an option or override a key in it."]),
    ([], {"model": "small"}, ["model=small: must be a group of keys; choose an option or override a key in it."]),
    (
        [],
        {"model": 3},
        [
            "model=3: no such option; see --help for the names. model takes small, large, fc, critic, cones, "
            "gan_critic, shufflenet, residual, module, experts."
        ],
    ),
    (
        [],
        {"conv": {"name": "bcopp"}},
        [f"conv=bcopp: no such option; did you mean bcop? conv takes {CONVS}."],
    ),
    (
        [],
        {"conv": {"padding_mode": "zeros"}},
        [f"conv=null: no such option; see --help for the names. conv takes {CONVS}."],
    ),
    # pairs of distributions
    *(
        (["task=wasserstein", f"dataset={name}"], {f"dataset.{key}": value}, [f"dataset.{key}={shown}: {must}."])
        for name, key, value, shown, must in (
            ("cone", "dimension", 0, "0", "must be a whole number >= 1"),
            ("cone", "radius", 0, "0", f"{NUMBER} > 0"),
            ("cone", "steps_per_epoch", 0, "0", "must be a whole number >= 1"),
            ("cone", "selection_samples", 1, "1", "must be a whole number >= 2"),
            ("cone", "seed", -1, "-1", "must be a whole number >= 0 and < 2^63"),
            (
                "cone",
                "evaluation_samples",
                11,
                "11",
                "too few to prove anything with estimate.confidence=0.95; use at least 12",
            ),
            ("nuisance", "dimension", 1, "1", "must be a whole number >= 2"),
            ("spheres", "radii", [1.0], "[1.0]", f"{LIST} of 2, {EACH} > 0"),
            ("spheres", "radii", [2, 2], "[2.0,2.0]", "two equal distributions, at distance 0; use different numbers"),
            (
                "scaled_gaussians",
                "scales",
                [1, 1.0],
                "[1.0,1.0]",
                "two equal distributions, at distance 0; use different numbers",
            ),
            ("partial_mass", "fraction", 1.5, "1.5", f"{NUMBER} > 0 and <= 1"),
            (
                "nearest_anchor",
                "source",
                "cifar",
                "cifar",
                f"not one of {IMAGES}; did you mean cifar10? it must be a set of labelled images",
            ),
            ("discrete", "atoms", 3000, "3000", "must be a whole number >= 1 and <= 2000"),
            ("two_classes", "atoms", 6000, "6000", "must be a whole number >= 1 and <= 5000"),
            ("two_classes", "classes", [3], "[3]", f"{LIST} of 2, each entry a whole number >= 0"),
            (
                "two_classes",
                "classes",
                [3, 3],
                "[3,3]",
                "two equal distributions, at distance 0; use different numbers",
            ),
            ("minfunnel", "degree", 0.5, "0.5", f"{NUMBER} >= 1"),
        )
    ),
    ([], {"diagnostics.per_example": 1}, ["diagnostics.per_example=1: must be true or false."]),
    ([], {"averaging": 1}, [f"averaging=1: {NUMBER} > 0 and < 1, or null."]),
    ([], {"diagnostics.every": 0}, ["diagnostics.every=0: must be a whole number >= 1."]),
    ([], {"conformal.alpha": 1}, [f"conformal.alpha=1: {NUMBER} > 0 and < 1, or null."]),
    ([], {"conformal.calibration": "train"}, ["conformal.calibration=train: must be one of validation, test."]),
    (
        [],
        {"conformal.alpha": 0.1, "dataset.validation": 0},
        [
            "conformal.alpha=0.1: is calibrated on held-out examples, and dataset.validation=0 holds out none; use "
            "conformal.calibration=test, or hold some out."
        ],
    ),
    ([], {"diagnostics.examples": 0}, ["diagnostics.examples=0: must be a whole number >= 1."]),
    (
        ["task=wasserstein", "dataset=cone"],
        {"estimate.confidence": 1},
        [f"estimate.confidence=1: {NUMBER} >= 0.5 and < 1."],
    ),
    (
        ["task=wasserstein", "dataset=cone"],
        {"estimate.transport_samples": 0},
        ["estimate.transport_samples=0: must be a whole number >= 1 and <= 10000."],
    ),
    (
        ["task=wasserstein", "dataset=cone", "model=large"],
        {},
        ["model=large: needs images, and dataset=cone draws vectors; use model=fc."],
    ),
    (
        ["dataset=cone"],
        {},
        [
            "dataset=cone: a pair of distributions without labels, and task=robustness classifies; use "
            "task=wasserstein, "
            f"or dataset={LABELLED}."
        ],
    ),
    (
        ["task=wasserstein"],
        {},
        [
            f"dataset=digits: labelled images, and task=wasserstein compares two distributions; choose a pair, "
            f"dataset={', '.join(PAIRS)}."
        ],
    ),
    # GANs
    (["task=gan"], {"task.critic_steps": 0}, ["task.critic_steps=0: must be a whole number >= 1."]),
    (["task=gan"], {"task.samples_every": -1}, ["task.samples_every=-1: must be a whole number >= 0."]),
    (["task=gan"], {"generator.latent": 0}, ["generator.latent=0: must be a whole number >= 1."]),
    (["task=gan"], {"generator.lr": 0}, [f"generator.lr=0: {NUMBER} > 0 and <= 100."]),
    (["task=gan", "model=gan_critic"], {"model.penalty": 0}, [f"model.penalty=0: {NUMBER} > 0."]),
    (
        ["task=gan"],
        {"generator.channels": [8] * 4},
        ["generator.channels has 4 entries: each halves the image, and 8x8 cannot be divided by 16; use fewer."],
    ),
    (
        ["task=gan", "model=gan_critic", "dataset=mnist"],
        {"model.channels": [8] * 3},
        ["model.channels has 3 entries: each halves the image, and 28x28 cannot be divided by 8; use fewer."],
    ),
    (
        ["task=gan", "conv=plain", "linear=plain"],
        {},
        [
            "conv=plain, linear=plain: nothing bounds such a critic, and its loss has no minimum; use constrained "
            "layers, or model=gan_critic, whose gradient is penalised."
        ],
    ),
    (["task=gan"], {"batch_size": 1}, ["batch_size=1: the generator normalises over a batch; use at least 2."]),
    (["task=gan"], {"amp": "bf16"}, ["compile=true or amp=bf16: task=gan does not read them; leave them out."]),
    (
        ["task=gan", "dataset=cone"],
        {},
        [f"dataset=cone: a pair of distributions, and task=gan learns images; use dataset={IMAGES}."],
    ),
    (["task=gan", "loss=margin"], {}, ["loss=margin: task=gan trains with the critic's, kantorovich; leave it out."]),
    (
        ["model=gan_critic"],
        {},
        ["model=gan_critic: has no Lipschitz constant that could be proved; only task=gan trains it."],
    ),
    (
        ["task=wasserstein", "dataset=gan"],
        {},
        ["run=null: dataset=gan needs run=DIR, the directory of a finished run of task=gan."],
    ),
    (
        ["task=wasserstein", "dataset=gan", "run=nowhere"],
        {},
        [
            "dataset.run=nowhere: not the directory of a run of task=gan; train one with task=gan dataset=mnist, and "
            "give its directory."
        ],
    ),
    (
        ["loss=kantorovich"],
        {},
        [f"loss=kantorovich: needs a pair of distributions, not dataset=digits; use loss={LOSSES}."],
    ),
    ([], {"eval_radii": None}, ["eval_radii=null: a classifier is certified at radii > 0, such as [0.3,36/255]."]),
    (
        ["task=wasserstein", "dataset=cone", "model=cones"],
        {"model.cones": 0, "model.apices": "third"},
        ["model.cones=0: must be a whole number >= 1.", "model.apices=third: must be one of first, second."],
    ),
    (["model=cones"], {}, ["model=cones: has one output, and dataset=digits has classes; use small, large, fc."]),
    (["model=critic"], {"model.image_size": 0}, ["model.image_size=0: must be a whole number >= 1."]),
    (
        ["model=critic"],
        {"model.image_size": 8},
        [
            "model.kernel_sizes[2]=4: larger than the image, which is 2x2 there (digits starts at 8x8); "
            "use a kernel of at most 2, or fewer strided layers."
        ],
    ),
    # streams
    (
        ["task=online", "dataset=digits"],
        {},
        [f"dataset=digits: no stream, and task=online predicts one; choose dataset={', '.join(STREAMS)}."],
    ),
    (
        ["dataset=setar"],
        {},
        [f"dataset=setar: a stream, which task=online predicts; use task=online, or dataset={LABELLED}."],
    ),
    (
        ["loss=squared"],
        {},
        ["loss=squared: of the predictions of a stream, and dataset=digits is none; leave it out."],
    ),
    (
        ["task=online", "dataset=setar", "loss=kantorovich"],
        {},
        [
            "loss=kantorovich: not of a prediction of numbers, as dataset=setar asks for; use loss=squared, absolute, "
            "pinball."
        ],
    ),
    (["model=experts"], {}, ["model=experts: predicts a stream; only task=online trains it."]),
    (
        ["task=online", "dataset=setar", "model=fc"],
        {},
        ["model=fc: task=online trains a bank of networks; use model=experts."],
    ),
    (
        [*ONLINE],
        {"model.memories": [], "model.budgets": [0], "model.hidden": [0]},
        [
            f"model.memories=[]: {LIST} of at least 1, each entry a whole number >= 1.",
            f"model.budgets=[0]: {LIST} of at least 1, {EACH} > 0.",
            f"model.hidden=[0]: {LIST}, each entry a whole number >= 1.",
        ],
    ),
    (
        [*ONLINE],
        {"model.memories": [1, 30, 1], "model.budgets": [1.0, 1.0]},
        [
            "model.memories=[1, 30, 1]: two of them are equal; give each once.",
            "model.budgets=[1.0, 1.0]: two of them are equal; give each once.",
            "dataset.warmup=20: the first prediction needs 30 observations before it, the largest of model.memories; "
            "use at least as many.",
        ],
    ),
    (
        [*ONLINE],
        {"model.memories": list(range(1, 18)), "model.budgets": [1.0 + place for place in range(17)]},
        ["model.memories and model.budgets make 289 experts; use at most 256."],
    ),
    (
        [*ONLINE],
        {"dataset.warmup": 1, "dataset.scale": None, "model.memories": [1]},
        ["dataset.warmup=1: one observation has no spread; use at least 2, or give dataset.scale."],
    ),
    (
        [*ONLINE],
        {"dataset.rounds": None, "dataset.noise": 0, "dataset.shift": "x", "dataset.scale": 0},
        [
            "dataset.rounds=null: must be a whole number >= 1.",
            f"dataset.shift=x: {NUMBER}, or null.",
            f"dataset.scale=0: {NUMBER} > 0, or null.",
            f"dataset.noise=0: {NUMBER} > 0.",
        ],
    ),
    (
        ["task=online", "dataset=logistic_map"],
        {"dataset.noise": 0.06},
        [f"dataset.noise=0.06: {NUMBER} > 0 and <= 0.05."],
    ),
    (["task=online", "dataset=hidden_markov"], {"dataset.stay": 1}, [f"dataset.stay=1: {NUMBER} > 0 and < 1."]),
    (
        ["task=online", "dataset=change_point"],
        {"dataset.change": 0},
        ["dataset.change=0: must be a whole number >= 1."],
    ),
    (
        ["task=online", "dataset=series"],
        {},
        ["dataset.file=null: dataset=series needs dataset.file=FILE.csv, a line an observation."],
    ),
    (
        [*ONLINE],
        {
            "task.aggregator": "best",
            "task.rate": 0,
            "task.window": 0,
            "task.updates": -1,
            "task.examples": 0,
            "task.averaging": 1,
            "task.penalty": -1,
            "task.radius": 0,
            "task.attack_every": -1,
            "task.baselines": ["rigde"],
        },
        [
            "task.aggregator=best: must be one of weak, hedge, adahedge, leader, uniform.",
            f"task.rate=0: {NUMBER} > 0.",
            "task.window=0: must be a whole number >= 1.",
            f"task.updates=-1: {NUMBER} >= 0 and <= 100.",
            "task.examples=0: must be a whole number >= 1.",
            f"task.averaging=1: {NUMBER} >= 0 and < 1.",
            f"task.penalty=-1: {NUMBER} >= 0.",
            f"task.radius=0: {NUMBER} > 0.",
            "task.attack_every=-1: must be a whole number >= 0.",
            "task.baselines=[rigde]: rigde is not there; did you mean ridge? it must be a list of different names "
            "among last_value, ridge, network, snarimax, holt_winters, adaptive_tree.",
        ],
    ),
    (
        [*ONLINE, "linear=spectral"],
        {},
        ["linear=spectral: makes no stack of layers; use linear=orthogonal, bjorck or plain."],
    ),
    (
        [*ONLINE],
        {"task.penalty": 0.5},
        [
            "task.penalty=0.5: for unconstrained networks, linear=plain; those of linear=orthogonal never exceed their "
            "constants."
        ],
    ),
    (
        [*ONLINE, "scheduler=cosine"],
        {},
        ["scheduler=cosine: a stream has no last round to plan for; use scheduler=constant."],
    ),
    (
        [*ONLINE],
        {"debug": "overfit", "compile": True},
        [
            "debug=overfit: task=online sees each observation once; use debug=fast.",
            "compile=true or amp=bf16: task=online does not read them; leave them out.",
        ],
    ),
    (
        ["task=online", "dataset=setar", "loss=pinball"],
        {"loss.quantile": 1},
        [f"loss.quantile=1: {NUMBER} > 0 and < 1."],
    ),
    # groups and shuffles
    ([], {"conv.groups": 0}, ["conv.groups=0: must be a whole number >= 1."]),
    (
        [],
        {"conv.groups": 6},
        [
            "model.channels[0]=16: conv.groups=6 splits them, so this must be a multiple of 6; the nearest is 18.",
            "model.channels[1]=32: conv.groups=6 splits them, so this must be a multiple of 6; the nearest is 30.",
        ],
    ),
    (
        [],
        {"conv.groups": 2, "model.channels": [16], "model.kernel_sizes": [2], "model.strides": [2]},
        [
            "conv.groups=2: model.channels has one entry, and the first convolution is never grouped; leave it out, or "
            "use two convolutions or more."
        ],
    ),
    (
        ["shuffle=learned"],
        {},
        [
            "shuffle=learned: stands between grouped convolutions, and conv.groups=1 mixes all channels; use more "
            "groups, such as conv.groups=4, or leave it out."
        ],
    ),
    (
        ["shuffle=fixed", "conv=svcm"],
        {},
        ["shuffle=fixed: stands between grouped convolutions, and conv=svcm has no groups; leave it out."],
    ),
    (
        ["shuffle=random"],
        {"conv.groups": 4},
        [
            "shuffle=random: stands between grouped convolutions, and of two the first is never grouped; use "
            "model=large, or three entries or more of model.channels."
        ],
    ),
    (
        [*SHUFFLED, "shuffle=fixed"],
        {"shuffle.keep_pairs": True, "model.channels": [32, 36, 64, 64]},
        [
            "model.channels[1]=36: shuffle.keep_pairs=true moves pairs, so this must be a multiple of 8; the nearest "
            "is 32."
        ],
    ),
    (
        [*SHUFFLED, "shuffle=learned"],
        {"shuffle.keep_pairs": True, "shuffle.initial": "fixed", "model.channels": [32, 36, 64, 64]},
        [
            "model.channels[1]=36: shuffle.keep_pairs=true moves pairs, so this must be a multiple of 8; the nearest "
            "is 32."
        ],
    ),
    (
        [*SHUFFLED, "shuffle=random", "activation=relu"],
        {"shuffle.keep_pairs": True, "conv.groups": 3, "model.channels": [33, 33, 66, 66]},
        [
            "model.channels[1]=33: shuffle.keep_pairs=true moves pairs, so this must be a multiple of 6; the nearest "
            "is 36."
        ],
    ),
    ([*SHUFFLED, "shuffle=random"], {"shuffle.signed": 1}, ["shuffle.signed=1: must be true or false."]),
    ([*SHUFFLED, "shuffle=learned"], {"shuffle.weight": -1}, [f"shuffle.weight=-1: {NUMBER} >= 0."]),
    ([*SHUFFLED, "shuffle=learned"], {"shuffle.ramp": 2}, [f"shuffle.ramp=2: {NUMBER} >= 0 and <= 1."]),
    ([*SHUFFLED, "shuffle=learned"], {"shuffle.harden": 0}, [f"shuffle.harden=0: {NUMBER} > 0 and <= 1."]),
    # Residual networks
    (
        ["model=residual"],
        {"model.patch": 3},
        ["model.patch=3: does not divide the image, and digits has 8x8."],
    ),
    (
        ["model=residual"],
        {"model.blocks": [1, 2]},
        [
            "model.channels has 3, model.blocks has 2, model.kernel_sizes has 3: these lists describe the stages and "
            "must have one entry for each."
        ],
    ),
    (
        ["model=residual"],
        {"model.patch": 8, "model.kernel_sizes": [1, 1, 1]},
        [
            "model.channels has 3 entries: each stage but the first halves the image, which is 1x1 in stage 1; use 1, "
            "or another model.patch."
        ],
    ),
    (
        ["model=residual"],
        {},
        ["model.kernel_sizes[1]=3: larger than the image, which is 2x2 there; use at most 2."],
    ),
    (
        ["model=residual", "conv.groups=4"],
        {"model.channels": [10, 34, 64], "model.kernel_sizes": [3, 1, 1], "model.stem": "zeros"},
        [
            "model.channels[1]=34: with model.down=crop a stage has four times the channels that are kept, so this "
            "must be a multiple of 4; the nearest is 32.",
            "model.channels[0]=10: conv.groups=4 splits them, so this must be a multiple of 4; the nearest is 8.",
            "model.channels[1]=34: conv.groups=4 splits them, so this must be a multiple of 4; the nearest is 32.",
        ],
    ),
    (
        ["model=residual"],
        {"model.channels": [2, 32, 64], "model.kernel_sizes": [3, 1, 1], "model.stem": "zeros"},
        [
            "model.channels[0]=2: with model.stem=zeros nothing of the image may be left out, so this must be at "
            "least 4."
        ],
    ),
    (
        ["model=residual"],
        {"model.channels": [2, 32, 64], "model.kernel_sizes": [3, 1, 1], "model.block": "lipnext"},
        ["model.channels[0]=2: lipnext moves four groups of channels; use at least 4."],
    ),
    (
        ["model=residual", "task=wasserstein", "dataset=cone", "loss=kantorovich"],
        {},
        ["model=residual: needs images, and dataset=cone draws vectors; use model=fc."],
    ),
    # margins of pairs of classes
    (
        ["conv=plain"],
        {"loss.per_pair": True},
        [
            "loss.per_pair=true: with conv=plain nothing bounds what is before the last layer; use constrained layers, "
            "or loss.per_pair=false."
        ],
    ),
    (
        ["model=fc", "linear=plain"],
        {"loss.per_pair": True},
        [
            "loss.per_pair=true: with linear=plain nothing bounds what is before the last layer; use constrained "
            "layers, or loss.per_pair=false."
        ],
    ),
    (
        NARROW,
        {"loss.per_pair": True},
        ["loss.per_pair=true: nothing bounds model=shufflenet; use loss.per_pair=false."],
    ),
    # each loss
    ([], {"loss.schedule": "step"}, ["loss.schedule=step: must be one of constant, linear, cosine."]),
    (["loss=emma"], {"loss.schedule_from": -1}, [f"loss.schedule_from=-1: {NUMBER} >= 0."]),
    (["loss=emma"], {"loss.schedule_to": -1}, [f"loss.schedule_to=-1: {NUMBER} >= 0."]),
    (["loss=emma"], {"loss.schedule_until": 0}, [f"loss.schedule_until=0: {NUMBER} > 0 and <= 1."]),
    (["loss=trades"], {"loss.per_pair": 1}, ["loss.per_pair=1: must be true or false."]),
    (["loss=certificate"], {"loss.weight": -1}, [f"loss.weight=-1: {NUMBER} >= 0."]),
    (["loss=logit_annealing"], {"loss.beta": -1}, [f"loss.beta=-1: {NUMBER} >= 0."]),
    (["loss=trades"], {"loss.weight": -1}, [f"loss.weight=-1: {NUMBER} >= 0."]),
    (
        ["loss=hkr"],
        {"loss.alpha": 2, "loss.epsilon": 0},
        [
            f"loss.epsilon=0: {NUMBER} > 0{FRACTION}.",
            f"loss.alpha=2: {NUMBER} >= 0 and <= 1.",
        ],
    ),
    # means of batches
    (
        ["model=fc", "model.centering=true", "task=wasserstein", "dataset=cone", "loss=kantorovich"],
        {},
        [
            "model.centering=true: a critic would subtract other means of each side of a pair; only task=robustness "
            "trains such a network."
        ],
    ),
    # ShuffleNets
    (
        ["model=shufflenet"],
        {},
        ["model.channels has 3 entries: each halves the image, and nothing of 8x8 would be left; use fewer."],
    ),
    (
        [*NARROW, "task=wasserstein", "dataset=two_images", "loss=kantorovich"],
        {},
        ["model=shufflenet: nothing bounds such a critic; only task=robustness trains it."],
    ),
    (
        ["model=shufflenet", "task=wasserstein", "dataset=cone", "loss=kantorovich"],
        {},
        [
            "model=shufflenet: nothing bounds such a critic; only task=robustness trains it.",
            "model=shufflenet: needs images, and dataset=cone draws vectors; use model=fc.",
        ],
    ),
    (
        NARROW,
        {"model.units": [1]},
        ["model.channels has 2, model.units has 1: these lists describe the stages and must have one entry for each."],
    ),
    (NARROW, {"model.width": 65}, [f"model.width=65: {NUMBER} > 0 and <= 64."]),
    (
        NARROW,
        {"model.groups": 3},
        [
            "model.channels[0]=32: a unit works on a quarter of its channels, in model.groups=3 groups, so this must "
            "be a multiple of 12; the nearest is 36.",
        ],
    ),
    (
        NARROW,
        {"model.groups": 8, "model.stem": 20, "model.width": 2},
        [
            "model.channels[0]=32 times model.width=2 is 64: the first unit of a stage adds channels to those of "
            "model.stem, 20, in model.groups=8 groups; use 20 and a multiple of 8."
        ],
    ),
    (
        NARROW,
        {"model.channels": [32, 32]},
        [
            "model.channels[1]=32: the first unit of a stage adds channels to those of the stage before, 32, in "
            "model.groups=4 groups; use 32 and a multiple of 4."
        ],
    ),
    (
        [*NARROW, "shuffle=learned"],
        {"model.groups": 1},
        [
            "shuffle=learned: stands between grouped convolutions, and model.groups=1 mixes all channels; use more "
            "groups, such as model.groups=3, or leave it out."
        ],
    ),
    *(
        (
            [*NARROW, f"shuffle={shuffle}"],
            {"shuffle.keep_pairs": True, "model.groups": 3, "model.channels": [36, 72]},
            [
                "model.channels[0]=36: shuffle.keep_pairs=true moves pairs of a quarter of these channels, so this "
                f"must be a multiple of 24; the nearest is {nearest}."
            ],
        )
        for shuffle, nearest in (("fixed", 48), ("random", 48), ("learned", 48))
    ),
    # several at once: every one is reported, and what hangs on a wrong value is not guessed at
    (
        [],
        {"epochs": 0, "seed": "x", "optimizer.lr": -1, "model.channels": [15, 31], "eval_radii": []},
        [
            "optimizer.lr=-1: must be a finite number > 0 and <= 100.",
            "seed=x: must be a whole number >= 0 and < 2^64.",
            "epochs=0: must be a whole number >= 1.",
            "eval_radii=[]: must be a list of different radii > 0, numbers or fractions such as [0.3,36/255].",
            "model.channels[0]=15: activation=maxmin sorts groups of 2, so this must be a multiple of 2; "
            "the nearest is 16.",
            "model.channels[1]=31: activation=maxmin sorts groups of 2, so this must be a multiple of 2; "
            "the nearest is 32.",
        ],
    ),
    (
        [],
        {"model.channels": [0, 15], "dataset.mean": "grey"},
        [
            f"model.channels=[0,15]: {LIST}, each entry a whole number >= 1.",
            f"dataset.mean=grey: {LIST} of at least 1, {EACH}.",
        ],
    ),
    (
        [],
        {"attack.step": 1, "colour": "red", "optimizer.momentum": 0.5},
        [
            "colour: no such key, nothing would read it; see --help for the names. Keys there: model, conv, "
            "shuffle, linear, activation, loss, optimizer, scheduler, inference, dataset, task, attack, estimate, "
            "generator, proof, diagnostics, conformal, seed, epochs, batch_size, device, threads, amp, averaging, "
            "compile, progress, "
            "eval_radii, certify_dtype, singular_values_every, debug, profile, bell, resume, run, rerun, objective, "
            "fail_fast, plugins.",
            "optimizer.momentum: no such key, nothing would read it; optimizer=sgd has optimizer.momentum. "
            "Keys there: optimizer.lr, optimizer.weight_decay, optimizer.betas.",
            "attack.step: no such key, nothing would read it; did you mean attack.steps? "
            "Keys there: attack.names, attack.steps, attack.restarts, attack.ddn_steps, attack.examples, "
            "attack.proved, attack.foolbox_examples.",
        ],
    ),
]

# The ends of each range, and unusual values that make sense.
ACCEPTED = [
    ([], {"seed": 0, "epochs": 1, "batch_size": 1, "threads": 1, "singular_values_every": 0}),
    ([], {"seed": 2**64 - 1, "attack.examples": 1, "attack.steps": 1, "attack.restarts": 1}),
    ([], {"dataset.validation": 0, "dataset.limit_train": 1, "dataset.limit_test": 1}),
    ([], {"dataset.validation": 0.5, "optimizer.lr": 100, "optimizer.betas": [0, 0]}),
    ([], {"scheduler.warmup": 1e-9, "scheduler.final": 1}),
    (["optimizer=sgd"], {"optimizer.momentum": 0}),
    (["optimizer=rmsprop"], {"optimizer.alpha": 0}),
    (["scheduler=exponential"], {"scheduler.gamma": 1}),
    (["loss=cross_entropy"], {"loss.epsilon": 0}),
    ([], {"model.hidden": []}),
    (["model=fc"], {"model.hidden": []}),
    ([], {"model.kernel_sizes": [8, 4]}),
    ([], {"model.strides": [8, 1], "model.kernel_sizes": [8, 1]}),
    (["activation=relu"], {"model.channels": [15, 31], "model.hidden": [7]}),
    (["activation=groupsort"], {"activation.group_size": None, "model.channels": [15, 31], "model.hidden": [7]}),
    (["activation=groupsort"], {"activation.group_size": 4}),
    (["conv.groups=4"], {}),
    ([*SHUFFLED, "shuffle=learned"], {"shuffle.weight": 0, "shuffle.ramp": 0, "shuffle.harden": 1}),
    (NARROW, {"model.groups": 1}),
    (NARROW, {"model.channels": [31], "model.units": [1], "model.groups": 1, "model.width": 4 / 31, "model.stem": 3}),
    ([*NARROW, "shuffle=fixed"], {"shuffle.keep_pairs": True, "model.channels": [32, 64]}),
    (["activation=spline"], {"activation.knots": 3, "model.channels": [15, 31], "model.hidden": [7]}),
    (["activation=spline"], {"activation.shared": True, "activation.initial": "abs", "activation.steep": 1}),
    (["activation=spline"], {"activation.constrained": False, "activation.knots": 1025, "activation.range": 1e-9}),
    (["dataset=cifar10"], {"dataset.mean": [0.49, 0.48, 0.45], "dataset.std": [0.2, 0.2, 0.2]}),
]


@functools.cache
def composed(options):
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return OmegaConf.to_container(compose("config", overrides=list(options)), resolve=True)


def raw(options, changes):
    """A composed configuration with some keys changed, as plain dicts."""
    config = copy.deepcopy(composed(tuple(options)))
    for key, value in changes.items():
        *groups, name = key.split(".")
        functools.reduce(dict.__getitem__, groups, config)[name] = value
    return config


def identify(part):
    return str(part)[:60]


@pytest.mark.parametrize(("options", "changes", "problems"), PROBLEMS, ids=identify)
def test_problems(options, changes, problems):
    config = raw(options, changes)
    assert examine(config) == (None, problems)
    with pytest.raises(UserError) as error:
        parse(config)
    assert list(error.value.problems) == problems


@pytest.mark.parametrize(("options", "changes"), ACCEPTED, ids=identify)
def test_accepted(options, changes):
    parsed = dataclasses.asdict(parse(raw(options, changes)))
    for key, value in changes.items():
        assert functools.reduce(dict.__getitem__, key.split("."), parsed) == value


@pytest.mark.parametrize("key", ["seed", "resume", "model", "attack", "optimizer.lr", "attack.steps", "model.channels"])
def test_no_key_may_be_missing(key):
    config = raw([], {})
    *groups, name = key.split(".")
    del functools.reduce(dict.__getitem__, groups, config)[name]
    assert examine(config) == (None, [f"{key}: this key is missing; it may not be deleted."])


def test_defaults():
    config = parse(raw([], {}))
    assert {group: getattr(config, group).name for group in GROUPS} == {
        "task": "robustness",
        "model": "small",
        "conv": "bcop",
        "shuffle": "none",
        "linear": "orthogonal",
        "activation": "maxmin",
        "dataset": "digits",
        "loss": "margin",
        "optimizer": "adam",
        "scheduler": "onecycle",
        "inference": "hmc",
    }
    assert (config.seed, config.device, config.resume, config.run) == (0, "auto", None, None)
    assert (config.eval_radii, config.loss.epsilon) == (["0.1", "0.3", "0.5", "1.0"], config.dataset.epsilon)


@pytest.mark.parametrize("options", OPTION_SETS, ids=identify)
def test_a_parsed_configuration_parses_to_itself(options):
    """Checkpoints keep ``asdict(config)`` and are read back by ``parse``."""
    without_radii = {"task=wasserstein", "task=online", "task=bayes"} & set(options)
    config = parse(raw(options, {} if without_radii else {"eval_radii": ["36/255", 0.5]}))
    assert parse(dataclasses.asdict(config)) == config


def test_a_loss_for_labels_is_refused_before_it_looks_for_the_radius_of_a_pair():
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = compose("config", overrides=["task=wasserstein", "dataset=cone", "loss=margin"])
    assert examine(config) == (
        None,
        ["loss=margin: needs labels, and dataset=cone is a pair of distributions; use loss=kantorovich."],
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochs: ${nothing}", ["epochs", "nothing"]),
        ("eval_radii: ${dataset.radii}", ["eval_radii", "dataset.radii"]),
        ("threads: ${oc.env:NO_SUCH_VARIABLE}", ["threads", "NO_SUCH_VARIABLE"]),
    ],
)
def test_a_value_that_does_not_resolve_is_named(text, words):
    config = OmegaConf.merge(raw([], {}), OmegaConf.create(text))
    parsed, problems = examine(config)
    assert parsed is None
    assert len(problems) == 1
    assert [word for word in words if word not in problems[0]] == []


def test_every_data_set_has_an_option():
    assert set(GROUPS["dataset"]) == set(names_for("dataset", "images")) | set(PAIRS) | set(STREAMS) | set(
        names_for("dataset", "problem")
    )


def test_every_group_is_a_field():
    fields = [field.name for field in dataclasses.fields(Config)]
    groups = [*GROUPS, *NODES]
    assert fields[: len(groups)] == groups
    assert all(dataclasses.fields(schema) for schema in NODES.values())
    assert all("check" in field.metadata for field in dataclasses.fields(Config)[len(groups) :])
