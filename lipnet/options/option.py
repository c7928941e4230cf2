"""An option without keys of its own: what every option begins as."""

from dataclasses import dataclass

from lipnet.options.checks import checked, text


@dataclass(frozen=True)
class Named:
    """An option without keys of its own."""

    name: str = checked(text)
