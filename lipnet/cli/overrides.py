"""Overrides as they are typed."""

import re
import shlex
from collections.abc import Iterable, Iterator

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException

from lipnet.cli.composing import options_of


def without_option(argv: list[str], *names: str) -> list[str]:
    """The arguments without an option and its value, in whatever way these are written."""
    kept, skip = [], False
    for argument in argv:
        if not skip and argument in names:
            skip = True
        elif skip or argument.startswith(tuple(f"{name}=" for name in names)):
            skip = False
        else:
            kept.append(argument)
    return kept


def radii_as_written(argument: str) -> str:
    """``eval_radii=[0.50]`` with quotes around 0.50: results are keyed by a text that reading a number would lose."""
    key, _, value = argument.partition("=")
    inner = value[1:-1]
    if key.lstrip("+") != "eval_radii" or f"[{inner}]" != value or "[" in inner:
        return argument
    return f"{key}=[{','.join(map(_quote_number, inner.split(',')))}]"


def _quote_number(entry: str) -> str:
    written = entry.strip()
    try:
        kept = written in (str(float(written)), str(int(float(written))))
    except (ValueError, OverflowError):
        kept = True  # not a number: a fraction, or something that the checks will refuse
    return entry if kept else repr(written)


def parse_overrides(texts: list[str]) -> tuple[list[Override], list[str]]:
    """The overrides that can be read, and the problems of those that cannot."""
    parser, parsed, problems = OverridesParser.create(), [], []
    rest = list(texts)
    while rest:
        text = rest.pop(0)
        try:
            parsed.append(parser.parse_override(text))
        except (HydraException, ValueError) as error:
            problems.append(_unreadable(text, rest, str(error)))
    return parsed, problems


def _unreadable(text: str, rest: list[str], error: str) -> str:
    """Why an override cannot be read; the words behind it that belong to it are taken from the rest."""
    if re.fullmatch(r"[a-z][\w.]*", text):
        value = rest.pop(0) if rest and "=" not in rest[0] else "VALUE"
        return f"{text}: not KEY=VALUE; did you mean {text}={value}?"
    whole = text
    while rest and _open(whole):
        whole += f" {rest.pop(0)}"
    if whole != text and not _open(whole):
        return f"{text}: the shell has cut it at a space; quote the whole: {shlex.quote(whole)}."
    return f"{text}: not KEY=VALUE as Hydra reads it ({error.splitlines()[0].rstrip('.')}); quote special characters."


def _open(text: str) -> bool:
    """Whether a bracket is not closed."""
    return any(text.count(left) > text.count(right) for left, right in ("[]", "()", "{}"))


def flags_for_keys(argv: list[str], known: Iterable[str]) -> Iterator[str]:
    """The problem of each word that is meant as a key and written as a flag."""
    for number, word in enumerate(argv):
        flag, equals, value = word.partition("=")
        if word.startswith("--") and flag != "--" and not any(option.startswith(flag) for option in known):
            behind = argv[number + 1] if number + 1 < len(argv) else "VALUE"
            value = value if equals else behind if re.fullmatch(r"[^-=][^=]*", behind) else "VALUE"
            yield f"{word}: no such flag; a key has no dashes: {flag.lstrip('-')}={value}"


def values_of(override: Override, config_dir: str | None = None) -> list[str]:
    """Every value of a sweep, or the one value, as typed."""
    value = override.value()
    if isinstance(value, Glob):
        return value.filter(options_of(override.key_or_group, config_dir))
    if override.is_sweep_override():
        return list(override.sweep_string_iterator())
    return ["null" if value is None else override.get_value_string()]


def text_of(override: Override) -> str:
    """An override as it was typed."""
    return override.input_line or ""
