"""Reads the command line before Hydra does, so that every mistake in it is found at once and said in plain words.

Hydra stops at the first unknown key or option, accepts ``+key=value`` that nothing reads, and names no near match.
"""

import argparse
import dataclasses
import os
import re
import secrets
import signal
import sys
from pathlib import Path

from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig

from lipnet import version
from lipnet.cli import renamed
from lipnet.cli.composing import (
    as_plain,
    chosen_option,
    hydra_ready,
    is_group,
    known_flags,
    read_arguments,
    resolved_content,
    run_directory,
    shown_value,
    try_composing,
)
from lipnet.cli.ending import fail
from lipnet.cli.mistakes import check_line, occupied_by_another, occupied_by_jobs, untrusted_flags
from lipnet.cli.overrides import flags_for_keys, parse_overrides, radii_as_written, text_of, values_of, without_option
from lipnet.cli.paths import as_meant, path_of, path_override
from lipnet.cli.pins import key_pins, option_pins, recorded_keys
from lipnet.cli.plugins import plugins_ready
from lipnet.cli.saved import Origin, origin, remembered_config_dir
from lipnet.cli.sweeps.launch import Launch
from lipnet.cli.sweeps.plan import Plan, plan_sweep
from lipnet.errors import UserError
from lipnet.options.defaults import leaves
from lipnet.options.facts import look_again
from lipnet.options.registry import GROUPS
from lipnet.options.trust import check_folder
from lipnet.runs.directory import escaping, unresolved, unusable, unwritable
from lipnet.training.processes import rank, shared_by

_RESUMED_SWEEP = "resume: continues one run; a sweep launched again, by the same command, continues its jobs."


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
    argv = [radii_as_written(as_meant(argument)) for argument in argv]
    strange = list(flags_for_keys(argv, known_flags()))
    if strange:
        raise UserError(*strange)
    arguments = read_arguments(argv)
    look_again()
    plugins_ready(arguments.overrides)
    if arguments.config_dir is not None:
        arguments.config_dir = os.path.expanduser(arguments.config_dir)
        argv = ["--config-dir", arguments.config_dir, *without_option(argv, "--config-dir", "-cd")]
    if arguments.info == "all" and "all" not in argv:  # without a word after it: not Hydra's own
        from lipnet.cli.info import installation_report

        print(installation_report())
        sys.exit(0)
    if any((arguments.help, arguments.hydra_help, arguments.shell_completion, arguments.info)):
        return argv, None
    untrusted = list(untrusted_flags(arguments))
    if untrusted:
        raise UserError(*untrusted)
    overrides, problems = parse_overrides(arguments.overrides)
    if problems:  # nothing else can be said of a line that cannot be read
        with hydra_ready(arguments.config_dir):
            _, found = check_line(overrides, arguments)
        raise UserError(*problems, *found)
    if arguments.multirun and any(override.key_or_group == "resume" for override in overrides):
        raise UserError(_RESUMED_SWEEP)
    run = origin(overrides)
    folder = remembered_config_dir(run.directory) if run is not None and arguments.config_dir is None else None
    if folder is not None:
        arguments.config_dir = folder
        argv = ["--config-dir", folder, *argv]
        unusable_folder = list(check_folder(Path(folder)))
        if unusable_folder:
            raise UserError(*unusable_folder)
    with hydra_ready(arguments.config_dir):
        if run is not None:
            run = _as_recorded(run, overrides)
            own = _own(run, overrides)
            argv = [argument for argument in argv if argument not in own]
            overrides = [override for override in overrides if text_of(override) not in own]
        saved = run.added({override.key_or_group for override in overrides}) if run else []
        saved += _left_by_task(run, saved, overrides) if run else []
        if not arguments.multirun and any(text.startswith("sweep=") for text in saved):
            saved.append("hydra.mode=RUN")  # one job of a ready-made sweep, by itself
        kept, problems = parse_overrides(saved)
        if problems:
            raise UserError(*problems)
        plan = _plan([*kept, *overrides], arguments)
        composed, problems = check_line(plan.overrides if plan else [*kept, *overrides], arguments, bool(plan), kept)
    swept = [text_of(override) for override in (*kept, *overrides) if override.is_sweep_override()]
    if plan and any(override.key_or_group == "resume" for override in overrides):
        problems.append(_RESUMED_SWEEP)
    if swept and not plan and not arguments.multirun:
        problems.append(f"{', '.join(swept)}: several values make a sweep; add -m, or write a list as [1,2].")
    unnamed = list(unresolved(composed))  # Hydra would end with a traceback
    problems += [*escaping(composed), *unnamed]
    problems += [] if problems else unusable(composed)
    if not problems and plan and plan.optimises and composed is not None and composed.objective is None:
        problems.append(
            "objective=null: this sweeper optimises a number of results.json, as objective=validation.loss."
        )
    launch = _launch(plan, composed) if plan and composed is not None and not unnamed else None
    if not problems and not arguments.cfg:
        if plan and launch:
            problems += occupied_by_jobs(plan, launch, arguments.config_dir)
        else:
            problems += occupied_by_another(composed, arguments.config_dir)
        problems = problems or unwritable(composed, bool(plan))
    if problems:
        raise UserError(*problems)
    place = argv.index(text_of(overrides[0])) if overrides else len(argv)
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
        composed = try_composing(texts, [])
        if composed is None:  # the checks will say what is wrong with the run's own overrides
            return run
        today = dict(leaves(as_plain(composed)))
        texts += [
            text
            for text in pins(recorded, today, typed)
            if run.key != "rerun" or not {text.partition("=")[0], text.partition(".")[0]} & given
            if not _found_anew(run.key, recorded.get("dataset.name"), text.partition("=")[0], given)
        ]
    return dataclasses.replace(run, texts=texts)


