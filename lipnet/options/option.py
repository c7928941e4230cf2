"""What every option begins as: a name, and no keys of its own."""

import dataclasses
from typing import Any, TypeVar

from lipnet.options.checks import checked, text


@dataclasses.dataclass(frozen=True)
class Named:
    """An option without keys of its own."""

    name: str = checked(text)

    def own_keys(self) -> dict[str, Any]:
        """The keys beside the name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "name"}


T = TypeVar("T")


def of_kind(option: object, kind: type[T]) -> T:
    """A checked option as what the checks have made sure that it is, so that its keys are known to the type checker."""
    assert isinstance(option, kind), f"{option} is no {kind.__name__}"
    return option
