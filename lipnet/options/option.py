"""What every option begins as: a name, and no keys of its own."""

import dataclasses
from typing import Any

from lipnet.options.checks import checked, text


@dataclasses.dataclass(frozen=True)
class Named:
    """An option without keys of its own."""

    name: str = checked(text)

    def own_keys(self) -> dict[str, Any]:
        """The keys beside the name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "name"}
