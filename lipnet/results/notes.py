"""What a reader of a table must know: what was left out, what a row mixes, which runs are missing."""

from collections.abc import Iterator

from lipnet.results.collect import Run
from lipnet.results.distances import distance_notes
from lipnet.results.groups import Group
from lipnet.results.measures import IN_ARITHMETICS
from lipnet.tasks.private.results import Privacy

_SHOWN_REPEATS = 10


def notes(groups: list[Group], runs: list[Run]) -> list[str]:
    """Lines below a table of these groups, made of these runs."""
    return [*notes_on_groups(groups), *_missing(runs)]


def notes_on_groups(groups: list[Group]) -> list[str]:
    """The notes that are about the table itself, each of them once."""
    found = [*_reading(groups), *distance_notes(groups)]
    found.extend(_private(groups))
    for group in groups:
        found.extend(_mixed(group))
    found.extend(_repeats(groups))
    return list(dict.fromkeys(found))


def _reading(groups: list[Group]) -> Iterator[str]:
    if groups:
        yield "accuracies in per cent; mean ± population standard deviation over n seeds; attacks: accuracy at most."
    yield from _arithmetics(list(filter(_is_certified, groups)))
    for group in groups:
        if any(map(_partly_attacked, group.runs)):
            counts = sorted({str(run.results.get("attacked_examples")) for run in group.runs})
            yield f"{_name(group)}: attacks on the first {' or '.join(counts)} test examples only."


def _is_certified(group: Group) -> bool:
    return any("certified_accuracy" in run.results for run in group.runs)


def _arithmetics(groups: list[Group]) -> Iterator[str]:
    """Whether certified accuracies are of the network evaluated in float64 or in float32."""
    kinds = {group.arithmetic for group in groups}
    if len(kinds) > 1:
        for group in groups:
            which = "that its results do not tell"
            if group.arithmetic:
                which = f"evaluated in {group.arithmetic}"
            yield f"{_name(group)}: certified accuracy is of the network {which}."
    elif kinds - {""}:
        yield f"certified accuracy is of the network evaluated in {kinds.pop()}{_others(groups)}."


def _others(groups: list[Group]) -> str:
    """The columns of the same networks evaluated in another arithmetic."""
    names: set[str] = set()
    for group in groups:
        for run in group.runs:
            names.update(measure.name for measure in run.measures)
    text = ""
    for name, arithmetic in sorted(IN_ARITHMETICS.items()):
        if name in names:
            text += f"; {name.removesuffix('_accuracy')}: in {arithmetic}"
    return text


def _partly_attacked(run: Run) -> bool:
    attacked = run.results.get("attacked_examples")
    return attacked is not None and attacked != run.results.get("test_examples")


def _private(groups: list[Group]) -> Iterator[str]:
    """What was spent to choose among private runs, by data set: each guarantee is of one run alone."""
    spent: dict[str, list[Privacy]] = {}
    for group in groups:
        for run in (*group.runs, *group.repeats):
            if "privacy" in run.results:
                spent.setdefault(group.labels["dataset"], []).append(run.results["privacy"])
    for dataset, runs in spent.items():
        if len(runs) > 1:
            epsilon, delta = (sum(run[key] for run in runs) for key in ("epsilon", "delta"))
            yield (
                f"{dataset}: epsilon is of each private run by itself; whoever sees or chooses among these {len(runs)} "
                f"runs has spent at most {epsilon:.4g} at delta {delta:.3g}."
            )
        if any(run["repeatable"] for run in runs):
            yield f"{dataset}: the noise of some private runs came from task.noise_seed; they are for tests."


def _mixed(group: Group) -> Iterator[str]:
    for name, values in group.mixed().items():
        yield f"{_name(group)}: its runs differ in {name}: {', '.join(values)}."
    if not group.runs[0].composed:
        reason = ".hydra/config.yaml is missing or damaged"
        yield f"{_name(group)}: {reason}; grouped by the choices and overrides in results.json."


def _repeats(groups: list[Group]) -> Iterator[str]:
    repeats: list[Run] = []
    for group in groups:
        repeats.extend(group.repeats)
    if repeats:
        lines = [f"{_count(repeats)} left out, the same configuration and seed finished again later:"]
        lines += [f"  {run.directory}" for run in repeats[:_SHOWN_REPEATS]]
        if len(repeats) > _SHOWN_REPEATS:
            lines.append(f"  and {len(repeats) - _SHOWN_REPEATS} more")
        yield "\n".join(lines)


def _missing(runs: list[Run]) -> Iterator[str]:
    missing = [run for run in runs if run.problem]
    if missing:
        listed = "\n".join(f"  {run.directory}: {run.problem}" for run in missing)
        yield f"{_count(missing)} not in the table:\n{listed}"


def _count(runs: list[Run]) -> str:
    return "1 run is" if len(runs) == 1 else f"{len(runs)} runs are"


def _name(group: Group) -> str:
    return " ".join(group.labels.values())
