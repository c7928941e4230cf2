"""What one test has composed, the others are given a copy of, as long as no file that is searched has changed.

A third of all tests' time was Hydra reading and merging the same files. What is kept is what one command keeps anyway:
see ``lipnet.cli.composing.composing_once``; ``cli/test_composing.py`` compares it with what Hydra composes each time.
"""

import contextlib
import functools
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import omegaconf.base
import pytest
from hydra._internal.config_repository import IConfigRepository
from omegaconf import OmegaConf

from lipnet.cli import composing

_COMPOSED = composing._Composed()
_LOADED: dict[tuple[str, "State"], bytes] = {}
_load = OmegaConf.load
_parse = functools.cache(omegaconf.base.parse)


class State(NamedTuple):
    """Of a file: another where it may have changed."""

    inode: int
    size: int
    changed: int


def state_of(found: os.stat_result) -> State:
    return State(found.st_ino, found.st_size, found.st_mtime_ns)


def searched_files(repo: IConfigRepository) -> tuple[object, ...]:
    """The folders that are searched, with all that is in them."""
    return tuple((repr(source), *_files(source.path)) for source in repo.get_sources())


def _files(folder: str) -> Iterator[tuple[str, State]]:
    if os.path.isdir(folder):  # not a package, nor Hydra's store
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    yield from _files(entry.path)
                elif entry.is_file():  # a link may lead nowhere
                    yield entry.path, state_of(entry.stat())


def load(file: Any) -> Any:
    """``OmegaConf.load``, which reads a file again only where it has changed."""
    name = str(file) if isinstance(file, (str, Path)) else file.name
    known = (os.path.abspath(name), state_of(os.stat(name)))
    if known not in _LOADED:
        _LOADED[known] = pickle.dumps(_load(file))
    return pickle.loads(_LOADED[known])


@contextlib.contextmanager
def files_kept() -> Iterator[None]:
    """Within it, no file is read again, and no interpolation parsed again; what they make is composed each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OmegaConf, "load", staticmethod(load))
        patch.setattr(omegaconf.base, "parse", _parse)
        yield


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Within it, what is composed is kept as well."""
    with files_kept(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(composing, "_Composed", lambda: _COMPOSED)
        patch.setattr(composing, "_sources", searched_files)
        yield


@pytest.fixture(scope="module", autouse=True)
def composed_before() -> Iterator[None]:
    """For every file of tests but those that count what is composed, which have a fixture of this name instead."""
    with kept():
        yield
