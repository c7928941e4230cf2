import copy

import pytest
import torch
from torch import nn

from lipnet.errors import UserError
from lipnet.layers import MaxMin, OrthogonalLinear
from lipnet.tasks.private.separate import refuse_mixing


class Code(nn.Module):
    """A layer, and code after it."""

    def __init__(self, after):
        super().__init__()
        self.linear, self.after = OrthogonalLinear(4, 2), after

    def forward(self, inputs):
        return self.after(self.linear(inputs))


class Keeps(nn.Module):
    """Its own running numbers."""

    def __init__(self):
        super().__init__()
        self.linear = OrthogonalLinear(4, 2)
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, inputs):
        if len(inputs):
            self.seen = torch.maximum(self.seen, inputs.amax(0))
        return self.linear(inputs)


class Reports(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.last = OrthogonalLinear(4, 2), 0.0

    def forward(self, inputs):
        self.last = float(inputs.detach().sum())
        return self.linear(inputs)

    def diagnostics(self):
        return {"last": self.last}


class Penalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.last = OrthogonalLinear(4, 2), torch.zeros(())

    def forward(self, inputs):
        outputs = self.linear(inputs)
        self.last = outputs.detach().pow(2).sum()
        return outputs

    def regularizer(self):
        return self.last


def chain(*layers):
    return nn.Sequential(OrthogonalLinear(4, 4), *layers, nn.Linear(4, 2))


REFUSED = {
    "batch normalisation": (chain(nn.BatchNorm1d(4)), r"1 \(BatchNorm1d\) normalises by the batch"),
    "a mean over the batch": (Code(lambda x: x - x.mean(0)), "an example changes the outputs of others"),
    "whose outputs have one sum": (Code(lambda x: (x - x.mean(0)).softmax(1)), "an example changes the outputs of"),
    "a softmax over the batch": (Code(lambda x: x.softmax(0)), "an example changes the outputs of others"),
    "another number of rows": (
        nn.Sequential(OrthogonalLinear(4, 4), nn.Flatten(0), nn.Linear(8, 4)), "needs each example's own gradient"
    ),
    "a mean without a gradient": (Code(lambda x: x - x.mean(0).detach()), "an example changes the outputs of others"),
    "dropout": (chain(nn.Dropout(0.5)), "it draws numbers, by a seed that is public"),
    "a buffer of examples": (Keeps(), r"^model=module: seen: made of the examples of a batch"),
    "a penalty of examples": (Penalised(), "regularizer 0: made of the examples"),
    "a report of examples": (Reports(), "layers/_last: made of the examples"),
    "no example": (Code(lambda x: x.reshape(len(x), -1)), "fails on a batch without examples"),
    "nothing to learn": (nn.Flatten(), "needs each example's own gradient"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_gradients_of_single_examples_is_refused(case):
    network, reason = REFUSED[case]
    with pytest.raises(UserError, match=reason if reason.startswith("^") else f"^model=module: .*{reason}"):
        refuse_mixing(network.eval(), "module", (4,))


TAKEN = {
    "layers": chain(MaxMin()),
    "code": Code(lambda x: x.flatten(1).softmax(1)),
    "in place": nn.Sequential(nn.ReLU(inplace=True), OrthogonalLinear(4, 2)),
    "groups": chain(nn.GroupNorm(2, 4)),
}


@pytest.mark.parametrize("case", TAKEN)
def test_others_are_taken_and_stay_as_they_are(case):
    network = TAKEN[case].eval()
    before, drawn = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    refuse_mixing(network, "module", (4,))
    assert not network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)
