"""Configuration files that are malformed, or would run code."""

from collections.abc import Iterator
from pathlib import Path

from malformed import MARK, TINY, Case, lipnet

CODE = f"{{_target_: os.system, command: 'touch {MARK}'}}"
EXPERIMENTS = {
    "a callback": f"hydra: {{callbacks: {{a: {CODE}}}}}",
    "a launcher": f"hydra: {{launcher: {CODE}}}",
    "a sweeper": f"hydra: {{sweeper: {CODE}}}",
    "a model": f"model: {CODE}",
    "an optimizer of torch": "optimizer: {_target_: torch.optim.Adam}",
    "a top-level target": f"_target_: os.system\ncommand: touch {MARK}",
    "a target in a list": f"eval_radii: [{CODE}]",
    "a target that is no text": "model: {_target_: [os.system]}",
    "a logging factory": f"hydra: {{job_logging: {{handlers: {{a: {{(): os.system, command: 'touch {MARK}'}}}}}}}}",
    "a logging class": "hydra: {job_logging: {handlers: {a: {class: subprocess.Popen, args: [touch]}}}}",
    "a logging import": "hydra: {job_logging: {handlers: {a: {class: logging.StreamHandler, stream: 'ext://antigravity'}}}}",
    "the environment": "dataset: {name: '${oc.env:HOME}'}",
    "the environment in a seed": "seed: ${oc.env:SHLVL}",
    "the environment, nested": "seed: ${oc.decode:${oc.env:SHLVL}}",
    "an unknown resolver": "seed: ${shell:id}",
    "a tag of Python": f"seed: !!python/object/apply:os.system ['touch {MARK}']",
    "an unknown tag": "seed: !thing 3",
    "no YAML": "seed: [1, 2",
    "tabs": "seed:\n\t- 1",
    "two values of a key": "seed: 1\nseed: 2",
    "a list": "- 1\n- 2",
    "a text": "just words",
    "an unknown key": "epoch: 3",
    "an unknown group": "modle: {name: fc}",
    "a wrong value": "seed: -1",
    "a list for a name": "model: {name: [fc]}",
    "a group that is a number": "model: 3",
    "a group that is null": "optimizer: null",
    "an option's name that climbs": "dataset: {name: ../../etc}",
    "defaults that climb": "defaults: [../../../etc/passwd]",
    "defaults that are not there": "defaults: [nothing]",
    "a search path": "hydra: {searchpath: ['file:///tmp']}",
    "an infinite number": "optimizer: {lr: .inf}",
    "anchors in a circle": "model: &a {b: *a}",
    "a key that is no text": "3: 4",
    "a date": "seed: 2020-01-01",
    "an interpolation in a circle": "amp: ${compile}\ncompile: ${amp}",
}  # fmt: skip
RAW_FILES = {
    "bytes": b"\xff\xfe\x00\x01",
    "NUL": b"seed: \x00",
    "deep": b"[" * 5000,
    "UTF-16": "seed: 1".encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf# @package _global_\nseed: 1\n",
    "no package": b"seed: 1\n",
    "a package after a remark": b"# mine\n# @package _global_\nseed: 1\n",
}


def folders() -> Iterator[Case]:
    """Each as an experiment in a folder given with ``--config-dir``."""
    contents = {name: f"# @package _global_\n{text}\n".encode() for name, text in EXPERIMENTS.items()} | RAW_FILES
    for name, content in contents.items():

        def prepare(folder: Path, content: bytes = content) -> list[str]:
            (folder / "mine" / "experiment").mkdir(parents=True)
            (folder / "mine" / "experiment" / "it.yaml").write_bytes(content)
            return ["--config-dir", str(folder / "mine"), "experiment=it", *TINY]

        yield Case("configuration folders", name, prepare, lipnet)
