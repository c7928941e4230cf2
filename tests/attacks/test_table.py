import dataclasses
import inspect
from importlib import import_module

import pytest

from lipnet.attacks import ATTACKS, InBall, Nearest
from lipnet.options import tasks as schema

over_methods = pytest.mark.parametrize(("name", "method"), schema.ATTACKS.items(), ids=schema.ATTACKS)


def test_every_name_of_the_schema_is_an_attack():
    assert list(ATTACKS) == list(schema.ATTACKS)
    assert schema.FOOLBOX_ATTACKS == ("boundary", "pointwise")
    assert [name for name, method in schema.ATTACKS.items() if method.nearest] == ["ddn", "boundary", "pointwise"]


@over_methods
def test_an_attack_asks_for_what_it_is_given(name, method):
    """A radius where it stays within one; keys of ``attack``; never another name."""
    module, _, function = method.code.partition(":")
    wanted = list(inspect.signature(getattr(import_module(module), function)).parameters)
    assert wanted[:3] == ["model", "images", "labels"]
    keys = {field.name for field in dataclasses.fields(schema.Attack)}
    assert set(wanted[3:]) <= {"generator", "sought" if method.nearest else "radius", *keys}
    assert ("radius" in wanted) is not method.nearest
    assert type(ATTACKS[name]) is (Nearest if method.nearest else InBall)
