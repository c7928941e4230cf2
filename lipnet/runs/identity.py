"""What a run is recognised by: where its configuration differs from ``conf/``, in keys that change results."""

import dataclasses
import hashlib
import json
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lipnet.errors import UserError
from lipnet.options.config import Config
from lipnet.options.defaults import as_text, completed, leaves, resolved
from lipnet.options.parse import parse
from lipnet.options.registry import GROUPS

# Where a run is, how it is shown and what is read off it. Device and threads change results by rounding alone.
NO_RESULT_KEYS = (
    "resume", "rerun", "progress", "profile", "bell", "device", "threads", "dataset.root", "dataset.file",
    "dataset.labels", "dataset.cache", "dataset.download",
    "objective", "fail_fast", "plugins",
)  # fmt: skip


def digest(config: DictConfig | Config) -> str:
    """Eight hexadecimal digits; equal for configurations that ask for the same results, however they were typed.

    A key that comes later changes none as long as it has its default.
    """
    content = dataclasses.asdict(config) if isinstance(config, Config) else _content(config)
    texts = {key: as_text(value) for key, value in leaves(content)}
    usual = _defaults(content, texts)
    own = {key: text for key, text in texts.items() if key not in NO_RESULT_KEYS and usual.get(key) != text}
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:8]


def _defaults(content: dict[str, Any], texts: dict[str, str]) -> dict[str, str]:
    """What each key of the chosen options would have by itself, beside the others as they are; the usual options."""
    chosen = {}
    for group in GROUPS:
        if isinstance(content.get(group), dict):
            chosen[group] = {"name": content[group].get("name")}
    usual = dict(leaves(completed(chosen)))
    for group, option in completed({}).items():
        if group in GROUPS:
            usual[f"{group}.name"] = option["name"]
    return {key: as_text(resolved(value, texts)) for key, value in usual.items()}


def _content(config: DictConfig) -> dict:
    """The checked values; of a configuration with mistakes, which will not run, the values as they are."""
    plain = {key: value for key, value in OmegaConf.to_container(config).items() if key != "hydra"}  # type: ignore
    try:
        return dataclasses.asdict(parse(OmegaConf.create(plain)))
    except UserError:
        return plain
