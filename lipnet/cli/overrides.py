"""Overrides as they are typed."""

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
    for text in texts:
        try:
            parsed.append(parser.parse_override(text))
        except (HydraException, ValueError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            problems.append(f"{text}: not KEY=VALUE as Hydra reads it ({reason}); quote special characters.")
    return parsed, problems


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
