"""What ``--info`` says: versions, the machine, the data that is there, the extras that are installed."""

import configparser
import dataclasses
import importlib.metadata
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import torch
from packaging.requirements import Requirement

from lipnet.data.images import load_files
from lipnet.errors import UserError
from lipnet.options.plugins import loaded_plugins
from lipnet.options.registry import GROUPS, image_sets
from lipnet.runs.cores import available_cores
from lipnet.runs.machine import git_commit, versions
from lipnet.training.notices import machine_notices

_NOT_EXTRAS = ("test", "dev")


def installation_report() -> str:
    """Everything, a section each, as text for a terminal or a report of an error."""
    sections = {
        "versions": dict(_versions()),
        "machine": dict(_machine()),
        f"data in {data_folder()} (dataset.root, $LIPNET_DATA)": dict(_data()),
        "extras": dict(_extras()),
        "plugins": loaded_plugins(),
    }
    blocks = [_block(title, entries) for title, entries in sections.items() if entries]
    blocks += [f"note: {notice}" for notice in machine_notices()]
    return "\n\n".join(blocks)


def data_folder() -> str:
    """Where data sets are looked for by default."""
    return os.environ.get("LIPNET_DATA", "data")


def _block(title: str, entries: dict[str, str]) -> str:
    width = max(map(len, entries))
    lines = [f"  {name:<{width}}  {value}" for name, value in entries.items()]
    return "\n".join([title, *lines])


def _versions() -> Iterator[tuple[str, str]]:
    for name, version in versions().items():
        yield name, version
        if name == "lipnet":
            yield "commit", git_commit() or "not a checkout"


def _machine() -> Iterator[tuple[str, str]]:
    yield "system", f"{platform.system()} {platform.release()}"
    yield "cores", f"{available_cores()} for this process, {os.cpu_count()} in all"
    yield "torch threads", f"{torch.get_num_threads()} (key threads; OMP_NUM_THREADS)"
    for number in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(number)
        yield f"cuda:{number}", f"{device.name}, {device.total_memory / 2**30:.0f} GiB"
    if not torch.backends.cuda.is_built():
        yield "cuda", "no device; this torch is built without CUDA"
    elif torch.cuda.device_count() == 0:
        yield "cuda", "no device"


def _data() -> Iterator[tuple[str, str]]:
    for name in image_sets():  # others need no files
        if any(field.name == "cache" for field in dataclasses.fields(GROUPS["dataset"][name].keys)):
            continue  # to look at it would decode all of its pictures
        try:
            train, test = load_files(SimpleNamespace(name=name, root=data_folder(), download=False))
        except UserError as error:
            if " is missing in " in str(error) and ": use " not in str(error):
                yield name, "not there; downloaded when a run asks for it"
            else:
                yield name, str(error).partition(": ")[2]
        else:
            yield name, f"{len(train):,} training and {len(test):,} test images"


def _extras() -> Iterator[tuple[str, str]]:
    """Each extra of this package with the versions of what it asks for, or how to install that."""
    wanted = _wanted()
    for extra, requirements in wanted.items():
        found = {name: _installed(name) for name in _packages(requirements, wanted)}
        if None in found.values():
            yield extra, f"not installed: pip install 'lipnet[{extra}]'"
        else:
            yield extra, ", ".join(f"{name} {version}" for name, version in found.items())


def _packages(requirements: list[Requirement], wanted: dict[str, list[Requirement]]) -> list[str]:
    """The names of the required packages; this package's own extras stand for what these ask for."""
    names = []
    for requirement in requirements:
        if requirement.name == "lipnet":
            for extra in sorted(requirement.extras):
                names += [part.name for part in wanted[extra]]
        else:
            names.append(requirement.name)
    return names


def _wanted() -> dict[str, list[Requirement]]:
    """What each extra asks for, as the installation knows it; a checkout that is not installed has ``setup.cfg``."""
    wanted: dict[str, list[Requirement]] = {}
    try:
        metadata = importlib.metadata.metadata("lipnet")
    except importlib.metadata.PackageNotFoundError:
        return _declared(Path(__file__).resolve().parents[2] / "setup.cfg")
    extras = [extra for extra in metadata.get_all("Provides-Extra") or () if extra not in _NOT_EXTRAS]
    for requirement in map(Requirement, importlib.metadata.requires("lipnet") or ()):
        for extra in extras:
            if requirement.marker and requirement.marker.evaluate({"extra": extra}):
                wanted.setdefault(extra, []).append(requirement)
    return wanted


def _declared(file: Path) -> dict[str, list[Requirement]]:
    """The extras of a ``setup.cfg``; none where there is no such file."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(file, encoding="utf-8")
    if not parser.has_section("options.extras_require"):
        return {}
    wanted = {}
    for extra, text in parser.items("options.extras_require"):
        if extra not in _NOT_EXTRAS:
            wanted[extra] = [Requirement(line) for line in text.split("\n") if line.strip()]
    return wanted


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
