"""Reads the command line before Hydra does, so that every mistake in it is found at once and said in plain words.

Hydra stops at the first unknown key or option, accepts ``+key=value`` that nothing reads, and names no near match.
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import itertools
import math
import os
import re
import secrets
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lipnet import version
from lipnet.config import NODES, config_dir, examine, show, unknown_key, unknown_option, unread_keys
from lipnet.defaults import leaves
from lipnet.directory import escaping, unusable, unwritable
from lipnet.errors import UserError
from lipnet.occupied import occupied, occupied_by_a_run, other_run
from lipnet.own_files import misread, not_found
from lipnet.paths import as_meant, path_of, path_override
from lipnet.pins import key_pins, option_pins, recorded_keys
from lipnet.processes import shared_by
from lipnet.saved import RUN_READERS, Origin, origin
from lipnet.schema import GROUPS, PACKAGES
from lipnet.sweeps.launch import Launch
from lipnet.sweeps.objective import no_such_number
from lipnet.sweeps.plan import Plan, plan_sweep
from lipnet.trust import check_folder

_RESUMED_SWEEP = "resume: continues one run; a sweep launched again, by the same command, continues its jobs."
_COMBINATIONS = 16  # of a sweep, checked one by one before it starts
_COMPOSED: dict[tuple[str, ...], DictConfig] = {}  # within one use of ``_hydra``
# Launchers and sweepers that are packages of their own, and the extra that brings them.
_PLUGINS = {"hydra/launcher/joblib": "joblib", "hydra/launcher/submitit": "submitit", "hydra/sweeper/optuna": "optuna"}


def listed_groups() -> str:
    """Every group with its options, for ``--help``: Hydra's list, with long lines broken between names."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    listed = hydra.format_config_groups(lambda group: group.partition("/")[0] not in ("hydra", "usual"))
    return "\n".join(textwrap.fill(line, 110, subsequent_indent="  ") for line in listed.splitlines())


def prepare(argv: list[str]) -> list[str]:
    """Checks the arguments, and puts a saved run's own before them where they name one; returns what Hydra is to see.

    Raises:
        UserError: with every problem of the command line.
    """
    return _prepare(argv)[0]


def _prepare(argv: list[str]) -> tuple[list[str], Launch | None]:
    """What Hydra is to see, and the sweep that it will be."""
    if "--version" in argv:
        print(version())
        sys.exit(0)
    argv = [_radii_as_written(as_meant(argument)) for argument in argv]
    arguments = get_args_parser().parse_args(argv)
    if arguments.config_dir is not None:
        arguments.config_dir = os.path.expanduser(arguments.config_dir)
        argv = ["--config-dir", arguments.config_dir, *_without_option(argv, "--config-dir", "-cd")]
    if arguments.info == "all" and "all" not in argv:  # without a word after it: not Hydra's own
        from lipnet.info import describe

        print(describe())
        sys.exit(0)
    if any((arguments.help, arguments.hydra_help, arguments.shell_completion, arguments.info)):
        return argv, None
    untrusted = list(_untrusted(arguments))
    if untrusted:
        raise UserError(*untrusted)
    overrides, problems = _parse(arguments.overrides)
    if problems:  # nothing else can be said of a line that cannot be read
        with _hydra(arguments.config_dir):
            _, found = _check(overrides, arguments)
        raise UserError(*problems, *found)
    if arguments.multirun and any(override.key_or_group == "resume" for override in overrides):
        raise UserError(_RESUMED_SWEEP)
    run = origin(overrides)
    with _hydra(arguments.config_dir):
        if run is not None:
            run = _as_recorded(run, overrides)
            own = _own(run, overrides)
            argv = [argument for argument in argv if argument not in own]
            overrides = [override for override in overrides if _text(override) not in own]
        saved = run.added({override.key_or_group for override in overrides}) if run else []
        saved += _left_over(saved, overrides)
        if not arguments.multirun and any(text.startswith("sweep=") for text in saved):
            saved.append("hydra.mode=RUN")  # one job of a ready-made sweep, by itself
        kept, problems = _parse(saved)
        if problems:
            raise UserError(*problems)
        plan = _plan([*kept, *overrides], arguments)
        composed, problems = _check(plan.overrides if plan else [*kept, *overrides], arguments, bool(plan))
    swept = [_text(override) for override in (*kept, *overrides) if override.is_sweep_override()]
    if plan and any(override.key_or_group == "resume" for override in overrides):
        problems.append(_RESUMED_SWEEP)
    if swept and not plan and not arguments.multirun:
        problems.append(f"{', '.join(swept)}: several values make a sweep; add -m, or write a list as [1,2].")
    problems += escaping(composed)
    problems += [] if problems else unusable(composed)
    if not problems and plan and plan.optimises and composed is not None and composed.objective is None:
        problems.append(
            "objective=null: this sweeper optimises a number of results.json, as objective=validation.loss."
        )
    launch = _launch(plan, composed) if plan and composed is not None else None
    if not problems and not arguments.cfg:
        if plan and launch:
            problems += _occupied_by_jobs(plan, launch, arguments.config_dir)
        else:
            problems += _occupied(composed, arguments.config_dir)
        problems = problems or unwritable(composed, bool(plan))
    if problems:
        raise UserError(*problems)
    place = argv.index(_text(overrides[0])) if overrides else len(argv)
    added = [*saved, *(launch.overrides if launch else [])]  # before what was typed, which wins
    return [*argv[:place], *added, *argv[place:]], launch


