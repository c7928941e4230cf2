"""The figure that a sweeper optimises: a key of ``results.json``, such as ``certified_accuracy.1.58``."""

import difflib
from collections.abc import Iterator
from typing import Any

from lipnet.cli.debug import apply_debug
from lipnet.errors import UserError
from lipnet.options.config import Config
from lipnet.options.option import of_kind
from lipnet.options.pairs import Pair
from lipnet.options.tasks import NEAREST_ATTACKS, Robustness

# Of every run: no measures, but numbers.
_OF_RUNS = (
    "seed", "wall_seconds", "processes", "threads", "hardware.cores", "hardware.memory_bytes", "parameters",
    "best_epoch",
)  # fmt: skip
_OF_TRAINING = ("epochs", "train_seconds", "samples_per_second")
_OF_EVALUATION = ("eval_seconds", "peak_memory_bytes")
_BESIDES = ("attack_seconds", "seconds", "rounding_cost", "test_examples", "attacked_examples", "foolbox_examples")
_PARTS = ("logits", "bounds", "attacks", "jacobian", "diagnostics", "figures")  # of an evaluation, in seconds
_BOUNDS = ("lipschitz_upper_bound", "lipschitz_lower_bound")
_OF_GAPS = ("estimate", "ci_low", "ci_high", "true_value")
_OF_DISTANCES = (
    *_OF_GAPS, "confidence", "certified_lower_bound", "evaluation_samples", "exact_on_sample", "estimate_on_sample",
    "transport_samples", "true_value_error", "estimate_over_true", "published",
)  # fmt: skip
_OF_GRADIENTS = ("share_of_norm_at_least_0.99", "mean_norm", "cosine", "squared_error")
_OF_GANS = ("gan.samples", "gan.transport_of_generated", "gan.transport_of_training", "generator_parameters")


def objective(results: dict[str, Any], key: str) -> float:
    """The number under a dotted key; names may hold dots themselves, as radii do.

    Raises:
        UserError: there is no such number; names those that there are.
    """
    found = dict(_numbers(results))
    if key not in found:
        raise UserError(f"objective={key}: no such number in results.json; there are {', '.join(found)}.")
    return found[key]


def _numbers(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, float]]:
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{path}{name}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{path}{name}", float(value)


def no_such_number(config: Config) -> str | None:
    """The problem of an objective that no run of this configuration can have, before any is run."""
    key, names = config.objective, possible(config)
    if key is None or key in names:
        return None
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    hint = f" did you mean {near[0]}?" if near else ""
    return f"objective={key}: no number that results.json will hold;{hint} there will be {_listed(names, config)}."


def _listed(names: list[str], config: Config) -> str:
    """The measures, those at every radius once."""
    radii = tuple(f".{radius}" for radius in config.eval_radii or ())
    listed: dict[str, None] = {}
    for name in names:
        end = next((radius for radius in radii if name.endswith(radius)), "")
        if name not in (*_OF_RUNS, *_OF_TRAINING, *_OF_EVALUATION) and not name.startswith(_BESIDES):
            listed[name.removesuffix(end) + (".RADIUS" if end else "")] = None
    return ", ".join(listed) + (f", with RADIUS one of {', '.join(config.eval_radii)}" if radii else "")


def possible(config: Config) -> list[str]:
    """The keys of numbers that a run's ``results.json`` may hold; a few depend on what is found."""
    config, task = apply_debug(config), config.task.name
    if task == "gan":
        critic = "validation.critic_gap"
        return [*_OF_GANS, _BOUNDS[0], *_held_out(config, [critic]), *_OF_TRAINING, *_OF_EVALUATION, *_OF_RUNS]
    trained = [*_OF_TRAINING] if task not in ("evaluate", "export") else []
    if task == "export":
        measures = [*_BOUNDS, *([] if isinstance(config.dataset, Pair) else _of_export(config))]
        return [*measures, *_OF_RUNS]
    if isinstance(config.dataset, Pair):
        measures = [f"wasserstein.{name}" for name in _OF_DISTANCES]
        measures += [f"wasserstein.gradient.{side}.{name}" for side in ("first", "second") for name in _OF_GRADIENTS]
        held_out = [f"validation.{name}" for name in _OF_GAPS] if trained else []
    else:
        measures = list(_of_classifiers(config))
        held_out = _held_out(config, _of_validation(config)) if trained else []
    return [*measures, *_BOUNDS, *held_out, *trained, *_OF_EVALUATION, *_OF_RUNS]


def _held_out(config: Config, names: list[str]) -> list[str]:
    return names if config.images.validation else []


def _at_radii(config: Config, *names: str) -> list[str]:
    return [f"{name}.{radius}" for name in names for radius in config.eval_radii]


def _of_export(config: Config) -> list[str]:
    accuracies = [*_at_radii(config, "certified_accuracy"), *_by_arithmetic(config)]
    return ["test_examples", "clean_accuracy", *accuracies]


def _by_arithmetic(config: Config) -> list[str]:
    names = [f"certified_accuracy_by_arithmetic.{arithmetic}" for arithmetic in ("float64", "float32")]
    return _at_radii(config, *names)


def _of_validation(config: Config) -> list[str]:
    names = ["validation.certified_accuracy"]
    if of_kind(config.task, Robustness).select_by == "certified_accuracy_per_pair":
        names.append("validation.certified_accuracy_per_pair")
    return ["validation.loss", "validation.clean_accuracy", *_at_radii(config, *names)]


def _of_classifiers(config: Config) -> Iterator[str]:
    attacks = config.attack.names
    yield from ("clean_accuracy", "mean_certified_radius", "mean_certified_radius_per_pair")
    yield from _at_radii(config, "certified_accuracy", "certified_accuracy_per_pair")
    yield from _at_radii(config, *(f"attacked_accuracy.{name}" for name in attacks))
    yield from _at_radii(config, *(["attacked_accuracy_worst"] if attacks else []))
    yield from _by_arithmetic(config)
    yield from (f"median_attack_distance.{name}" for name in attacks if name in NEAREST_ATTACKS)
    yield from (f"attack_seconds.{name}" for name in attacks)
    yield from (f"seconds.{part}" for part in _PARTS)
    yield from _at_radii(config, *(f"rounding_cost.{arithmetic}" for arithmetic in ("float64", "float32")))
    yield from ("test_examples", "attacked_examples", "foolbox_examples")
