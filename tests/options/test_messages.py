import pytest

from lipnet.options.messages import option_name, show, unknown_key, unknown_option

VALUES = {
    "null": None, "true": True, "false": False, "0.5": 0.5, "1": 1, "36/255": "36/255",
    "[1,null,[true]]": [1, None, [True]],
}  # fmt: skip


@pytest.mark.parametrize("text", VALUES)
def test_values_as_one_types_them(text):
    assert show(VALUES[text]) == text


@pytest.mark.parametrize(
    ("raw", "name"), [({"name": "bcop"}, "bcop"), ("bcop", "bcop"), ({}, None), ({"name": 3}, "3")]
)
def test_the_name_of_an_option(raw, name):
    assert option_name(raw) == name


def test_an_unknown_option_has_the_nearest():
    assert unknown_option("conv", "bcob", ["rko", "bcop"]) == (
        "conv=bcob: no such option; did you mean bcop? conv takes rko, bcop."
    )


KEYS = ["epochs", "seed", "optimizer.name", "optimizer.lr", "optimizer.weight_decay", "attack.steps"]
HINTS = {
    "epoch": "epoch: no such key, nothing would read it; did you mean epochs? Keys there: epochs, seed.",
    "optimizer.steps": "optimizer.steps: no such key, nothing would read it; did you mean attack.steps? "
    "Keys there: optimizer.lr, optimizer.weight_decay.",
    "optimizer.weight_decy": "optimizer.weight_decy: no such key, nothing would read it; "
    "did you mean optimizer.weight_decay? Keys there: optimizer.lr, optimizer.weight_decay.",
    "conv.orthogonalizer": "conv.orthogonalizer: no such key, nothing would read it; "
    "conv=bcop has conv.orthogonalizer.",
}


@pytest.mark.parametrize("given", HINTS)
def test_an_unknown_key_has_the_one_that_was_meant(given):
    assert unknown_key(given, KEYS) == HINTS[given]
