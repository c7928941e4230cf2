"""Batch centring: the batch's mean in training, the running one in evaluation."""

import pytest
import torch
from torch import nn

from lipnet.certify import lipschitz_bound
from lipnet.layers import BatchCentering
from lipnet.per_example.kinds import check_separable


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 4, 5)])
def test_training_subtracts_the_mean_of_the_batch_and_evaluation_the_running_one(shape):
    layer, running = BatchCentering(3, momentum=0.25), torch.zeros(3)
    for _ in range(3):
        inputs = torch.randn(shape) + torch.tensor([1.0, -2.0, 5.0]).view(3, *[1] * (len(shape) - 2))
        mean = inputs.transpose(0, 1).flatten(1).mean(1)
        running = 0.75 * running + 0.25 * mean
        centred = layer(inputs)
        torch.testing.assert_close(centred.transpose(0, 1).flatten(1).mean(1), torch.zeros(3), atol=1e-6, rtol=0)
        torch.testing.assert_close((inputs - centred).std(0), torch.zeros(shape[1:]), atol=1e-5, rtol=0)
    torch.testing.assert_close(layer.running_mean, running)
    shift = (inputs - layer.eval()(inputs)).transpose(0, 1).flatten(1)
    torch.testing.assert_close(shift, running[:, None].expand_as(shift))
    assert layer.running_mean.equal(layer.state_dict()["running_mean"])


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 2), (4, 3, 2, 2)])
@pytest.mark.parametrize("layout", ["usual", "channels last"])
def test_gradients_are_those_of_subtracting_the_mean(shape, layout):
    inputs = torch.randn(shape, dtype=torch.float64)
    if len(shape) == 4 and layout == "channels last":
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    layer = BatchCentering(3).double()
    torch.autograd.gradcheck(layer, inputs.requires_grad_())
    torch.autograd.gradgradcheck(layer, inputs)
    along = torch.randn(5, *shape, dtype=torch.float64)
    each = [torch.autograd.grad(layer(inputs), inputs, one)[0] for one in along]
    together = torch.autograd.grad(layer(inputs), inputs, along, is_grads_batched=True)[0]
    torch.testing.assert_close(together, torch.stack(each))


def test_nothing_is_certified_of_a_batch():
    layer = BatchCentering(3)
    with pytest.raises(TypeError, match="it subtracts the batch's own mean"):
        lipschitz_bound(layer, (3, 2, 2))
    assert lipschitz_bound(layer.eval(), (3, 2, 2)) == 1.0


def test_examples_are_not_separate_in_training():
    network = nn.Sequential(nn.Linear(4, 3), BatchCentering(3))
    with pytest.raises(ValueError, match=r"1 \(BatchCentering\) subtracts the mean of the batch"):
        check_separable(network)
    check_separable(network.eval())


@pytest.mark.parametrize("training", [True, False])
def test_inputs_of_other_channels_are_refused(training):
    with pytest.raises(RuntimeError):
        BatchCentering(3).train(training)(torch.randn(4, 1, 2, 2))