def _as_recorded(run: Origin, overrides: list[Override]) -> Origin:
    """The run with the values that it had from defaults which are others today; of a rerun, less what was typed."""
    given = {override.key_or_group for override in overrides}
    recorded = recorded_keys(Path(run.directory))
    if not recorded or (run.key == "rerun" and "experiment" in given):  # a recipe says what it wants
        return run
    texts = list(run.texts)
    typed = {re.split("[=@]", text.lstrip("+~"))[0] for text in texts}
    for pins in (option_pins, key_pins):
        composed = _compose(texts, [])
        if composed is None:  # the checks will say what is wrong with the run's own overrides
            return run
        today = dict(leaves(_plain(composed)))
        texts += [
            text
            for text in pins(recorded, today, typed)
            if run.key != "rerun" or not {text.partition("=")[0], text.partition(".")[0]} & given
        ]
    return dataclasses.replace(run, texts=texts)


def _own(run: Origin, overrides: list[Override]) -> set[str]:
    """The typed overrides that give what the run has anyway: they are left out.

    Raises:
        UserError: others would change what must stay as the run has it.
    """
    bound = {override.key_or_group: override for override in overrides if run.bound(override)}  # the last one counts
    composed = _compose(run.texts, []) if bound else None
    if composed is None:  # nothing to compare, or the checks will say what is wrong with the run's own overrides
        return set()
    changes = {}
    left = set()
    for key, override in bound.items():
        if key == "hydra.run.dir":
            changed, had = not run.holds(override), run.directory
        elif key == "hydra.output_subdir":
            changed, had = path_of(override) != ".hydra", ".hydra"
        elif (found := _changes(override, run, composed)) is not None:
            changed, had = found, _of(composed, key)
        else:  # there is no such key or option: the checks will say so
            left.add(key)
            continue
        if changed:
            changes[_text(override)] = f"{key}={had}"
    if changes:
        raise UserError(run.refusal(changes))
    return {_text(override) for override in overrides if override.key_or_group in set(bound) - left}


def _changes(override: Override, run: Origin, composed: DictConfig) -> bool | None:
    """Whether an override changes the configuration of a run; ``None`` where no run could have it."""
    if override.is_sweep_override():
        return True
    key, text = override.key_or_group, _text(override).lstrip("+")
    changed = _compose([*run.texts, text], [])
    if changed is None:  # it may contradict the run's own overrides alone
        return None if _compose([text], []) is None else True
    return _content(changed) != _content(composed) or _choice(changed, key) != _choice(composed, key)


