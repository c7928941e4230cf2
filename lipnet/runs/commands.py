"""Commands that the program prints: each does what it says when it is pasted into bash, whatever is in its paths."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

# For Hydra: with a "/" it is no number, and no word like null.
_PLAIN = re.compile(r"[\w.+-]*/[\w./+-]+( [\w./+-]+)*", re.ASCII)

# Of the running job, by ``--config-dir`` and ``plugins=[...]``; the program sets them.
given_config_dir: str | None = None
given_plugins: tuple[str, ...] = ()


def program(config_dir: str | None = None) -> str:
    """How the program was called, with its folder of configurations if it had one.

    Args:
        config_dir: of ``--config-dir``; by default that of the running job.
    """
    folder = config_dir or given_config_dir
    with_folder = f" --config-dir {shlex.quote(os.path.abspath(folder))}" if folder else ""
    return _called_as() + with_folder


def quoted(text: str) -> str:
    """A text as Hydra's overrides read it back, whatever is in it."""
    escaped = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)  # no interpolation for OmegaConf
    escaped = re.sub(r"(\\+)(?='|\Z)", r"\1\1", escaped)  # a quote, or the end, would take the last of them for itself
    return "'" + escaped.replace("'", "\\'") + "'"


def path_override(key: str, path: str | os.PathLike) -> str:
    """``key=path`` as Hydra reads it back; for a shell it needs quotes of its own."""
    text = os.fspath(path)
    return f"{key}={text if _PLAIN.fullmatch(text) else quoted(text)}"


def on_run(key: str, directory: str | os.PathLike, *others: str, config_dir: str | None = None) -> str:
    """The command with ``key=directory``, after other overrides that need no quotes."""
    plugins = [shlex.quote(f"plugins=[{','.join(given_plugins)}]")] if given_plugins else []
    named = shlex.quote(path_override(key, os.path.abspath(directory)))
    return " ".join([program(config_dir), *plugins, *others, named])


def tool(name: str, *arguments: str | Path) -> str:
    """A console script of this environment with its arguments; a path among them is never taken for an option."""
    words = [_called(name)]
    for argument in arguments:
        text = str(argument)
        if isinstance(argument, Path) and text.startswith("-"):
            text = f"./{text}"
        words.append(shlex.quote(text))
    return " ".join(words)


def _called_as() -> str:
    script, processes = Path(sys.argv[0]), _processes()
    module = "-m lipnet"
    if script.name == "train.py":
        module = "train.py" if _is_here(script) else _absolute(script)
    if processes > 1:
        return f"{_called('torchrun')} --nproc_per_node={processes} {module}"
    if script.name in ("train.py", "__main__.py"):
        return f"{_called('python')} {module}"
    return _called("lipnet")


def _is_here(script: Path) -> bool:
    return os.path.abspath(script.name) == os.path.abspath(script)


def _absolute(path: Path) -> str:
    return shlex.quote(os.path.abspath(path))


def _called(name: str) -> str:
    """The name of a tool where a shell would find this environment's, else its path beside this Python."""
    beside, found = Path(sys.executable).with_name(name), shutil.which(name)
    by_name = not beside.exists() or (found is not None and Path(found).parent == beside.parent)
    return name if by_name else shlex.quote(str(beside))


def _processes() -> int:
    distributed = sys.modules.get("lipnet.training.distributed")  # imported where torchrun started several
    return distributed.size() if distributed else 1
