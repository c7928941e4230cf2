"""Layers, losses or networks with the same seconds of training: ``lipnet-equal-time SECONDS CHOICE CHOICE ...``."""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lipnet import version
from lipnet.display.terminal import take_everything
from lipnet.equal_time.jobs import run_jobs, stop_jobs
from lipnet.equal_time.plan import Plan, best_trial
from lipnet.errors import UserError
from lipnet.options.registry import GROUPS
from lipnet.runs.commands import tool
from lipnet.runs.cores import available_cores
from lipnet.training.memory import keep_memory

if TYPE_CHECKING:
    from lipnet.equal_time.report import Row

Rates = tuple[float, float]  # learning rate, weight decay

_EPILOG = """\
For each choice: the time of a training step is measured, and once more in the trials; learning rate and weight decay
are spread over their ranges, the same for all choices, each pair trained for --trial-seconds, and the best on the
validation split is taken; then it is trained for SECONDS with each seed, and evaluated on the test split once. In DIR
are equal_time.md, equal_time.png, equal_time.json, and every run. The same command goes on where it was stopped.

examples:
  %(prog)s 300 conv=bcop conv=rko conv=ossn --with dataset=cifar10 model=residual
  %(prog)s 300,900,2700 conv=bcop 'conv=plain linear=plain' --with dataset=cifar10 --trials 16 --seeds 0,1,2 --jobs 2
  %(prog)s 60 loss=margin 'loss=cross_entropy loss.epsilon=0.4' --with dataset=mnist model=small --lr 0.001,0.01
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="lipnet-equal-time",
        description="Compares choices at equal seconds of training, each with its own learning rate.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=version())
    made.add_argument("seconds", type=_numbers, metavar="SECONDS", help="of training: a number, or several with commas")
    made.add_argument("choices", nargs="+", metavar="CHOICE", help="overrides, quoted where there are several")
    made.add_argument(
        "--with", dest="common", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="of every run"
    )
    made.add_argument(
        "--trials", type=_count, default=8, help="for each choice; default: 8; 0: the rates of the configuration"
    )
    made.add_argument("--trial-seconds", type=_positive, metavar="S", help="of training; default: the least SECONDS")
    made.add_argument("--lr", type=_range, default=(1e-4, 1e-1), metavar="LOW,HIGH", help="default: 1e-4,1e-1")
    made.add_argument("--decay", type=_range, default=(1e-6, 1e-3), metavar="LOW,HIGH", help="default: 1e-6,1e-3")
    made.add_argument(
        "--seeds", type=_seeds, nargs="+", default=[[0]], metavar="N,...",
        help="of the trainings: one list, or one for each of SECONDS, the least first; default: 0",
    )  # fmt: skip
    made.add_argument("--jobs", type=_count, default=1, help="runs at a time, which share the cores; default: 1")
    made.add_argument(
        "--directory", type=lambda typed: Path(os.path.expanduser(typed)), default=Path("outputs/equal_time"),
        metavar="DIR", help="default: outputs/equal_time",
    )  # fmt: skip
    return made


def _positive(typed: str) -> float:
    number = float(typed)
    if not 0 < number < float("inf"):
        raise ValueError
    return number


_positive.__name__ = "seconds"  # as argparse calls what is wrong


def _numbers(typed: str) -> list[float]:
    return sorted({_positive(part) for part in typed.split(",")})


_numbers.__name__ = "seconds"


def _range(typed: str) -> tuple[float, float]:
    low, _, high = typed.partition(",")
    ends = float(low), float(high or low)
    if not (0 < ends[0] <= ends[1] or ends[0] == ends[1] == 0):
        raise ValueError
    return ends


_range.__name__ = "range"


def _seeds(typed: str) -> list[int]:
    return list(dict.fromkeys(_count(part) for part in typed.split(",")))


_seeds.__name__ = "seeds"


def _count(typed: str) -> int:
    number = int(typed)
    if number < 0:
        raise ValueError
    return number


_count.__name__ = "number"


def run(arguments: argparse.Namespace) -> None:
    """Does what a parsed command line says.

    Raises:
        UserError: a choice that there is not, before anything is trained; or one of which no run completed.
    """
    from lipnet.equal_time.report import table, write_report

    at_a_time = max(1, arguments.jobs)
    threads = [f"threads={max(1, available_cores() // at_a_time)}"] if at_a_time > 1 else []
    budgets, seeds = arguments.seconds, arguments.seeds
    if len(seeds) not in (1, len(budgets)):
        raise UserError(f"--seeds: {len(seeds)} lists for {len(budgets)} budgets; give one list, or one for each.")
    plan = Plan(
        list(dict.fromkeys(arguments.choices)), [*threads, *arguments.common], budgets, arguments.trials,
        arguments.trial_seconds or budgets[0], arguments.lr, arguments.decay,
        seeds * len(budgets) if len(seeds) == 1 else seeds, arguments.directory,
    )  # fmt: skip
    configured = _configured_rates(plan)
    _say_how_long(plan, at_a_time)
    run_jobs([plan.pace(choice) for choice in plan.choices], at_a_time, "steps")
    paces = {choice: pace for choice in plan.choices if (pace := plan.pace(choice).results())}
    rates = _chosen_rates(plan, paces, at_a_time) if plan.trials else {choice: configured[choice] for choice in paces}
    observed = {choice: plan.observed(choice, pace) for choice, pace in paces.items()}
    rows = _trained(plan, observed, rates, at_a_time)
    files = write_report(plan.directory, rows)
    sys.stdout.write("\n".join([table(rows), *map(str, files), ""]))
    lost = [choice for choice in plan.choices if choice not in {row.choice for row in rows}]
    if lost:
        raise UserError(f"no run of {', '.join(lost)} completed; output.txt in the folders there says why.")


def _configured_rates(plan: Plan) -> dict[str, Rates]:
    """Learning rate and weight decay that each choice has by itself.

    Raises:
        UserError: a choice that no run can be made of, or whose runs certify nothing; all of them are named.
    """
    from lipnet.equal_time.pace import checked_config

    problems, found = [], {}
    for choice in plan.choices:
        try:
            config = checked_config(plan.overrides(choice))
            task = GROUPS["task"][config.task.name]
            if not task.trains or "eval_radii" not in task.reads:
                raise UserError(f"task={config.task.name}: has no certified accuracy; use task=robustness.")
            found[choice] = config.optimizer.lr, config.optimizer.weight_decay
        except UserError as error:
            for problem in error.problems:
                problems.append(problem if problem.startswith(f"{choice}:") else f"{choice}: {problem}")
    if problems:
        raise UserError(*problems)
    return found


def _say_how_long(plan: Plan, at_a_time: int) -> None:
    trainings = sum(len(seeds) * budget for budget, seeds in zip(plan.budgets, plan.seeds, strict=True))
    hours = len(plan.choices) * (plan.trials * plan.trial_seconds + trainings) / at_a_time / 3600
    runs = len(plan.choices) * (plan.trials + sum(map(len, plan.seeds)))
    sys.stderr.write(f"{runs} runs, about {hours:.1f} hours of training, in {plan.directory}\n")


def _chosen_rates(plan: Plan, paces: dict[str, Any], at_a_time: int) -> dict[str, Rates]:
    """Those of the best trial of each choice of which one completed."""
    trials = {
        choice: [plan.trial(choice, number, pace) for number in range(plan.trials)] for choice, pace in paces.items()
    }
    run_jobs([own[number] for number in range(plan.trials) for own in trials.values()], at_a_time, "trials")
    best = {choice: best_trial([job.results() for job in own]) for choice, own in trials.items()}
    return {choice: plan.drawn(number) for choice, number in best.items() if number is not None}


def _trained(plan: Plan, paces: dict[str, Any], rates: dict[str, Rates], at_a_time: int) -> "list[Row]":
    """Every choice with its rates, at every budget."""
    from lipnet.equal_time.report import row

    rows = []
    for budget, seeds in zip(plan.budgets, plan.seeds, strict=True):
        runs = {
            choice: [plan.run(choice, budget, seed, paces[choice], tuned) for seed in seeds]
            for choice, tuned in rates.items()
        }
        in_turn = [own[number] for number in range(len(seeds)) for own in runs.values()]
        run_jobs(in_turn, at_a_time, f"{budget:g} s")
        for choice, own in runs.items():
            found = [results for job in own if (results := job.results())]
            if found:
                rows.append(row(choice, budget, rates[choice], paces[choice], found))
    return rows


@contextlib.contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """A terminal tells every process of Ctrl-C; SIGTERM comes to this one alone, which passes it on to its jobs."""

    def stop(*_: object) -> None:
        stop_jobs()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(argv: list[str] | None = None) -> None:
    """The console script; a user's mistake ends it with exit code 1, Ctrl-C and SIGTERM with 130."""
    take_everything()
    keep_memory()  # as its runs do
    arguments = argv if argv is not None else sys.argv[1:]
    try:
        with sigterm_as_ctrl_c():
            run(parser().parse_args(arguments))
    except UserError as error:
        sys.stderr.write(f"lipnet-equal-time: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        again = tool("lipnet-equal-time", *arguments)
        sys.stderr.write(f"stopped; the same command goes on from here: {again}\n")
        sys.exit(128 + signal.SIGINT)
    except SystemExit as stop:  # argparse leaves with 2; a user's mistake is 1 here
        sys.exit(1 if stop.code else 0)


if __name__ == "__main__":
    main()