def _plain(composed: DictConfig) -> dict[str, Any]:
    content: Any = OmegaConf.to_container(_without_hydra(composed))
    return content


def _content(composed: DictConfig) -> Any:
    plain = _without_hydra(composed)
    try:
        return OmegaConf.to_container(plain, resolve=True)
    except OmegaConfBaseException:
        return OmegaConf.to_container(plain)


def _of(composed: DictConfig, key: str) -> str:
    """What a configuration has under a key, as one would type it."""
    if _is_group(key):
        return str(_choice(composed, key))
    value = OmegaConf.select(composed, key)
    return show(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)


def _choice(composed: DictConfig, group: str) -> str | None:
    return show(composed.hydra.runtime.choices.get(group)) if _is_group(group) else None


def _occupied(composed: DictConfig | None, config_dir: str | None) -> list[str]:
    """A problem if the directory is another run's; looked for once, where several processes share a run."""
    if composed is None:
        return []
    config = examine(_without_hydra(composed))[0]
    if config is None:
        return []
    key = "hydra.run.dir" if composed.resume is None else "resume"
    directory = Path(str(OmegaConf.select(composed, key)))
    if shared_by() == 1:
        return occupied(directory, key, config, config_dir)
    from lipnet.training import distributed

    return distributed.from_main(lambda: occupied(directory, key, config, config_dir))


def _occupied_by_jobs(plan: Plan, launch: Launch, config_dir: str | None) -> list[str]:
    """A problem if the sweep's directory is a run's or, where jobs are named by hand, if a job's is another run's."""
    problems = occupied_by_a_run(launch.directory)
    named = [_text(override) for override in plan.overrides if override.key_or_group == "hydra.sweep.subdir"]
    if problems or not named or plan.optimises:
        return problems
    if plan.jobs > 1 and "${" not in named[-1]:
        return [f"{named[-1]}: the {plan.jobs} jobs would be in one directory; name them, as by ${{hydra.job.num}}."]
    choices = [
        [f"{override.key_or_group}={value}" for value in _values(override, config_dir)]
        if override.is_sweep_override()
        else [_text(override)]
        for override in plan.overrides
    ]
    with _hydra(config_dir):
        for number, texts in enumerate(itertools.islice(itertools.product(*choices), _COMBINATIONS)):
            composed = _compose([*texts, f"hydra.job.num={number}"], problems)
            config = examine(_without_hydra(composed))[0] if composed is not None else None
            if composed is not None and config is not None:
                directory = launch.directory / str(OmegaConf.select(composed, "hydra.sweep.subdir"))
                found = other_run(directory, config)
                problems += [f"{directory}: {found}; choose another hydra.sweep.dir."] if found else []
    return problems


def _without_option(argv: list[str], *names: str) -> list[str]:
    """The arguments less an option and its value, in whatever way these are written."""
    kept, skip = [], False
    for argument in argv:
        if not skip and argument in names:
            skip = True
        elif skip or argument.startswith(tuple(f"{name}=" for name in names)):
            skip = False
        else:
            kept.append(argument)
    return kept


def _plan(overrides: list[Override], arguments: argparse.Namespace) -> Plan | None:
    """The sweep that the overrides ask for, by -m or by ``sweep=NAME``; none for a single run."""
    chosen = [_text(override) for override in overrides if override.key_or_group.startswith(("sweep", "hydra"))]
    if not (chosen or arguments.multirun):
        return None
    composed = _compose(chosen, [])
    if composed is None or not (arguments.multirun or composed.hydra.mode == RunMode.MULTIRUN):
        return None
    return plan_sweep(overrides, composed.hydra.sweeper, lambda override: _values(override, arguments.config_dir))


def _launch(plan: Plan, composed: DictConfig) -> Launch:
    """A sweep's directory is called after it, so that the same command finds its jobs again; unless one was chosen."""
    directory = str(composed.hydra.sweep.dir)
    typed = any(override.key_or_group == "hydra.sweep.dir" for override in plan.overrides)
    if not typed and directory == f"outputs/sweeps/{composed.task.name}":
        directory = f"{directory}/{plan.name}"
    return Launch(secrets.token_hex(4), Path(directory), plan.keys, plan.jobs)


