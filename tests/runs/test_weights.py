import pytest
import torch
from torch import nn

from lipnet.errors import UserError
from lipnet.runs.weights import load_weights

RIGHT = {"0.weight": torch.ones(2, 3), "0.bias": torch.ones(2)}


def test_right_weights_are_loaded():
    model = nn.Sequential(nn.Linear(3, 2))
    load_weights(model, RIGHT, "file")
    assert torch.equal(model[0].weight, torch.ones(2, 3))


REFUSED = {
    "a list": ([1], "holds no weights"),
    "nothing": ({}, "holds no weights"),
    "a number": (RIGHT | {"0.bias": 1.0}, "0.bias is no tensor with a name"),
    "no name": ({1: torch.ones(2)}, "1 is no tensor with a name"),
    "sparse": (RIGHT | {"0.bias": torch.ones(2).to_sparse()}, "0.bias is no tensor with a name"),
    "NaN": (RIGHT | {"0.bias": torch.tensor([0, float("nan")])}, "0.bias holds NaN or infinity"),
    "infinity": (RIGHT | {"0.weight": torch.full((2, 3), float("inf"))}, "0.weight holds NaN or infinity"),
    "half": (RIGHT | {"0.bias": torch.ones(2).half()}, "0.bias is torch.float16, not torch.float32"),
    "whole numbers": (RIGHT | {"0.bias": torch.ones(2, dtype=torch.int64)}, "0.bias is torch.int64"),
    "another shape": (RIGHT | {"0.bias": torch.ones(3)}, "do not fit its configuration (.*size mismatch for 0.bias"),
    "missing": ({"0.weight": RIGHT["0.weight"]}, "do not fit its configuration (.*Missing key"),
    "too many": (RIGHT | {"1.bias": torch.ones(2)}, "do not fit its configuration (.*Unexpected key"),
}


@pytest.mark.parametrize(("state", "message"), REFUSED.values(), ids=REFUSED)
def test_others_are_refused_with_the_reason(state, message):
    model = nn.Sequential(nn.Linear(3, 2))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UserError, match=f"^file: .*{message.replace('(', '[(]')}") as error:
        load_weights(model, state, "file")
    assert "\n" not in str(error.value)
    if "fit" not in message:
        assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
