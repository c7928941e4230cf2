"""What ``--info`` says: versions, the machine, the data that is there, the extras that are installed."""

import configparser
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
from lipnet.options.registry import names_for
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
    }
    blocks = [_block(title, lines) for title, lines in sections.items() if lines]
    return "\n\n".join([*blocks, *(f"note: {notice}" for notice in machine_notices())])


def data_folder() -> str:
    """Where data sets are looked for by default."""
    return os.environ.get("LIPNET_DATA", "data")


def _block(title: str, lines: dict[str, str]) -> str:
    width = max(map(len, lines))
    return "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in lines.items())])


def _versions() -> Iterator[tuple[str, str]]:
    for name, version in versions().items():
        yield name, version
        if name == "lipnet":
            yield "commit", git_commit() or "not a checkout"


def _machine() -> Iterator[tuple[str, str]]:
    yield "system", f"{platform.system()} {platform.release()}"
    yield "cores", f"{available_cores()} for this process, {os.cpu_count()} in all"
    yield "torch threads", f"{torch.get_num_threads()} (key threads; OMP_NUM_THREADS)"
    devices = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    for number, device in enumerate(devices):
        yield f"cuda:{number}", f"{device.name}, {device.total_memory / 2**30:.0f} GiB"
    if not devices:
        yield "cuda", "no device" if torch.backends.cuda.is_built() else "no device; this torch is built without CUDA"


def _data() -> Iterator[tuple[str, str]]:
    for name in names_for("dataset", "images"):
        try:
            train, test = load_files(SimpleNamespace(name=name, root=data_folder(), download=False))
        except UserError as error:
            missing = " is missing in " in str(error) and ": use " not in str(error)
            yield name, "not there; downloaded when a run asks for it" if missing else str(error).partition(": ")[2]
        else:
            yield name, f"{len(train):,} training and {len(test):,} test images"


def _extras() -> Iterator[tuple[str, str]]:
    """Each extra of this package with what it lacks."""
    wanted = _wanted()
    for extra, requirements in wanted.items():
        parts = [part for one in requirements for part in _parts(one, wanted)]
        found = {requirement.name: _installed(requirement.name) for requirement in parts}
        missing = [name for name, version in found.items() if version is None]
        yield (
            extra,
            (
                f"not installed: pip install 'lipnet[{extra}]'"
                if missing
                else ", ".join(f"{name} {version}" for name, version in found.items())
            ),
        )


def _parts(requirement: Requirement, wanted: dict[str, list[Requirement]]) -> list[Requirement]:
    """The requirement, or those of the extras of this package that it stands for."""
    if requirement.name != "lipnet":
        return [requirement]
    return [part for extra in sorted(requirement.extras) for part in wanted[extra]]


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
    return {
        extra: [Requirement(line) for line in lines.split("\n") if line.strip()]
        for extra, lines in parser.items("options.extras_require")
        if extra not in _NOT_EXTRAS
    }


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
