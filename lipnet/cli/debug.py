"""``debug=fast`` and ``debug=overfit``: the chosen configuration made small, to see whether it works at all."""

import dataclasses
import logging
from collections.abc import Iterator
from typing import Any

from lipnet.options.config import Config
from lipnet.options.messages import show
from lipnet.options.pairs import Pair
from lipnet.options.posteriors import Problem
from lipnet.options.streams import Stream

log = logging.getLogger("lipnet")

_SAMPLES = 64  # for what is estimated from samples
_VALIDATION = 0.01
_OVERFIT_EPOCHS = 100


def apply_debug(config: Config) -> Config:
    """The configuration that ``config.debug`` stands for; applying it again changes nothing."""
    if config.debug == "none":
        return config
    small = _small(config)
    log.info("debug=%s: %s", config.debug, ", ".join(_changes(dataclasses.asdict(config), dataclasses.asdict(small))))
    return small


def _few_networks(config: Config) -> dict[str, Any]:
    """What a posterior is sampled and proved by, in a few iterations; keys that this inference lacks are left out."""
    if not isinstance(config.dataset, Problem):
        return {}
    wanted = {
        "chains": 2, "descent": 2, "burn_in": 2, "draws": 2, "thin": 1, "leapfrog": 2, "particles": 2, "iterations": 2,
        "samples": 1,
    }  # fmt: skip
    fields = {field.name for field in dataclasses.fields(config.inference)}
    few: dict[str, Any] = {key: value for key, value in wanted.items() if key in fields}
    return {
        "inference": dataclasses.replace(config.inference, **few),
        "proof": dataclasses.replace(config.proof, cells=_SAMPLES, attack_steps=2, attack_starts=1),
    }


def _small(config: Config) -> Config:
    few = dataclasses.replace(config.attack, steps=2, restarts=1, ddn_steps=2, examples=_SAMPLES, foolbox_examples=1)
    if config.debug == "overfit":
        return dataclasses.replace(
            config,
            epochs=_OVERFIT_EPOCHS,
            attack=dataclasses.replace(few, names=[]),
            dataset=_one_batch(config, validation=0.0, augment=False, crop=0),
        )
    return dataclasses.replace(
        config,
        epochs=1,
        singular_values_every=1,
        attack=few,
        dataset=_one_batch(config),
        estimate=dataclasses.replace(config.estimate, transport_samples=_SAMPLES),
        **_few_networks(config),
    )


def _changes(before: dict[str, Any], after: dict[str, Any], path: str = "") -> Iterator[str]:
    for key, value in after.items():
        if isinstance(value, dict):
            yield from _changes(before[key], value, f"{path}{key}.")
        elif value != before[key]:
            yield f"{path}{key}={show(value)}"


def _one_batch(config: Config, **others: Any) -> Any:
    """A data set of one batch; keys that this kind of data set lacks are left out."""
    size = config.batch_size
    if isinstance(config.dataset, Pair):
        wanted: dict[str, Any] = {
            "steps_per_epoch": 1,
            "selection_samples": _SAMPLES,
            "evaluation_samples": 4 * _SAMPLES,
        }
    elif isinstance(config.dataset, Problem):
        wanted = {}
    elif isinstance(config.dataset, Stream):
        wanted = {"rounds": _SAMPLES}
    else:
        wanted = {"limit_train": size, "limit_test": size, "validation": min(config.images.validation, _VALIDATION)}
    fields = {field.name for field in dataclasses.fields(config.dataset)}
    return dataclasses.replace(
        config.dataset, **{key: value for key, value in (wanted | others).items() if key in fields}
    )