def _radii_as_written(argument: str) -> str:
    """``eval_radii=[0.50]`` with quotes around 0.50: results are keyed by a text that reading a number would lose."""
    key, _, value = argument.partition("=")
    inner = value[1:-1]
    if key.lstrip("+") != "eval_radii" or f"[{inner}]" != value or "[" in inner:
        return argument
    return f"{key}=[{','.join(map(_quote_number, inner.split(',')))}]"


def _quote_number(entry: str) -> str:
    written = entry.strip()
    try:
        kept = written in (str(float(written)), str(int(float(written))))
    except (ValueError, OverflowError):
        kept = True  # not a number: a fraction, or something that the checks will refuse
    return entry if kept else repr(written)


def _parse(texts: list[str]) -> tuple[list[Override], list[str]]:
    """The overrides that can be read, and the problems of those that cannot."""
    parser, parsed, problems = OverridesParser.create(), [], []
    for text in texts:
        try:
            parsed.append(parser.parse_override(text))
        except (HydraException, ValueError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            problems.append(f"{text}: not KEY=VALUE as Hydra reads it ({reason}); quote special characters.")
    return parsed, problems


def _check(
    overrides: list[Override], arguments: argparse.Namespace, sweep: bool = False
) -> tuple[DictConfig | None, list[str]]:
    """The configuration with the first value of whatever is swept, and every problem of every value."""
    problems: list[str] = []
    # Each override as the texts of its values; the first stands for it while the others are tried.
    choices: list[list[str]] = []
    keys = []
    for override in overrides:
        if _is_group(override.key_or_group):
            found = _group_problems(override, arguments.config_dir)
            problems += found
            if not found:
                choices.append(
                    [f"{override.key_or_group}={value}" for value in _values(override, arguments.config_dir)]
                )
        elif override.key_or_group.startswith("hydra"):
            choices.append([_text(override)])
        else:
            keys.append(override)
    known = _known_keys(list(choices), problems)
    if known is None:
        return None, problems
    for override in keys:
        found = _key_problems(override, known)
        problems += found
        if not found:
            values = _values(override) if override.is_sweep_override() else None
            choices.append([f"{override.key_or_group}={value}" for value in values] if values else [_text(override)])
    composed = None
    for texts in _combinations(choices):
        config = _compose(list(texts), problems)
        composed = composed or config
        if config is not None:
            checked, wrong = examine(_without_hydra(config))
            found = [*_unread(keys, config), *wrong, *_missing_packages(config)]
            found += filter(None, [no_such_number(checked)]) if sweep and checked else []
            problems += [problem for problem in found if problem not in problems]
    return composed, problems


def _missing_packages(composed: DictConfig) -> Iterator[str]:
    """Not a problem of the configuration itself: a run that has it can be loaded anywhere."""
    names = OmegaConf.select(composed, "attack.names")
    for package in dict.fromkeys(PACKAGES.values()):
        of_it = [name for name, needed in PACKAGES.items() if needed == package]
        wanted = [name for name in of_it if isinstance(names, ListConfig) and name in names]
        if wanted and importlib.util.find_spec(package) is None:
            yield (
                f"attack.names: {' and '.join(wanted)} needs the package {package}, which is not installed; "
                f"pip install {package}, or leave it out."
            )
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if OmegaConf.select(composed, "task.onnx") is True and missing:
        yield (
            f"task.onnx=true: needs {' and '.join(missing)}, not installed; pip install 'lipnet[onnx]', or "
            "task.onnx=false for the other files alone."
        )


def _combinations(choices: list[list[str]]) -> list[tuple[str, ...]]:
    """Every combination of a small sweep; of a large one, each value once beside the others' first ones."""
    if math.prod(map(len, choices)) <= _COMBINATIONS:
        return list(itertools.product(*choices))
    first = [texts[0] for texts in choices]
    return [(*first[:place], text, *first[place + 1 :]) for place, texts in enumerate(choices) for text in texts]


def _is_group(key: str) -> bool:
    return key in (*GROUPS, "experiment", "sweep")


def _group_problems(override: Override, config_dir: str | None) -> list[str]:
    group, text = override.key_or_group, _text(override)
    options = _options(group, config_dir)
    if override.is_delete() or override.is_add() or override.is_force_add() or override.package is not None:
        return [f"{text}: choose an option with {group}=OPTION; {group} takes {', '.join(options)}."]
    try:
        values = _values(override, config_dir)
    except HydraException:
        return [f"{text}: not options; {group} takes {', '.join(options)}."]
    if not values:
        return [f"{text}: matches no option; {group} takes {', '.join(options)}."]
    unknown = [
        not_found(config_dir, group, value) or unknown_option(group, value, options)
        for value in values
        if value not in options
    ]
    return unknown + list(filter(None, (misread(config_dir, group, value) for value in values)))


def _key_problems(override: Override, known: list[str]) -> list[str]:
    key = override.key_or_group
    group, _, name = key.rpartition(".")
    if name == "name" and group in GROUPS:
        return [f"{key}: an option's own name; choose another with {group}={override.get_value_string()}."]
    if not key:
        return [f"{_text(override)}: the key is missing; write KEY=VALUE."]
    if key not in known:
        return [unknown_key(key, known if group else [*GROUPS, *NODES, *known])]
    try:
        _values(override)
    except HydraException:
        return [
            f"{_text(override)}: the sweep needs values it can list, as in {key}=1,2 or {key}=range(0,5); "
            "an interval needs hydra/sweeper=optuna."
        ]
    return []


def _unread(keys: list[Override], config: DictConfig) -> Iterator[str]:
    """Keys that were typed although this configuration's data has no use for them."""
    for key, reason in unread_keys(config).items():
        for override in keys:
            if override.key_or_group.partition(".")[0] == key:
                yield f"{override.key_or_group}: {reason}; leave it out."


def _known_keys(choices: list[list[str]], problems: list[str]) -> list[str] | None:
    """The keys that some combination of the chosen options has."""
    known: dict[str, None] = {}
    for texts in _combinations(choices):
        config = _compose(list(texts), problems)
        if config is None:
            return None
        known |= dict.fromkeys(_leaves(OmegaConf.to_container(config, resolve=False)))
    return list(known)


def _compose(overrides: list[str], problems: list[str]) -> DictConfig | None:
    """A tenth of a second each time, so the same is composed once; nothing changes what is returned."""
    try:
        if tuple(overrides) not in _COMPOSED:
            _COMPOSED[tuple(overrides)] = compose("config", overrides=overrides, return_hydra_config=True)
        return _COMPOSED[tuple(overrides)]
    except (HydraException, ValueError) as error:
        reasons = [" ".join(str(part).split()) for part in (error, error.__cause__) if part is not None]
        key = next(
            (text for text in overrides if text.startswith("hydra") and text.partition("=")[0] in reasons[0]), ""
        )
        extra = next((extra for part, extra in _PLUGINS.items() if f"'{part}" in reasons[0]), None)
        if extra is not None:
            reasons = [f"needs a plugin that is not installed; pip install 'lipnet[{extra}]'."]
        text = re.sub(
            r" ?To append to your config use \+\S+", "", ": ".join(dict.fromkeys(filter(None, (key, *reasons))))
        )
        if text not in problems:
            problems.append(text)
        return None


def _left_over(saved: list[str], overrides: list[Override]) -> list[str]:
    """Deletions of what the run's experiment chose for the task that trained it."""
    task = next((str(override.value()) for override in overrides if override.key_or_group == "task"), None)
    if not saved or task not in RUN_READERS:
        return []
    composed = _compose([*saved, f"task={task}"], [])
    own = {field.name for field in dataclasses.fields(GROUPS["task"][task])}
    return [] if composed is None else [f"~task.{key}" for key in composed.task if key not in own]


def _values(override: Override, config_dir: str | None = None) -> list[str]:
    """Every value of a sweep, or the one value, as typed."""
    value = override.value()
    if isinstance(value, Glob):
        return value.filter(_options(override.key_or_group, config_dir))
    if override.is_sweep_override():
        return list(override.sweep_string_iterator())
    return ["null" if value is None else override.get_value_string()]


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


@contextlib.contextmanager
def _hydra(extra_dir: str | None = None) -> Iterator[None]:
    """Composes from the configurations of the program and, as Hydra does, of a folder given with ``--config-dir``."""
    GlobalHydra.instance().clear()
    _COMPOSED.clear()  # files may have changed since
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        if extra_dir is not None:
            path = create_config_search_path(str(config_dir()))
            folder, last = f"file://{Path(extra_dir).absolute()}", SearchPathQuery(provider="schema")
            path.prepend("command-line", folder, last)
            GlobalHydra.instance().clear()
            Hydra.create_main_hydra2("lipnet", path)
        yield


def _untrusted(arguments: argparse.Namespace) -> Iterator[str]:
    """Flags of Hydra that would have the program read another configuration than the one checked here, or a pickle."""
    for flag in ("config_path", "config_name"):
        if getattr(arguments, flag) is not None:
            name = flag.replace("_", "-")
            yield f"--{name}: the program has its own configuration; put files of yours in a folder, --config-dir DIR."
    if any(text.lstrip("+").startswith("hydra.searchpath") for text in arguments.overrides):
        yield "hydra.searchpath: files there are not checked; use --config-dir DIR."
    if arguments.experimental_rerun is not None:
        yield "--experimental-rerun: unpickles a file, which can run code; use resume=DIR."
    if arguments.config_dir is not None:
        yield from check_folder(Path(arguments.config_dir))


def _is_shared() -> bool:
    """Whether torchrun started several processes for this run."""
    return shared_by() > 1


def _in_one_directory(argv: list[str]) -> list[str]:
    """The arguments by which Hydra gives every process the first one's run directory, and only there a log."""
    from lipnet.training import distributed

    arguments = get_args_parser().parse_args(argv)
    directory = distributed.from_main(lambda: _run_directory(arguments.overrides, arguments.config_dir))
    silent = [] if distributed.is_main() else ["hydra.output_subdir=null", "hydra/job_logging=disabled"]
    options = [text for text in argv if text not in arguments.overrides]  # argparse wants all overrides in one row
    others = [text for text in arguments.overrides if not text.startswith("hydra.run.dir=")]
    return [*options, path_override("hydra.run.dir", directory), *silent, *others]


def _run_directory(overrides: list[str], config_dir: str | None) -> str:
    with _hydra(config_dir):
        composed = compose("config", overrides=overrides, return_hydra_config=True)
        return str(OmegaConf.select(composed, "hydra.run.dir"))


def main_arguments() -> Launch | None:
    """Runs ``prepare`` on ``sys.argv`` in place; a user's mistake ends the program with exit code 1.

    Returns:
        the launch, if this is a sweep.
    """
    launch = None
    try:
        shared = _is_shared()
        if shared:
            from lipnet.training import distributed  # torch with it, which the run needs anyway

            distributed.start()
        sys.argv[1:], launch = _prepare(sys.argv[1:])
        if shared and launch is not None:
            raise UserError("-m: torchrun starts the processes of one run; for a sweep, start torchrun once for each.")
        if shared:
            sys.argv[1:] = _in_one_directory(sys.argv[1:])
    except UserError as error:
        fail(error)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except SystemExit as stop:  # argparse leaves with 2; a user's mistake is 1 here
        sys.exit(1 if stop.code else 0)
    return launch


def fail(error: UserError) -> None:
    """One message, no traceback (unless HYDRA_FULL_ERROR=1), exit code 1."""
    if "torch" in sys.modules:
        from lipnet.training import distributed

        if not distributed.first_to_fail():
            sys.exit(1)
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        raise error
    sys.stderr.write(f"lipnet: {error}\n")
    sys.exit(1)
