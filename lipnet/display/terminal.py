"""Text for terminals and files that cannot take all of it: ASCII terminals, names that are not UTF-8."""

import codecs
import sys
from typing import Any, TextIO

_PLAIN = {"±": "+-", "–": "-", "−": "-", "×": "x", "≤": "<=", "≥": ">=", "√": "sqrt"}


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replaces what cannot be written: signs that the program uses by ASCII, anything else by its number."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    first = error.object[error.start]
    if first in _PLAIN:
        return _PLAIN[first], error.start + 1
    one = UnicodeEncodeError(error.encoding, error.object, error.start, error.start + 1, error.reason)
    return codecs.backslashreplace_errors(one)


codecs.register_error("lipnet.plain", _plain)


def take_everything(*streams: TextIO | Any) -> None:
    """Has streams, by default stdout and stderr, replace what their encoding lacks, where they raised an error."""
    for stream in streams or (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not one that a test or a notebook put there
            stream.reconfigure(errors="lipnet.plain")
