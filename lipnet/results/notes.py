"""What a reader of a table must know: what was left out, what a row mixes, which runs are missing."""

from collections.abc import Iterator

from lipnet.results.collect import Run
from lipnet.results.distances import distance_notes
from lipnet.results.groups import Group
from lipnet.results.measures import IN_ARITHMETICS

_SHOWN_REPEATS = 10


def notes(groups: list[Group], runs: list[Run]) -> list[str]:
    """Lines below a table of these groups, made of these runs."""
    return [*notes_on_groups(groups), *_missing(runs)]


def notes_on_groups(groups: list[Group]) -> list[str]:
    """Those that are about the table itself."""
    mixed = (note for group in groups for note in _mixed(group))
    return list(dict.fromkeys([*_reading(groups), *distance_notes(groups), *mixed, *_repeats(groups)]))


def _reading(groups: list[Group]) -> Iterator[str]:
    if groups:
        yield "accuracies in per cent; mean ± population standard deviation over n seeds; attacks: accuracy at most."
    yield from _arithmetics(
        [group for group in groups if any("certified_accuracy" in run.results for run in group.runs)]
    )
    partly = [group for group in groups if any(_partly_attacked(run) for run in group.runs)]
    for group in partly:
        counts = sorted({str(run.results.get("attacked_examples")) for run in group.runs})
        yield f"{_name(group)}: attacks on the first {' or '.join(counts)} test examples only."


def _arithmetics(groups: list[Group]) -> Iterator[str]:
    """Of which network the certified accuracies are: evaluated in float64, or in float32."""
    kinds = {group.arithmetic for group in groups}
    if len(kinds) > 1:
        for group in groups:
            known = f"evaluated in {group.arithmetic}" if group.arithmetic else "that its results do not tell"
            yield f"{_name(group)}: certified accuracy is of the network {known}."
    elif kinds - {""}:
        yield f"certified accuracy is of the network evaluated in {kinds.pop()}{_others(groups)}."


def _others(groups: list[Group]) -> str:
    names = {measure.name for group in groups for run in group.runs for measure in run.measures}
    others = sorted(name for name in names if name in IN_ARITHMETICS)
    return "".join(f"; {name.removesuffix('_accuracy')}: in {IN_ARITHMETICS[name]}" for name in others)


def _partly_attacked(run: Run) -> bool:
    attacked = run.results.get("attacked_examples")
    return attacked is not None and attacked != run.results.get("test_examples")


def _mixed(group: Group) -> Iterator[str]:
    for name, values in group.mixed().items():
        yield f"{_name(group)}: its runs differ in {name}: {', '.join(values)}."
    if not group.runs[0].composed:
        reason = ".hydra/config.yaml is missing or damaged"
        yield f"{_name(group)}: {reason}; grouped by the choices and overrides in results.json."


def _repeats(groups: list[Group]) -> Iterator[str]:
    repeats = [run for group in groups for run in group.repeats]
    if repeats:
        listed = "\n".join(f"  {run.directory}" for run in repeats[:_SHOWN_REPEATS])
        more = f"\n  and {len(repeats) - _SHOWN_REPEATS} more" if len(repeats) > _SHOWN_REPEATS else ""
        yield f"{_count(repeats)} left out, the same configuration and seed finished again later:\n{listed}{more}"


def _missing(runs: list[Run]) -> Iterator[str]:
    missing = [run for run in runs if run.problem]
    if missing:
        listed = "\n".join(f"  {run.directory}: {run.problem}" for run in missing)
        yield f"{_count(missing)} not in the table:\n{listed}"


def _count(runs: list[Run]) -> str:
    return "1 run is" if len(runs) == 1 else f"{len(runs)} runs are"


def _name(group: Group) -> str:
    return " ".join(group.labels.values())
