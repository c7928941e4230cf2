import dataclasses
import re

import pytest
import torch
import yaml

from lipnet.certify import lipschitz_bound
from lipnet.cli.renamed import CONVOLUTIONS
from lipnet.data.images import Split
from lipnet.data.pairs import Pair, PairBatches
from lipnet.options.defaults import leaves
from lipnet.options.facts import image_facts, inputs_and_outputs
from lipnet.options.folder import config_dir
from lipnet.options.images import AugmentedDataset
from lipnet.options.parse import NODES, Attack, Config, Diagnostics, Estimate, Generator, Proof
from lipnet.options.registry import GROUPS, image_sets, names_for
from lipnet.runs.load import new_model
from lipnet.runs.recorded import differences
from lipnet.tasks.gan.task import GenerativeAdversarial
from lipnet.tasks.robustness.task import Robustness
from lipnet.tasks.session import Session
from lipnet.tasks.wasserstein.task import Wasserstein
from lipnet.training.schedules import build_optimizer

PAIRS, STREAMS = names_for("dataset", "pair"), names_for("dataset", "stream")
PROBLEM = ["task=bayes", "dataset=quartic"]

FOLDER = config_dir()
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.yaml"))
EXPERIMENTS = [file for file in FILES if file.startswith("experiment/")]
CRITICS = [file for file in EXPERIMENTS if file.startswith("experiment/wasserstein/")]
GANS = [file for file in EXPERIMENTS if file.split("/")[-1].startswith("gan_")]
GAN_CRITICS = [file for file in EXPERIMENTS if file.split("/")[-1].startswith("wasserstein_")]
AREAS = [file for file in EXPERIMENTS if file.startswith("experiment/area/")]
UNCONSTRAINED = ["experiment/quick/shufflenet.yaml"]
PRIVATE = ["experiment/quick/mnist_private.yaml"]
OTHERS = [*CRITICS, *GANS, *GAN_CRITICS, *AREAS, *UNCONSTRAINED, *PRIVATE]
CLASSIFIERS = [file for file in EXPERIMENTS if file not in OTHERS]
SWEEPS = [file for file in FILES if file.startswith("sweep/")]
USUAL = [file for file in FILES if file.startswith("usual/")]
WITH_CONV = [file for file in FILES if file.startswith("with_conv/")]
OPTIONS = [file for file in FILES if "/" in file and file not in (*EXPERIMENTS, *SWEEPS, *USUAL, *WITH_CONV)]
# What an option cannot be chosen without.
A_GAN = ["run=somewhere", "dataset.source=mnist"]
NEEDS = {
    "task=evaluate": ["run=somewhere"], "task=export": ["run=somewhere"],
    "task=private": ["task.public_validation=true"],
    "task=wasserstein": ["dataset=cone"], "loss=kantorovich": ["dataset=cone"],
    "model=cones": ["task=wasserstein", "dataset=cone"], "dataset=gan": A_GAN, "model=gan_critic": ["task=gan"],
    "model=shufflenet": ["dataset=cifar10"], "model=residual": ["dataset=cifar10"],
    "model=module": ["model.build=my_module:build"],
    "task=gan": ["model=gan_critic", "dataset=mnist"], "task=online": ["dataset=setar"],
    "model=experts": ["task=online", "dataset=setar"], "dataset=series": ["dataset.file=series.csv"],
    **{f"loss={name}": ["task=online", "dataset=setar"] for name in names_for("loss", "stream")},
    "task=bayes": PROBLEM[1:], "loss=likelihood": PROBLEM,
    **{f"inference={name}": PROBLEM for name in GROUPS["inference"]},
    **{f"dataset={name}": PROBLEM[:1] for name in names_for("dataset", "problem")},
    **{f"shuffle={name}": ["model=large", "conv.groups=4"] for name in GROUPS["shuffle"] if name != "none"},
}  # fmt: skip
OF_OPTIONS = ("activation", "optimizer", "scheduler")  # groups to whose options conf/usual has files
KEY = re.compile(r"^ *(\w+): *(?P<value>[^#]*)(?:# (?P<comment>.*))?$")


