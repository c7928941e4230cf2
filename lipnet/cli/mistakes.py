"""Every mistake of a command line, found before anything starts."""

import argparse
import importlib.util
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf

from lipnet.cli.composing import hydra_ready, is_group, leaf_keys, options_of, try_composing, without_hydra
from lipnet.cli.overrides import text_of, values_of
from lipnet.cli.own_files import misread, not_found
from lipnet.cli.renamed import RENAMED
from lipnet.cli.sweeps.launch import Launch
from lipnet.cli.sweeps.objective import no_such_number
from lipnet.cli.sweeps.plan import Plan
from lipnet.errors import UserError
from lipnet.options.between import unread_keys
from lipnet.options.config import Config
from lipnet.options.facts import with_found
from lipnet.options.messages import unknown_key, unknown_option
from lipnet.options.parse import NODES, examine
from lipnet.options.registry import GROUPS
from lipnet.options.tasks import PACKAGES
from lipnet.options.trust import check_folder
from lipnet.runs.occupied import occupied, occupied_by_a_run, other_run
from lipnet.training.processes import shared_by

_COMBINATIONS = 16  # of a sweep, checked one by one before it starts


def occupied_by_another(composed: DictConfig | None, config_dir: str | None) -> list[str]:
    """A problem if the directory is another run's; looked for once, where several processes share a run."""
    if composed is None:
        return []
    config = examine(without_hydra(composed))[0]
    if config is None:
        return []
    key = "hydra.run.dir" if composed.resume is None else "resume"
    directory = Path(str(OmegaConf.select(composed, key)))
    if shared_by() == 1:
        return occupied(directory, key, config, config_dir)
    from lipnet.training import distributed

    return distributed.from_main(lambda: occupied(directory, key, config, config_dir))


def occupied_by_jobs(plan: Plan, launch: Launch, config_dir: str | None) -> list[str]:
    """A problem if the sweep's directory is a run's or, where jobs are named by hand, if a job's is another run's."""
    problems = occupied_by_a_run(launch.directory)
    named = [text_of(override) for override in plan.overrides if override.key_or_group == "hydra.sweep.subdir"]
    if problems or not named or plan.optimises:
        return problems
    if plan.jobs > 1 and "${" not in named[-1]:
        return [f"{named[-1]}: the {plan.jobs} jobs would be in one directory; name them, as by ${{hydra.job.num}}."]
    choices = [
        [f"{override.key_or_group}={value}" for value in values_of(override, config_dir)]
        if override.is_sweep_override()
        else [text_of(override)]
        for override in plan.overrides
    ]
    with hydra_ready(config_dir):
        for number, texts in enumerate(itertools.islice(itertools.product(*choices), _COMBINATIONS)):
            composed = try_composing([*texts, f"hydra.job.num={number}"], problems)
            config = examine(without_hydra(composed))[0] if composed is not None else None
            if composed is not None and config is not None:
                directory = launch.directory / str(OmegaConf.select(composed, "hydra.sweep.subdir"))
                found = other_run(directory, config)
                problems += [f"{directory}: {found}; choose another hydra.sweep.dir."] if found else []
    return problems


def check_line(
    overrides: list[Override], arguments: argparse.Namespace, sweep: bool = False, kept: Sequence[Override] = ()
) -> tuple[DictConfig | None, list[str]]:
    """The configuration with the first value of whatever is swept, and every problem of every value.

    Args:
        kept: those of the overrides that a saved run was started with: what it does not read is no mistake of today.
    """
    typed = [override for override in overrides if override not in kept]
    problems: list[str] = []
    # Each override as the texts of its values; the first stands for it while the others are tried.
    choices: list[list[str]] = []
    keys = []
    for override in overrides:
        if is_group(override.key_or_group):
            found = _group_problems(override, arguments.config_dir)
            problems += found
            if not found:
                choices.append(
                    [f"{override.key_or_group}={value}" for value in values_of(override, arguments.config_dir)]
                )
        elif override.key_or_group.startswith("hydra"):
            choices.append([text_of(override)])
        else:
            keys.append(override)
    known = _known_keys(list(choices), problems)
    if known is None:
        return None, problems
    for override in keys:
        found = _key_problems(override, known)
        problems += found
        if not found:
            values = values_of(override) if override.is_sweep_override() else None
            choices.append([f"{override.key_or_group}={value}" for value in values] if values else [text_of(override)])
    composed = None
    for texts in _combinations(choices):
        config = try_composing(list(texts), problems)
        composed = composed or config
        if config is not None:
            checked, wrong = examine(without_hydra(config))
            found = [*_unread(typed, config), *wrong, *_missing_packages(config), *_unusable_data(checked)]
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


def _unusable_data(config: Config | None) -> Iterator[str]:
    """What is wrong with data of the user's; not a problem of the configuration either."""
    if config is not None:
        try:
            with_found(config.dataset)
        except UserError as error:
            yield from error.problems


def _combinations(choices: list[list[str]]) -> list[tuple[str, ...]]:
    """Every combination of a small sweep; of a large one, each value once beside the others' first ones."""
    if math.prod(map(len, choices)) <= _COMBINATIONS:
        return list(itertools.product(*choices))
    first = [texts[0] for texts in choices]
    return [(*first[:place], text, *first[place + 1 :]) for place, texts in enumerate(choices) for text in texts]


def _group_problems(override: Override, config_dir: str | None) -> list[str]:
    group, text = override.key_or_group, text_of(override)
    options = options_of(group, config_dir)
    if override.is_delete() or override.is_add() or override.is_force_add() or override.package is not None:
        return [f"{text}: choose an option with {group}=OPTION; {group} takes {', '.join(options)}."]
    try:
        values = values_of(override, config_dir)
    except HydraException:
        return [f"{text}: not options; {group} takes {', '.join(options)}."]
    if not values:
        return [f"{text}: matches no option; {group} takes {', '.join(options)}."]
    unknown = [
        not_found(config_dir, group, value) or unknown_option(group, value, options)
        for value in values
        if value not in options and not (group == "experiment" and value in RENAMED)
    ]
    return unknown + list(filter(None, (misread(config_dir, group, value) for value in values)))


def _key_problems(override: Override, known: list[str]) -> list[str]:
    key = override.key_or_group
    group, _, name = key.rpartition(".")
    if name == "name" and group in GROUPS:
        return [f"{key}: an option's own name; choose another with {group}={override.get_value_string()}."]
    if not key:
        return [f"{text_of(override)}: the key is missing; write KEY=VALUE."]
    if key not in known:
        return [unknown_key(key, known if group else [*GROUPS, *NODES, *known])]
    try:
        values_of(override)
    except HydraException:
        return [
            f"{text_of(override)}: the sweep needs values it can list, as in {key}=1,2 or {key}=range(0,5); "
            "an interval needs hydra/sweeper=optuna."
        ]
    return []


def _unread(typed: list[Override], config: DictConfig) -> Iterator[str]:
    """Options and keys that were typed although this configuration has no use for them."""
    for key, reason in unread_keys(config).items():
        for override in typed:
            if override.key_or_group.partition(".")[0] == key:
                yield f"{override.key_or_group}: {reason}; leave it out."


def _known_keys(choices: list[list[str]], problems: list[str]) -> list[str] | None:
    """The keys that some combination of the chosen options has."""
    known: dict[str, None] = {}
    for texts in _combinations(choices):
        config = try_composing(list(texts), problems)
        if config is None:
            return None
        known |= dict.fromkeys(leaf_keys(OmegaConf.to_container(config, resolve=False)))
    return list(known)


def untrusted_flags(arguments: argparse.Namespace) -> Iterator[str]:
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
