"""Runs grouped by configuration: a group's runs differ in nothing but the seed."""

import contextlib
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from lipnet.options.registry import unread_groups
from lipnet.results.collect import Run
from lipnet.results.measures import Measure, Statistic, statistic
from lipnet.runs.names import method_group
from lipnet.tasks.robustness.measures import certified_in

_ABSENT = "–"


@dataclass(frozen=True)
class Group:
    """Finished runs of one configuration, one for each seed.

    Attributes:
        repeats: earlier runs with the seed of another; they are left out.
    """

    runs: list[Run]
    repeats: list[Run]

    @property
    def config(self) -> dict[str, str]:
        return self.runs[0].config

    @property
    def told(self) -> dict[str, str]:
        """What may tell it from others: of its configuration, all that its runs read and that changes a result."""
        return dict(self.runs[0].identity[1:])

    @property
    def labels(self) -> dict[str, str]:
        """What every row is named by."""
        config = self.config
        return {"dataset": config.get("dataset", "?"), "model": config.get("model", "?"), "method": self.runs[0].method}

    @property
    def generates(self) -> bool:
        """Whether these are GANs, trained or evaluated again: their networks are critics, which nothing else has."""
        return "gan" in self.runs[0].results

    @property
    def arithmetic(self) -> str:
        """In which the network is evaluated that the certified accuracies are of; empty where it is not known."""
        found = {certified_in(run.results) for run in self.runs}
        return found.pop() if len(found) == 1 else ""

    def statistics(self) -> dict[Measure, Statistic]:
        values: dict[Measure, list[float]] = defaultdict(list)
        for run in self.runs:
            for measure, value in run.measures.items():
                values[measure].append(value)
        return {measure: statistic(found) for measure, found in values.items()}

    def mixed(self) -> dict[str, list[str]]:
        """What else differs between the runs, and may have changed a result or a time: name -> values."""
        facts: dict[str, set[str]] = defaultdict(set)
        for run in self.runs:
            for name in ("git_commit", "device", "threads", "attacked_examples", "test_examples"):
                facts[name].add(str(run.results.get(name, "unknown"))[:10])
            for name, version in (run.results.get("versions") or {}).items():
                facts[name].add(str(version))
        return {name: sorted(values) for name, values in facts.items() if len(values) > 1}


def group_runs(runs: list[Run]) -> list[Group]:
    """Groups by configuration; of several runs with one seed, the last one finished stands (or none is finished)."""
    by_identity: dict[Any, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        by_identity[run.identity][run.seed].append(run)
    groups = []
    for by_seed in by_identity.values():
        group = Group([], [])
        for same in by_seed.values():
            *earlier, last = sorted(same, key=_finished) if len(same) > 1 else same
            group.runs.append(last)
            group.repeats.extend(earlier)
        groups.append(group)
    return groups


def _finished(run: Run) -> tuple[bool, float]:
    """Unfinished runs before finished ones; one that is being deleted before all."""
    for finished, path in ((True, run.directory / "results.json"), (False, run.directory)):
        with contextlib.suppress(OSError):
            return finished, path.stat().st_mtime
    return False, 0.0


def varying_keys(groups: list[Group]) -> list[str]:
    """Keys of the configuration that tell groups apart beyond data set, model and method.

    An option's own key (``conv.padding_mode``) counts where it differs between groups with the same option: what comes
    with another option is told by the option's name. What a model does not read is no difference to it. Groups whose
    configuration is known only in part do not count.
    """
    values: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    composed = [group.told for group in groups if group.runs[0].composed]
    keys = sorted({key for config in composed for key in config})
    for config in composed:
        unread = unread_groups(config.get("model"))
        for key in keys:
            group, _, own = key.partition(".")
            if group not in unread:
                values[key][config.get(group, "") if own else ""].add(config.get(key, _ABSENT))
    shown = ("dataset", "model", "conv")
    varying = []
    for key in keys:
        differs = any(len(found) > 1 for found in values[key].values())
        # Where only networks without convolutions differ from the others, the method already says it.
        said = key in shown or (key == "linear" and not _differs_in_conv_nets(composed))
        if differs and not said:
            varying.append(key)
    return varying


def _differs_in_conv_nets(configs: list[dict[str, str]]) -> bool:
    nets = [config for config in configs if method_group(config.get("model", "?")) == "conv"]
    return len({config.get("linear") for config in nets}) > 1


def varying_labels(group: Group, keys: list[str]) -> dict[str, str]:
    """A group's values of these keys; ``?`` where its configuration is known only in part."""
    told, known = group.told, group.runs[0].composed
    return {key: told.get(key, _ABSENT if known else "?") for key in keys}
