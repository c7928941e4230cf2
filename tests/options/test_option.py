from dataclasses import dataclass

import pytest

from lipnet.options.option import Named, of_kind


@dataclass(frozen=True)
class Sized(Named):
    size: int = 3


def test_own_keys_are_those_beside_the_name():
    assert Sized("big", 7).own_keys() == {"size": 7}
    assert Named("plain").own_keys() == {}


def test_an_option_of_another_kind_is_refused():
    option = Sized("big")
    assert of_kind(option, Named) is option
    with pytest.raises(AssertionError, match="is no Sized"):
        of_kind(Named("plain"), Sized)
