"""By what a run is recognised: its configuration, less the keys that change no result."""

import dataclasses
import hashlib
import json

from omegaconf import DictConfig, OmegaConf

from lipnet.config import parse
from lipnet.errors import UserError
from lipnet.schema import Config

# Where a run is, how it is shown and what is read off it. Device and threads change results by rounding alone.
NO_RESULT_KEYS = (
    "resume", "rerun", "progress", "profile", "bell", "device", "threads", "dataset.root", "dataset.download",
    "objective", "fail_fast",
)  # fmt: skip


def digest(config: DictConfig | Config) -> str:
    """Eight hexadecimal digits; equal for configurations that ask for the same results, however they were typed."""
    content = dataclasses.asdict(config) if isinstance(config, Config) else _content(config)
    leaves = {key: value for key, value in _flat(content).items() if key not in NO_RESULT_KEYS}
    return hashlib.sha256(json.dumps(leaves, sort_keys=True, default=str).encode()).hexdigest()[:8]


def _content(config: DictConfig) -> dict:
    """The checked values; of a configuration with mistakes, which will not run, the values as they are."""
    plain = {key: value for key, value in OmegaConf.to_container(config).items() if key != "hydra"}  # type: ignore
    try:
        return dataclasses.asdict(parse(OmegaConf.create(plain)))
    except UserError:
        return plain


def _flat(node: object, path: str = "") -> dict[str, object]:
    if not isinstance(node, dict):
        return {path: node}
    return {
        key: value for name, part in node.items() for key, value in _flat(part, f"{path}.{name}".lstrip(".")).items()
    }
