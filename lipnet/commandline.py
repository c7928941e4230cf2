"""Reads the command line before Hydra does, so that every mistake in it is found at once and said in plain words.

Hydra stops at the first unknown key or option, accepts ``+key=value`` that nothing reads, and names no near match.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from lipnet.config import GROUPS, examine, unknown_key, unknown_option
from lipnet.errors import UserError

# What a command may change when it evaluates a finished run; everything else is the run's own.
EVALUATION_KEYS = (
    "task", "run", "eval_radii", "certify_dtype", "device", "threads", "progress",
    "attack.steps", "attack.restarts", "attack.examples",
    "dataset.root", "dataset.download", "dataset.limit_test",
)  # fmt: skip
# What may change when a run is continued: nothing that touches training.
RESUME_KEYS = ("resume", *(key for key in EVALUATION_KEYS if key not in ("task", "run", "dataset.limit_test")))


def config_dir() -> Path:
    """The folder of configurations: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).resolve().parent
    checkout = package.parent / "conf"
    return checkout if (checkout / "config.yaml").is_file() else package / "conf"


def prepare(argv: list[str]) -> list[str]:
    """Checks the arguments, and puts a saved run's own before them where they name one; returns what Hydra is to see.

    Raises:
        UserError: with every problem of the command line.
    """
    arguments = get_args_parser().parse_args(argv)
    if any((arguments.help, arguments.hydra_help, arguments.shell_completion, arguments.info)):
        return argv
    added = _saved_overrides(arguments.overrides)
    checker = _Checker([*added, *arguments.overrides], arguments)
    if checker.swept and not arguments.multirun:
        checker.problems.append(
            f"{', '.join(checker.swept)}: several values make a sweep; add -m, or write a list as [1,2]."
        )
    if checker.problems:
        raise UserError(*checker.problems)
    if not (arguments.cfg or arguments.multirun or checker.swept):
        _make_run_directory(checker.composed)
    return [*added, *argv]


class _Checker:
    """The problems of a list of overrides: bad syntax, unknown options and keys, then values.

    Attributes:
        problems: one sentence each.
        swept: the overrides that name several values.
        composed: the configuration, with the first value of each swept option.
    """

    def __init__(self, overrides: list[str], arguments: argparse.Namespace) -> None:
        self.problems: list[str] = []
        self.swept: list[str] = []
        self.composed: DictConfig | None = None
        self._config_dir: str | None = arguments.config_dir
        self._groups: list[str] = []
        keys = [override for override in self._parse(overrides) if not self._is_option(override)]
        with _hydra():
            known = self._compose(self._groups)
            if known is not None:
                names = list(_leaves(OmegaConf.to_container(known, resolve=False)))
                self._check_values([override for override in keys if self._is_known(override, names)])

    def _parse(self, overrides: list[str]) -> Iterator[Override]:
        parser = OverridesParser.create()
        for text in overrides:
            try:
                yield parser.parse_override(text)
            except HydraException as error:
                reason = str(error).splitlines()[0].rstrip(".")
                self.problems.append(f"{text}: not KEY=VALUE as Hydra reads it ({reason}); quote special characters.")

    def _is_option(self, override: Override) -> bool:
        """Takes ``group=option`` and Hydra's own overrides; leaves the rest."""
        key = override.key_or_group
        if key not in GROUPS and key != "experiment":
            if key.startswith("hydra") or "/" in key:
                self._groups.append(_text(override))
                return True
            return False
        options, values = _options(key, self._config_dir), _values(override)
        bad = [value for value in values if value != "null" and value not in options]
        self.problems += [unknown_option(key, value, options) for value in bad]
        if not bad and not override.is_delete():
            self._groups.append(f"{key}={values[0]}")
        if override.is_sweep_override():
            self.swept.append(_text(override))
        return True

    def _is_known(self, override: Override, names: list[str]) -> bool:
        key = override.key_or_group
        if key not in names:
            self.problems.append(unknown_key(key, names if "." in key else [*GROUPS, *names]))
        return key in names

    def _check_values(self, overrides: list[Override]) -> None:
        swept = [override for override in overrides if override.is_sweep_override()]
        self.swept += [_text(override) for override in swept]
        given = [*self._groups, *(_text(override) for override in overrides if override not in swept)]
        self.composed = self._compose(given)
        variants = [f"{override.key_or_group}={value}" for override in swept for value in _values(override)]
        for config in (self.composed, *(self._compose([*given, variant]) for variant in variants)):
            found = [] if config is None else examine(_without_hydra(config))[1]
            self.problems += [problem for problem in found if problem not in self.problems]

    def _compose(self, overrides: list[str]) -> DictConfig | None:
        try:
            return compose("config", overrides=overrides, return_hydra_config=True)
        except HydraException as error:
            problem = " ".join(str(error).split())
            if problem not in self.problems:
                self.problems.append(problem)
            return None