def read(file):
    return (FOLDER / file).read_text()


def chosen(file):
    """``model/small.yaml`` -> ``model=small``."""
    return file.removesuffix(".yaml").replace("/", "=", 1)


def title(file):
    """The comment that begins a file, after a line for Hydra."""
    lines = read(file).splitlines()
    return lines[1] if lines[0].startswith("# @package") else lines[0]


def shown_overrides(file):
    """The arguments of the command that a file's title shows."""
    return title(file).partition("python train.py")[2].split()


def keys(schema):
    return {field.name for field in dataclasses.fields(schema)}


def key_lines(file):
    """(key, value, comment) of every key that a user can set, and of every group of them: keys of two may be alike."""
    found, group = [], ""
    for match in filter(None, map(KEY.match, read(file).partition("\nhydra:")[0].splitlines())):
        inside, value = match[0].startswith(" "), match["value"].strip()
        found.append((f"{group}.{match[1]}" if inside and group else match[1], value, match["comment"] or ""))
        group = group if inside or value else match[1]
    return [line for line in found if line[0] not in ("name", "defaults")]


@pytest.mark.parametrize("file", FILES)
def test_a_file_begins_with_what_it_is_and_its_command(file):
    what, colon, command = title(file).partition(": python train.py ")
    assert what.startswith("# ")
    assert len(what) > 3
    assert colon
    if file in USUAL:
        assert f"dataset={file.split('/')[2]}" in command.split()
    elif file in WITH_CONV:
        assert f"conv={file.removesuffix('.yaml').split('/')[-1]}" in command.split()
    else:
        assert ("KEY=VALUE" if file == "config.yaml" else chosen(file)) in command.split()
    if file in (*EXPERIMENTS, *SWEEPS, *WITH_CONV):
        assert read(file).startswith("# @package _global_\n")


@pytest.mark.parametrize("file", [file for file in ("config.yaml", *OPTIONS) if key_lines(file)])
def test_every_key_has_a_comment_with_its_range_in_the_words_of_its_check(file):
    """All of them, between ``: ``, ``; `` and the ends: no key allows more or less than its comment says."""
    group, _, option = chosen(file).partition("=")
    wanted: dict[str, str] = {}
    for node, schema in {"": GROUPS[group][option].keys if option else Config, **({} if option else NODES)}.items():
        fields = [field for field in dataclasses.fields(schema) if "check" in field.metadata and field.name != "name"]
        prefix = f"{node}." if node else ""
        wanted |= {prefix + field.name: field.metadata["check"].wanted for field in fields}
    comments = {key: comment for key, _, comment in key_lines(file)}
    assert comments.keys() == wanted.keys() | (set() if option else NODES.keys())
    for key, text in wanted.items():
        assert re.search(rf"(^|[:;] ){re.escape(text)}($|; )", comments[key]), f"{file}: {key} says no {text!r}"
    assert [key for key, comment in comments.items() if len(comment.split()) < 2] == []


def test_files_and_declared_options_agree():
    assert sorted(map(chosen, OPTIONS)) == sorted(
        f"{group}={name}" for group, names in GROUPS.items() for name in names
    )


@pytest.mark.parametrize("file", OPTIONS)
def test_a_file_has_the_keys_of_its_dataclass(file):
    group, option = chosen(file).split("=")
    content = yaml.safe_load(read(file))
    assert set(content) - {"defaults"} == keys(GROUPS[group][option].keys)
    assert content["name"] == option


def test_the_main_file_has_the_keys_of_its_dataclass():
    content = yaml.safe_load(read("config.yaml"))
    assert set(content) - {"defaults", "hydra"} == keys(Config) - set(GROUPS)
    assert set(content["attack"]) == keys(Attack)
    assert set(content["estimate"]) == keys(Estimate)
    assert set(content["generator"]) == keys(Generator)
    assert set(content["proof"]) == keys(Proof)
    assert set(content["diagnostics"]) == keys(Diagnostics)


