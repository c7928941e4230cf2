"""The wheel: built offline, installed into a folder of its own, and run from another directory."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from launching import ROOT, TINY, results

CONFIGS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "conf").rglob("*.yaml"))


def _python(*arguments, cwd, path=None):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {} if path is None else {"PYTHONPATH": str(path)}
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that a stale build/ of the checkout cannot get in, and none is left."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("lipnet", "conf"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    done = _python("-m", "build", "--wheel", "--no-isolation", "--outdir", folder / "dist", source, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("install")
    options = ("--quiet", "--no-index", "--no-deps", "--no-compile", "--disable-pip-version-check")
    done = _python("-m", "pip", "install", *options, "--target", folder / "site", wheel, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def _names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize("path", CONFIGS)
def test_the_wheel_holds_every_configuration(wheel, path):
    assert f"lipnet/{path}" in _names(wheel)


def test_the_wheel_holds_every_file_of_the_package(wheel):
    paths = [path for path in (ROOT / "lipnet").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.relative_to(ROOT).as_posix() for path in paths} <= _names(wheel)


def test_the_wheel_holds_nothing_else(wheel):
    top = {name.partition("/")[0] for name in _names(wheel)}
    assert {re.sub(r"-[\d.]+\.dist-info", "-dist-info", name) for name in top} == {"lipnet", "lipnet-dist-info"}


def test_the_installed_package_has_a_console_script(site):
    assert "from lipnet.app import main" in (site / "bin" / "lipnet").read_text()
    assert "from lipnet.results.__main__ import main" in (site / "bin" / "lipnet-results").read_text()


def test_the_installed_package_is_the_one_that_runs(site, tmp_path):
    done = _python("-c", "import lipnet; print(lipnet.__file__)", cwd=tmp_path, path=site)
    assert done.stdout.strip() == str(site / "lipnet" / "__init__.py"), done.stderr


def test_help_from_another_directory(site, tmp_path):
    done = _python("-m", "lipnet", "--help", cwd=tmp_path, path=site)
    assert done.returncode == 0, done.stderr
    for part in ("usage: ", "conv: ", "seed: 0", "batch_size: "):
        assert part in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_composed_configuration_from_another_directory(site, tmp_path):
    done = _python("-m", "lipnet", "--cfg", "job", "model=fc", "epochs=7", cwd=tmp_path, path=site)
    assert done.returncode == 0, done.stderr
    assert "epochs: 7\n" in done.stdout
    assert "name: fc\n" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_run_from_another_directory(site, tmp_path):
    done = _python("-m", "lipnet", *TINY, "epochs=1", "attack.steps=1", cwd=tmp_path, path=site)
    assert done.returncode == 0, done.stderr
    (directory,) = (path.parent for path in (tmp_path / "outputs").rglob("results.json"))
    found = results(directory)
    assert found["status"] == "completed"
    assert "git_commit" not in found  # not in a checkout
    assert found["versions"]["lipnet"] in (site / "lipnet" / "__init__.py").read_text()


def test_every_package_is_listed():
    """``conf/`` is one of them under another name, which ``find:`` could not say."""
    listed = configparser.ConfigParser()
    listed.read(ROOT / "setup.cfg")
    folders = {
        path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in ROOT.glob("lipnet/**/__init__.py")
    }
    assert set(listed["options"]["packages"].split()) == {*folders, "lipnet.conf"}