def _saved_overrides(overrides: list[str]) -> list[str]:
    """The overrides of the run that ``resume=DIR`` continues or ``task=evaluate run=DIR`` evaluates, less those given.

    Raises:
        UserError: DIR is not a run directory, or an override would change what is the run's own.
    """
    given = dict(override.partition("=")[::2] for override in overrides)
    key = "run" if given.get("task") == "evaluate" else "resume"
    directory, allowed = given.get(key), EVALUATION_KEYS if key == "run" else RESUME_KEYS
    if directory in (None, "", "null"):
        return []
    saved = Path(directory) / ".hydra" / "overrides.yaml"
    if not saved.is_file():
        raise UserError(f"{key}={directory}: not a run directory ({saved} is missing); give one from outputs/.")
    refused = [name for name in given if name.lstrip("+~") not in allowed and not name.startswith("hydra")]
    if refused:
        does = "evaluates a run as it is" if key == "run" else "continues a run as it was"
        raise UserError(*(f"{name}: {key}=DIR {does}; it can change {', '.join(allowed)}." for name in refused))
    texts: list[str] = list(OmegaConf.load(saved) or [])
    return [text for text in texts if text.partition("=")[0] not in (*given, "resume", "run", "task")]


def _make_run_directory(composed: DictConfig | None) -> None:
    if composed is None:
        return
    directory = Path(str(composed.hydra.run.dir))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"hydra.run.dir={directory}: cannot write there ({error.strerror}); choose another with hydra.run.dir=DIR."
        ) from None


def _values(override: Override) -> list[str]:
    if override.is_sweep_override():
        return list(override.sweep_string_iterator())
    return [override.get_value_string() if override.value() is not None else "null"]


def _text(override: Override) -> str:
    return override.input_line or ""


def _options(group: str, extra_dir: str | None) -> list[str]:
    folders = [config_dir() / group] + ([Path(extra_dir) / group] if extra_dir else [])
    found = {
        path.relative_to(folder).with_suffix("").as_posix() for folder in folders for path in folder.rglob("*.yaml")
    }
    declared = list(GROUPS.get(group, {}))
    return [name for name in declared if name in found] + sorted(found - set(declared))


def _leaves(node: object, prefix: str = "") -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if prefix or key != "hydra":
                yield from _leaves(value, f"{prefix}{key}.")
    else:
        yield prefix.rstrip(".")


def _without_hydra(config: DictConfig) -> DictConfig:
    config = config.copy()
    OmegaConf.set_struct(config, False)
    config.pop("hydra", None)
    return config


def _hydra() -> AbstractContextManager:
    GlobalHydra.instance().clear()
    return initialize_config_dir(str(config_dir()), version_base="1.3")


def main_arguments() -> None:
    """Runs ``prepare`` on ``sys.argv`` in place; a user's mistake ends the program with exit code 1."""
    try:
        sys.argv[1:] = prepare(sys.argv[1:])
    except UserError as error:
        fail(error)
    except SystemExit as stop:  # argparse leaves with 2; a user's mistake is 1 here
        sys.exit(1 if stop.code else 0)


def fail(error: UserError) -> None:
    """One message, no traceback (unless HYDRA_FULL_ERROR=1), exit code 1."""
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        raise error
    sys.stderr.write(f"lipnet: {error}\n")
    sys.exit(1)