def test_the_first_declared_option_is_the_default():
    defaults = yaml.safe_load(read("config.yaml"))["defaults"]
    first = [{group: next(iter(options))} for group, options in GROUPS.items()]
    usual = defaults[len(first) + 1 : -2]
    assert defaults == [*first, "_self_", *usual, {"experiment": None}, {"sweep": None}]
    assert all(key.startswith(("optional usual@", "optional with_conv")) for entry in usual for key in entry)


@pytest.mark.parametrize("file", USUAL)
def test_what_suits_some_choices_is_what_their_command_gets(file, make_config):
    config = dataclasses.asdict(make_config(*shown_overrides(file)))
    loss, dataset, model, *option = file.removeprefix("usual/").removesuffix(".yaml").split("/")
    assert [config[group]["name"] for group in ("loss", "dataset", "model")] == [loss, dataset, model]
    content = yaml.safe_load(read(file))
    assert content
    for key in option:
        group = next(group for group in OF_OPTIONS if key in GROUPS[group])
        assert config[group]["name"] == key
        content = {group: content}
    for key, value in content.items():
        assert config[key] == (config[key] | value if isinstance(value, dict) else value)


def convolutions_with(folder):
    return [path.stem for path in (FOLDER / "with_conv" / folder).glob("*.yaml")]


@pytest.mark.parametrize("file", [file for file in EXPERIMENTS if "/with_conv:" in read(file)])
def test_a_recipe_wants_of_a_convolution_what_is_written_for_it(file, make_config):
    folder = re.search(r"override /with_conv: (\w+)", read(file))[1]
    assert convolutions_with(folder)
    for conv in convolutions_with(folder):
        found = dict(leaves(dataclasses.asdict(make_config(chosen(file), f"conv={conv}"))))
        wanted = dict(leaves(yaml.safe_load(read(f"with_conv/{folder}/{conv}.yaml"))))
        assert {key: found[key] for key in wanted} == wanted
        alone = dict(leaves(dataclasses.asdict(make_config(f"conv={conv}"))))
        assert all(alone[key] != value for key, value in wanted.items())


def test_what_recipes_want_of_convolutions_is_wanted_by_one():
    wanted = {match[1] for file in EXPERIMENTS for match in re.finditer(r"override /with_conv: (\w+)", read(file))}
    assert wanted == {file.split("/")[1] for file in WITH_CONV}


# What is typed instead of a usual choice, and the keys that then have their options' own values.
OTHERS = {
    "task=wasserstein dataset=cone model=cones": {"epochs": 40, "model.cones": 64, "optimizer.lr": 0.003},
    "task=wasserstein dataset=two_images model=critic": {"model.hidden": [], "batch_size": 64},
    "task=wasserstein dataset=cone activation=maxmin": {"epochs": 15, "activation.name": "maxmin"},
    "task=wasserstein dataset=cone activation.group_size=2": {"activation.group_size": 2},
    "task=wasserstein dataset=cone optimizer=sgd": {"optimizer.lr": 0.1, "model.hidden": [128] * 4},
    "task=wasserstein dataset=cone epochs=3 model.hidden=[8]": {"epochs": 3, "model.hidden": [8], "batch_size": 256},
    "dataset=cifar10 scheduler=cosine": {"optimizer.lr": 0.02, "scheduler.final": 0.0},
    "dataset=cifar10 model=large": {"epochs": 40, "dataset.crop": 4, "optimizer.betas": [0.9, 0.999]},
    "dataset=mnist loss=margin": {"epochs": 40, "loss.epsilon": 1.5},
    "dataset=mnist conv=rko": {"epochs": 10, "loss.epsilon": 1.3},
    "task=gan dataset=mnist": {"epochs": 40, "batch_size": 64, "loss.name": "kantorovich"},
    "experiment=paper/cifar10_small": {"dataset.crop": 4, "optimizer.betas": [0.9, 0.999]},
    "": {"epochs": 40, "batch_size": 64, "loss.name": "margin", "loss.epsilon": 0.5, "optimizer.lr": 0.003},
}


