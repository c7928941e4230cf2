"""Values as one would type them, and names that are nearly right."""

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lipnet.options.registry import GROUPS

_SLIP = 0.85  # of a name with a letter too many, too few or wrong


def option_name(raw: Any) -> Any:
    """An option\'s name, if the value of its group has one."""
    name = raw.get("name") if isinstance(raw, Mapping) else raw
    return name if name is None or isinstance(name, str) else show(name)


def show(value: Any) -> str:
    """A value as one would type it."""
    if isinstance(value, list):
        return f"[{','.join(show(entry) for entry in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {show(entry)}' for key, entry in value.items())}}}"
    return (
        {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)
    )


def unknown_option(group: str, given: str, options: Iterable[str]) -> str:
    """The message for ``group=given``, with the nearest option."""
    options = list(options)
    return f"{group}={given}: no such option;{nearest(given, options)} {group} takes {', '.join(options)}."


def unknown_key(given: str, known: Iterable[str]) -> str:
    """The message for a key that nothing reads: with the key that was meant, or the option that has it."""
    known = [key for key in known if key != "name" and not key.endswith(".name")]
    group, _, name = given.rpartition(".")
    beside = [key for key in known if key.rpartition(".")[0] == group]
    elsewhere = [key for key in known if key.rpartition(".")[2] == name]
    others = list(_options_with(name, group))
    slip = difflib.get_close_matches(name, [key.rpartition(".")[2] for key in beside], n=1, cutoff=_SLIP)
    if group and slip:  # likelier than another group's key that happens to be called so
        hint = f" did you mean {group}.{slip[0]}?"
    elif elsewhere:
        hint = f" did you mean {elsewhere[0]}?"
    elif others:
        hint = f" {others[0]} has {others[0].partition('=')[0]}.{name}."
    else:
        names = [key.rpartition(".")[2] for key in beside] if group else beside
        cutoff = 0.5 if group else 0.55  # among many names, one is near by chance
        hint = nearest(name, names, f"{group}." if group else "", cutoff) if beside else nearest(given, known)
    listed = f" Keys there: {', '.join(beside)}." if beside else ""
    return f"{given}: no such key, nothing would read it;{hint}{listed}"


def _options_with(name: str, group: str) -> Iterator[str]:
    """``group=option`` of every option that has a key of this name, in the given group or, without one, in any."""
    for other, options in GROUPS.items():
        for option in options.values():
            keys = {field.name for field in dataclasses.fields(option.keys)}
            if group in ("", other) and name != "name" and name in keys:
                yield f"{other}={option.name}"


def nearest(given: str, names: list[str], prefix: str = "", cutoff: float = 0.5) -> str:
    """A hint at the name that was meant; capitals, ``-`` and ``_`` are no difference."""
    same = [name for name in names if _folded(name) == _folded(given)]
    cutoff = cutoff if len(given) > 4 else max(cutoff, 0.55)  # half of a short name is common to many
    close = same or difflib.get_close_matches(given, names, n=1, cutoff=cutoff)
    return f" did you mean {prefix}{close[0]}?" if close else " see --help for the names."


def _folded(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def multiples(key: str, widths: list[int], of: int, reason: str, first: int = 0) -> Iterator[str]:
    """A problem for each entry of a list that is no multiple of a number; entries are numbered from ``first`` on."""
    for index, width in enumerate(widths, start=first):
        if width % of:
            yield (
                f"{key}[{index}]={width}: {reason}, so this must be a multiple of {of}; the nearest is "
                f"{of * max(1, round(width / of))}."
            )
