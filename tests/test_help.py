import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lipnet.options.folder import config_dir
from lipnet.options.registry import GROUPS

TRAIN = str(Path(__file__).resolve().parents[1] / "train.py")
HEAVY = {"torch", "torchvision", "sklearn", "matplotlib"}  # seconds to import: not for a question or a mistake
COMPLETION = {"COMP_LINE": "python train.py model=", "COMP_POINT": "22"}  # as bash asks while the user presses Tab

# name: (arguments, further environment variables)
COMMANDS = {
    "help": ([TRAIN, "--help"], {}),
    "help of the package": (["-m", "lipnet", "--help"], {}),
    "composed configuration": ([TRAIN, "--cfg", "job", "model=fc"], {}),
    "defaults tree": ([TRAIN, "--info", "defaults-tree"], {}),
    "completion": ([TRAIN, "-sc", "query=bash"], COMPLETION),
    "mistake": ([TRAIN, "epoch=3", "model=smal"], {}),
    "mistake with traceback": ([TRAIN, "epoch=3", "model=smal"], {"HYDRA_FULL_ERROR": "1"}),
    "unknown flag": ([TRAIN, "--learning-rate=3"], {}),
}


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """``started(name)`` -> (exit code, output, errors, imported modules); outside the checkout, each only once."""
    folder, done = tmp_path_factory.mktemp("elsewhere"), {}
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("HYDRA_", "COMP_"))}

    def start(name):
        if name not in done:
            arguments, variables = COMMANDS[name]
            command = [sys.executable, "-X", "importtime", *arguments]
            process = subprocess.run(command, cwd=folder, env=outside | variables, capture_output=True, text=True)
            lines = process.stderr.splitlines(keepends=True)
            imports = [line for line in lines if line.startswith("import time:")]
            errors = "".join(line for line in lines if not line.startswith("import time:"))
            modules = {line.rpartition("|")[2].strip() for line in imports}
            done[name] = process.returncode, process.stdout, errors, modules
            assert list(folder.iterdir()) == []
        return done[name]

    return start


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_heavy_is_imported(name, started):
    *_, modules = started(name)
    assert "hydra" in modules
    assert modules & HEAVY == set()


@pytest.mark.parametrize(
    "name", ["help", "help of the package", "composed configuration", "defaults tree", "completion"]
)
def test_an_answer_is_no_error(name, started):
    code, output, errors, _ = started(name)
    assert (code, errors) == (0, "")
    assert output


def test_help_lists_every_group_with_its_options(started):
    listing = started("help")[1].partition("\nGroups (")[2].partition("\n\n")[0]
    assert max(map(len, listing.splitlines())) <= 110
    listed = dict(re.findall(r"^([a-z_/]+): (.+)$", listing.replace(",\n  ", ", "), flags=re.MULTILINE))
    found = {group: set(options.split(", ")) for group, options in listed.items() if not group.startswith("experiment")}
    assert {group: found.get(group) for group in GROUPS} == {group: set(options) for group, options in GROUPS.items()}
    experiments = {f"{group}/{name}" for group, names in listed.items() for name in names.split(", ")}
    folder = config_dir()
    files = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.glob("experiment/**/*.yaml")}
    assert files - experiments == set()


def test_help_shows_commands_and_every_key(started):
    output = started("help")[1]
    shown = [line.split("#")[0].strip() for line in re.findall(r"^  python train\.py(.*)$", output, re.MULTILINE)]
    assert shown[:3] == ["", "experiment=quick/mnist_small", "-m conv=bcop,plain seed=0,1,2"]
    composed = started("composed configuration")[1]
    top = re.findall(r"^[a-z_]+:", composed, flags=re.MULTILINE)
    assert "epochs:" in top
    assert [key for key in top if f"\n{key}" not in output] == []


def test_the_package_gives_the_same_help(started):
    assert started("help of the package")[1] == started("help")[1]


def test_completion_offers_the_models(started):
    assert set(started("completion")[1].split()) == {f"model={name}" for name in GROUPS["model"]}


def test_a_mistake_is_one_message_without_traceback(started):
    code, output, errors, _ = started("mistake")
    assert (code, output) == (1, "")
    first, *problems = errors.splitlines()
    assert first == "lipnet: 2 problems in this configuration:"
    assert [problem.split(":")[0] for problem in problems] == ["  1. model=smal", "  2. epoch"]


def test_a_developer_gets_the_traceback(started):
    code, output, errors, _ = started("mistake with traceback")
    assert (code, output) == (1, "")
    assert errors.startswith("Traceback (most recent call last):")
    assert "model=smal: no such option" in errors


def test_an_unknown_flag_is_named(started):
    code, output, errors, _ = started("unknown flag")
    assert (code, output) == (1, "")
    assert "--learning-rate=3" in errors.splitlines()[-1]
    assert "Traceback" not in errors