def _found_anew(command: str, dataset: str | None, key: str, given: set[str]) -> bool:
    """Whether a key is found from the data again, not taken from the run: of a rerun, and of data that are others."""
    fields = dataclasses.fields(GROUPS["dataset"][dataset].keys) if dataset in GROUPS["dataset"] else ()
    found = [f"dataset.{field.name}" for field in fields if field.metadata.get("found")]
    elsewhere = key == "dataset.content" and bool({"dataset.root", "dataset.file", "dataset.labels"} & given)
    return key in found and (command == "rerun" or (command == "run" and elsewhere))


def _own(run: Origin, overrides: list[Override]) -> set[str]:
    """The typed overrides that give what the run has anyway: they are left out.

    Raises:
        UserError: others would change what must stay as the run has it.
    """
    bound = {override.key_or_group: override for override in overrides if run.bound(override)}  # the last one counts
    composed = try_composing(run.texts, []) if bound else None
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
            changed, had = found, shown_value(composed, key)
        else:  # there is no such key or option: the checks will say so
            left.add(key)
            continue
        if changed:
            changes[text_of(override)] = f"{key}={had}"
    if changes:
        raise UserError(run.refusal(changes))
    return {text_of(override) for override in overrides if override.key_or_group in set(bound) - left}


def _changes(override: Override, run: Origin, composed: DictConfig) -> bool | None:
    """Whether an override changes the configuration of a run; ``None`` where no run could have it."""
    if override.is_sweep_override():
        return True
    key, text = override.key_or_group, text_of(override).lstrip("+")
    changed = try_composing([*run.texts, text], [])
    if changed is None:  # it may contradict the run's own overrides alone
        return None if try_composing([text], []) is None else True
    return resolved_content(changed) != resolved_content(composed) or chosen_option(changed, key) != chosen_option(
        composed, key
    )


def _plan(overrides: list[Override], arguments: argparse.Namespace) -> Plan | None:
    """The sweep that the overrides ask for, by -m or by ``sweep=NAME``; none for a single run."""
    if not arguments.multirun and not any(map(_may_start_a_sweep, overrides)):
        return None  # so that a single run's configuration is composed once
    hydras = [override for override in overrides if override.key_or_group.startswith(("sweep", "hydra"))]
    options = [over for over in overrides if is_group(over.key_or_group) and not over.is_sweep_override()]
    chosen = [override for override in overrides if override in hydras or override in options]
    composed = try_composing(list(map(text_of, chosen)), [])  # as Hydra will compose the sweep
    if composed is None and chosen != hydras:  # the checks will say what is wrong with a sweep's options
        composed = try_composing(list(map(text_of, hydras)), [])
    if composed is None or not (arguments.multirun or composed.hydra.mode == RunMode.MULTIRUN):
        return None
    return plan_sweep(overrides, composed.hydra.sweeper, lambda override: values_of(override, arguments.config_dir))


def _may_start_a_sweep(override: Override) -> bool:
    """``sweep=NAME``, an option of Hydra's own, which may hold anything, or its mode; not ``hydra.run.dir``."""
    key = override.key_or_group
    return key == "hydra.mode" or key.startswith("sweep") or (key.startswith("hydra") and not key.startswith("hydra."))


def _launch(plan: Plan, composed: DictConfig) -> Launch:
    """A sweep's directory is called after it, so that the same command finds its jobs again; unless one was chosen."""
    directory, keys = str(composed.hydra.sweep.dir), plan.keys
    typed = any(override.key_or_group == "hydra.sweep.dir" for override in plan.overrides)
    if not typed and directory == f"outputs/sweeps/{composed.task.name}":
        name, swept = plan.alone
        if Path(directory, name).is_dir():  # begun by an earlier version: it goes on there
            keys = swept
        else:
            name = plan.name
        directory = f"{directory}/{name}"
    return Launch(secrets.token_hex(4), Path(directory), keys, plan.jobs)


def _left_by_task(run: Origin, saved: list[str], overrides: list[Override]) -> list[str]:
    """What the run's own task leaves to the one that reads it: the options that it chose, and no keys of its own."""
    if not run.task:
        return []
    trained, composed = (try_composing(texts, []) for texts in (run.texts, [*saved, f"task={run.task}"]))
    if trained is None or composed is None:  # the checks will say what is wrong
        return []
    given = {override.key_or_group for override in overrides}
    choices = {group: chosen_option(trained, group) for group in GROUPS if group not in ("task", *given)}
    options = [f"{group}={name}" for group, name in choices.items() if name != chosen_option(composed, group)]
    own = {field.name for field in dataclasses.fields(GROUPS["task"][run.task].keys)}
    return [*options, *(f"~task.{key}" for key in composed.task if key not in own)]


def _is_shared() -> bool:
    """Whether torchrun started several processes for this run."""
    return shared_by() > 1


def _in_one_directory(argv: list[str]) -> list[str]:
    """The arguments by which Hydra gives every process the first one's run directory, and only there a log."""
    from lipnet.training import distributed

    arguments = read_arguments(argv)
    directory = distributed.from_main(lambda: run_directory(arguments.overrides, arguments.config_dir))
    silent = [] if distributed.is_main() else ["hydra.output_subdir=null", "hydra/job_logging=disabled"]
    options = [text for text in argv if text not in arguments.overrides]  # argparse wants all overrides in one row
    others = [text for text in arguments.overrides if not text.startswith("hydra.run.dir=")]
    return [*options, path_override("hydra.run.dir", directory), *silent, *others]


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
        told = renamed.notices(sys.argv[1:])
        sys.argv[1:], launch = _prepare(sys.argv[1:])
        if rank() == 0:
            sys.stderr.writelines(f"{notice}\n" for notice in told)
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
