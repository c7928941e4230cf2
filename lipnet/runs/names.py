"""Names of run directories: they say what was chosen, and read well in TensorBoard's list of runs.

Only letters, digits and ``. _ - +`` are used, so that a name can be pasted into a command line as it is.
"""

import datetime
import hashlib
import re
import secrets
from collections.abc import Collection, Iterable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lipnet.options.registry import GROUPS
from lipnet.runs.identity import NO_RESULT_KEYS, digest

_UNSAID = ("run", *NO_RESULT_KEYS)  # no choices; directories among them would make long names
_LONGEST = 80  # characters of a label; file systems take 255 of a name


def run_dir(resume: str | None, parent: str, label: str) -> str:
    """A directory of its own for every run, even for two that start in the same second; ``resume`` keeps its own."""
    if resume not in (None, "", "null"):
        return str(resume)
    now = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    return f"{parent}/{joined(label, now, secrets.token_hex(3))}"


def output_subdir(directory: str) -> str | None:
    """Where Hydra writes the configuration: nowhere where one is, as it empties the old files before it asks whose."""
    saved = Path(directory, ".hydra")
    return None if any((saved / name).exists() for name in ("config.yaml", "overrides.yaml")) else ".hydra"


def method_group(model: str) -> str | None:
    """The group whose option a run is called by: of the convolutions, of a network without a choice of them the
    shuffles or the linear layers.

    ``None`` for a model that is built of none of these.
    """
    if model not in GROUPS["model"]:  # of a version that knew others
        return "conv"
    reads = GROUPS["model"][model].reads
    return reads[0] if reads else None


def kind(config: DictConfig) -> str:
    """``large-bcop``, ``fc-bjorck``, ``cones``: the model, and what its layers are."""
    model = str(OmegaConf.select(config, "model.name"))
    group = method_group(model)
    return model if group is None else f"{model}-{OmegaConf.select(config, group)['name']}"


def run_label(config: DictConfig) -> str:
    """What was typed beyond the choices that a run directory's parents are named by."""
    group = method_group(str(OmegaConf.select(config, "model.name")))
    named = ("task", "dataset", "model", *([] if group is None else [group]))
    return label(config.hydra.overrides.task, left_out=(*_UNSAID, *named))


def job_name(config: DictConfig, *keys: str) -> str:
    """A job's directory: its values of the swept keys, and the digest of its whole configuration."""
    swept = [text for text in config.hydra.overrides.task if _key(text) in keys]
    return joined(label(swept, left_out=()), digest(config))


def sweep_name(fixed: Iterable[str], swept: Iterable[str]) -> str:
    """A sweep's directory: what all jobs share, and the keys in which they differ."""
    keys = "-".join(_short(key) for key in swept)
    return joined(label(fixed), f"over-{keys}" if keys else "") or "defaults"


def label(overrides: Iterable[str], left_out: Collection[str] = _UNSAID) -> str:
    """``conv-bcop_lr-1e-2_seed-0`` for ``conv=bcop optimizer.lr=1e-2 seed=0``."""
    values = {_key(text): text.partition("=")[2] for text in overrides if "=" in text}
    parts = []
    for key, value in values.items():
        if key in left_out or key.startswith("hydra"):
            continue
        if key in ("experiment", "sweep"):
            parts.append(_cleaned(value))
        else:
            parts.append(f"{_short(key)}-{_cleaned(_number(value))}")
    shown = list(parts)
    while len("_".join(shown)) > _LONGEST:
        shown.pop()
    if len(shown) < len(parts):
        digest_of_all = hashlib.sha256("_".join(parts).encode()).hexdigest()[:6]
        shown.append(f"and-{len(parts) - len(shown)}-more-{digest_of_all}")
    return joined(*shown)


def joined(*parts: str) -> str:
    """The parts that are not empty, with ``_`` between them."""
    return "_".join(part for part in parts if part)


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _short(key: str) -> str:
    return key.rpartition(".")[2]


def _number(value: str) -> str:
    """Four digits of a number with more: a sampler's 0.0031415926535897 is 0.003142."""
    try:
        return value if len(value) < 8 else f"{float(value):.4g}"
    except ValueError:
        return value


def _cleaned(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-")