@pytest.mark.parametrize("row", OTHERS)
def test_what_suits_some_choices_is_left_to_them(row, make_config):
    found = dict(leaves(dataclasses.asdict(make_config(*row.split()))))
    assert {key: found[key] for key in OTHERS[row]} == OTHERS[row]


# A recipe, and the data set whose defaults are all of it but for the keys that the paper has, or that make it longer.
BY_DEFAULT = {
    "quick/mnist_small": ("mnist", set()),
    "quick/paper_cifar10_small": ("cifar10", {"eval_radii", "dataset.mean"}),
    "wasserstein/three_cones": ("three_cones", {"epochs"}),
    "wasserstein/scaled_gaussians": ("scaled_gaussians", {"epochs"}),
    "wasserstein/discrete_cones": ("discrete", set()),
    "wasserstein/minfunnel_cones": ("minfunnel", set()),
    **{
        f"wasserstein/{pair}": (pair, set())
        for pair in (
            "absolute_value", "cone", "translation", "spheres", "partial_mass", "nuisance",
            "two_images",
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("recipe", BY_DEFAULT)
def test_a_data_set_alone_is_its_quick_recipe(recipe, make_config):
    dataset, differing = BY_DEFAULT[recipe]
    task = ["task=wasserstein"] if dataset in PAIRS else []
    alone, whole = (make_config(*overrides) for overrides in ([*task, f"dataset={dataset}"], [f"experiment={recipe}"]))
    assert {key for key, *_ in differences(dataclasses.asdict(whole), dataclasses.asdict(alone))} == differing


COLOURED = [name for name in image_sets() if (GROUPS["dataset"][name].shape or (0,))[0] == 3]


@pytest.mark.parametrize("dataset", COLOURED)
def test_images_in_colour_are_centred_and_not_scaled(dataset, make_config):
    """A division would cost radius: it counts in the Lipschitz bound."""
    config = make_config(f"dataset={dataset}")
    assert (config.dataset.mean, config.dataset.std) == ([0.5] * 3, [1.0] * 3)


def test_every_pair_with_a_recipe_has_values_of_its_own():
    """A pair can do without both; what a recipe was found to need is also what its pair alone begins with."""
    usual = {file.split("/")[2] for file in USUAL if file.startswith("usual/kantorovich/")}
    assert {pair_of(file) for file in CRITICS} == usual
    assert usual <= {*PAIRS} - {"gan"}


@pytest.mark.parametrize("file", OPTIONS)
def test_an_option_composes(file, make_config):
    group, option = chosen(file).split("=")
    needs = NEEDS.get(chosen(file), [])
    task = ["task=wasserstein"] if chosen(file) != "task=gan" and option in (*PAIRS, "kantorovich") else []
    task = ["task=online"] if option in STREAMS else task
    assert getattr(make_config(chosen(file), *needs, *task), group).name == option


@pytest.mark.parametrize("file", [file for file in OPTIONS if len(shown_overrides(file)) > 1])
def test_the_command_shown_works(file, make_config):
    group, option = chosen(file).split("=")
    source = A_GAN[1:] if chosen(file) == "dataset=gan" else []  # otherwise read from the run
    assert getattr(make_config(*shown_overrides(file), *source), group).name == option


def fake_images(dataset, count):
    """Random images of the data set's shape."""
    (channels, height, width), classes = image_facts(dataset)
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(256, (count, channels, height, width), generator=generator, dtype=torch.uint8)
    return Split(images, torch.arange(count) % classes, 255, torch.arange(count))


@pytest.mark.parametrize("file", CLASSIFIERS)
def test_an_experiment_is_what_its_name_says(file, make_config):
    config = make_config(chosen(file))
    _, kind, name = file.removesuffix(".yaml").split("/")
    dataset, model, *method = name.removeprefix("paper_").split("_", 2)
    assert (dataset, model) == (config.dataset.name, config.model.name)
    if model == "fc":  # the paper's name of its only method; other recipes orthonormalise faster
        assert method == ([] if kind == "best" else ["bjorck"])
        assert config.linear.name == ("bjorck" if kind == "paper" else "orthogonal")
    else:
        assert (method, config.conv.name) == ([], "bcop")


def test_the_private_recipe(make_config):
    config = make_config("experiment=quick/mnist_private")
    assert (config.task.name, config.dataset.name, config.model.name) == ("private", "mnist", "small")
    assert (config.conv.name, config.task.target_epsilon, config.task.noise_seed) == ("bcop", 3, None)


def test_the_recipe_of_the_unconstrained_network(make_config):
    config = make_config("experiment=quick/shufflenet")
    assert (config.model.name, config.shuffle.name, config.dataset.name) == ("shufflenet", "fixed", "cifar10")
    assert (config.loss.name, config.loss.epsilon, config.loss.temperature) == ("cross_entropy", 0, 1)
    assert config.task.select_by == "clean_accuracy"


def with_convolutions(file):
    """The command of a recipe, or one with each of the paper's convolutions where it takes any of them."""
    folder, name = file.removesuffix(".yaml").split("/")[1:]
    every = (folder == "paper" or name.startswith("paper_")) and "_fc_" not in name
    return [f"{chosen(file)} conv={conv}" for conv in CONVOLUTIONS] if every else [chosen(file)]


LINES = [line for file in CLASSIFIERS for line in with_convolutions(file)]
PAPER = [line for line in LINES if line.startswith("experiment=paper/")]
PAPER_DATA = {"mnist": (1.5, ["0.3", "1.58"]), "cifar10": (0.5, ["0.1", "36/255", "72/255", "108/255"])}
PAPER_CONV = {
    **{name: {"orthogonalizer": "bjorck"} for name in ("bcop", "bcop_fixed", "rko")},
    "ossn": {"iterations": 10},
    "svcm": {"every": 100, "iterations": 50},
    "l2ne": {},
}


@pytest.mark.parametrize("line", PAPER)
def test_a_paper_recipe_is_the_papers(line, make_config):
    """Li et al. 2019: the hyperparameters that its code has for every network and method."""
    config = make_config(*line.split())
    assert (config.epochs, config.batch_size, config.activation.name) == (200, 128, "maxmin")
    assert dataclasses.asdict(config.optimizer) == {
        "name": "adam",
        "lr": 1e-3,
        "betas": [0.9, 0.999],
        "weight_decay": 0,
    }
    assert dataclasses.asdict(config.scheduler) == {"name": "exponential", "gamma": 0.96235062639}
    assert dataclasses.asdict(config.linear) == {"name": "bjorck", "iterations": 20}
    assert (config.loss.name, config.task.select_by) == ("margin", "clean_accuracy")
    assert (config.loss.epsilon, config.eval_radii) == PAPER_DATA[config.dataset.name]
    assert {*config.dataset.mean, *config.dataset.std} == {0, 1}
    assert getattr(config.dataset, "augment", False) == (config.dataset.name == "cifar10")
    if config.model.name != "fc":
        conv = dataclasses.asdict(config.conv)
        assert getattr(config.conv, "padding_mode", "circular") == "circular"
        assert PAPER_CONV[conv["name"]].items() <= conv.items()


def test_every_paper_recipe_has_a_quick_twin(make_config):
    """The same but for time: how the weights are orthonormalised, the schedule, and which test images are attacked.

    And within limits what a shorter training asks for: the loss's radius, the share of validation images, the crop, and
    for the fully connected network, whose weights cost more than its examples, larger batches.
    """
    same = ("task", "seed", "device", "amp", "eval_radii", "dataset", "model", "activation", "loss")
    assert len(PAPER) == 26
    for line in PAPER:
        twin = line.replace("paper/", "quick/" if "_fc_" in line else "quick/paper_")
        paper, quick = (make_config(*texts.split()) for texts in (line, twin))
        assert quick.loss.epsilon == pytest.approx(paper.loss.epsilon, rel=0.05)
        assert 0.02 <= quick.dataset.validation <= paper.dataset.validation
        assert paper.batch_size <= quick.batch_size <= (4 if paper.model.name == "fc" else 1) * paper.batch_size
        loss = dataclasses.replace(quick.loss, epsilon=paper.loss.epsilon)
        longer = {"validation": paper.dataset.validation}
        if isinstance(quick.dataset, AugmentedDataset):
            assert quick.dataset.crop <= paper.dataset.crop == 4
            longer["crop"] = paper.dataset.crop
        dataset = dataclasses.replace(quick.dataset, **longer)
        quick = dataclasses.replace(quick, loss=loss, dataset=dataset)
        differing = [key for key in same if getattr(paper, key) != getattr(quick, key)]
        assert differing == ["task"]  # what picks the best epoch
        assert paper.conv.name == quick.conv.name
        assert paper.epochs >= 10 * quick.epochs


def test_an_override_of_a_recipe_built_on_another(make_config):
    config = make_config("experiment=quick/mnist_large", "epochs=3", "optimizer.lr=0.5", "model=small", "conv=ossn")
    base = make_config("experiment=quick/mnist_large")
    assert (config.epochs, config.optimizer.lr, config.model.name, config.conv.name) == (3, 0.5, "small", "ossn")
    assert (config.optimizer.betas, config.scheduler) == (base.optimizer.betas, base.scheduler)


def test_every_data_set_of_a_gan_has_an_experiment():
    assert {file.removesuffix(".yaml").split("/")[-1] for file in GAN_CRITICS} == {
        "wasserstein_cifar10", "wasserstein_mnist", "wasserstein_stl10",
    }  # fmt: skip


@pytest.mark.parametrize("file", GAN_CRITICS)
def test_a_gan_s_distance_is_estimated_as_its_name_says(file, make_config):
    config = make_config(chosen(file), "run=somewhere")
    assert (config.task.name, config.dataset.name, config.loss.name) == ("wasserstein", "gan", "kantorovich")
    assert file.removesuffix(".yaml").endswith(f"wasserstein_{config.dataset.source}")
    assert (config.model.name, config.optimizer.name, config.batch_size) == ("critic", "rmsprop", 64)


@pytest.mark.parametrize("dataset", ["cifar10", "stl10"])
def test_the_paper_s_distance_is_the_paper_s(dataset, make_config):
    """Li et al. 2019, as its code has it: 256 epochs of 100 steps, at the learning rate of its table."""
    config = make_config(f"experiment=paper/wasserstein_{dataset}", "run=somewhere")
    assert (config.epochs, config.dataset.steps_per_epoch, config.optimizer.lr) == (256, 100, 1e-4)
    assert config.model.image_size == 64
    assert config.model.channels == [64, 128, 256, 512]
    assert (config.linear.name, config.scheduler.name) == ("bjorck", "exponential")


@pytest.mark.parametrize("file", GANS)
def test_a_gan_s_experiment_trains_and_validates(file, make_session):
    task = GenerativeAdversarial(make_session(chosen(file)))
    config = task.config
    kind, name = file.removesuffix(".yaml").split("/")[1:]
    dataset = config.dataset.name
    assert (config.task.name, name) == ("gan", f"gan_{dataset}" + "_bcop" * (config.model.name != "gan_critic"))
    if kind == "paper":
        assert (config.epochs, config.batch_size, config.task.critic_steps) == (128, 64, 5)
        assert (config.optimizer.lr, config.generator.lr, config.optimizer.betas) == (2e-4, 2e-4, [0.5, 0.999])
    task.validation, model = fake_images(dataset, 8), new_model(config)
    loss, _ = task.step(model, task.validation.pixels(), torch.rand(16, config.generator.latent))
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    found = task.validate(model.eval(), epoch=1)
    assert found.images["samples/generated"].shape == (64, *image_facts(dataset)[0])


def pair_of(file):
    """``experiment/wasserstein/minfunnel_cones.yaml`` -> ``minfunnel``: a second recipe names its critic."""
    name = file.removesuffix(".yaml").split("/")[-1]
    return name if name in PAIRS else name.removesuffix("_cones")


@pytest.mark.parametrize("file", CRITICS)
def test_a_critic_s_experiment_trains_and_validates(file, make_session):
    task = Wasserstein(make_session(chosen(file)))
    config = task.config
    assert (config.task.name, config.dataset.name, config.loss.name) == ("wasserstein", pair_of(file), "kantorovich")
    shape, _ = inputs_and_outputs(config.dataset)
    samples = torch.rand(2, 4, *shape, dtype=torch.float64)
    pair = Pair(draw=lambda part, count, random: (samples[0], samples[1]), true_value=2.0)
    task.pair, model = pair, new_model(config)
    inputs, weights = next(PairBatches(pair, config.batch_size, torch.device("cpu")).training_batches(4, 0, 0))
    loss, _ = task.step(model, inputs, weights)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    found = task.validate(model.eval(), epoch=1)
    assert found.metrics["lipschitz/upper_bound"] == pytest.approx(1, abs=1e-4)
    assert found.score == pytest.approx(-loss.item(), abs=1e-4)


@pytest.mark.parametrize("file", AREAS)
def test_an_area_s_experiment_trains_and_predicts(file, make_session):
    task = Robustness(make_session(chosen(file), "dataset.points=60", "epochs=1"))
    config = task.config
    assert config.dataset.name == file.removesuffix(".yaml").split("/")[2].removesuffix("_relu")
    assert config.activation.name == ("relu" if file.endswith("_relu.yaml") else "spline")
    model = new_model(config)
    images, labels = next(task.batches().training_batches(config.batch_size, 0, 0))
    loss, _ = task.step(model, images, labels)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert task.validate(model.eval(), epoch=1).metrics["lipschitz/upper_bound"] > 0


@pytest.mark.parametrize("line", [*LINES, *map(chosen, UNCONSTRAINED), "experiment=quick/shufflenet shuffle=learned"])
def test_an_experiment_trains_and_validates(line, make_config, tmp_path):
    config = make_config(*line.split())
    constrained = config.model.name != "shufflenet"
    # As wide as the paper's, they would take a minute.
    smaller = {"hidden": [16] * len(config.model.hidden)} if constrained else {"units": [1, 1, 1]}
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, **smaller))
    if config.conv.name == "svcm":
        config = dataclasses.replace(config, conv=dataclasses.replace(config.conv, iterations=2))
    task = Robustness(Session(tmp_path, torch.device("cpu"), {}, [], config))
    task.validation, model = fake_images(config.dataset.name, 2), new_model(config)
    optimizer = build_optimizer(config.optimizer, model.parameters())
    images, labels = next(fake_images(config.dataset.name, 2).batches(2))
    before = [parameter.detach().clone() for parameter in model.parameters()]
    loss, _ = task.step(model, images, labels)
    loss.backward()
    optimizer.step()
    changed = [not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True)]
    assert changed == [parameter.requires_grad for parameter in model.parameters()]
    assert any(changed)
    found = task.validate(model.eval(), epoch=1)
    metrics = found.metrics
    bound = metrics["lipschitz/upper_bound"]
    if getattr(config.model, "head", "same") == "normalized":  # its rows have length 1, all together they have more
        bound = lipschitz_bound(model[:-1], inputs_and_outputs(config.dataset)[0])
    assert not constrained or bound <= 1 + 1e-4
    if constrained and config.conv.name in ("bcop", "bcop_fixed"):  # orthogonal; the others' values spread below 1
        assert bound >= 1 - 1e-4
    assert {f"validation/certified_accuracy@{radius.replace('/', '_')}" for radius in config.eval_radii} < set(metrics)
    assert 0 <= found.score <= 1
