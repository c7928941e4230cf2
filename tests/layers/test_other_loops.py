"""Inside other people's loops: each of these works with every layer, or says in one sentence what to use instead."""

import copy
import threading

import pytest
import torch
from layer_table import LAYERS
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.checkpoint import checkpoint

from lipnet import to_plain
from lipnet.certify import lipschitz_bound
from lipnet.layers import BCOPConv2d, MaxMin, OrthogonalLinear
from lipnet.layers.constrained import Estimated

ROWS = {name: (make, shape) for name, make, shape, *_ in LAYERS}
LEARNED = {name: row for name, row in ROWS.items() if any(True for _ in row[0]().parameters())}
over_learned = pytest.mark.parametrize(("make", "shape"), LEARNED.values(), ids=LEARNED)
over_layers = pytest.mark.parametrize(("make", "shape"), ROWS.values(), ids=ROWS)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        BCOPConv2d(1, 4, 3), MaxMin(), nn.Flatten(), OrthogonalLinear(64, 6), MaxMin(), OrthogonalLinear(6, 3)
    )


def images(count=3):
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*:FutureWarning", "ignore::torch.jit.TracerWarning")
@over_layers
def test_traced_by_the_older_tracer(make, shape):
    """In evaluation, where the weights are fixed; a traced layer is a snapshot, as ``to_plain``'s."""
    layer, inputs = make().eval(), torch.rand(2, *shape)
    with torch.no_grad():
        traced = torch.jit.trace(layer, inputs, check_trace=False)
        assert torch.allclose(traced(inputs), layer(inputs), atol=1e-6)


@over_layers
def test_a_plain_network_is_traced_by_fx(make, shape):
    plain = to_plain(make().eval(), blocked=False)
    tracer = torch.fx.Tracer()
    tracer.is_leaf_module = lambda module, name: type(module).__module__.startswith("lipnet") or not name
    inputs = torch.rand(2, *shape)
    traced = torch.fx.GraphModule(nn.Sequential(plain), tracer.trace(nn.Sequential(plain)))
    assert torch.allclose(traced(inputs), plain(inputs))


@pytest.mark.parametrize("reentrant", [False, True])
@over_layers
def test_checkpointed_activations_have_the_same_gradients(make, shape, reentrant):
    """The older kind, which runs the first pass without gradients, moves a layer's estimate of its norm once more."""
    torch.manual_seed(0)
    layer = make().train()
    if reentrant and any(isinstance(part, Estimated) for part in layer.modules()):
        pytest.skip("use_reentrant=False is the one to use, as docs/python.md says")
    other = copy.deepcopy(layer)
    inputs = torch.rand(2, *shape, requires_grad=True)
    again = inputs.detach().clone().requires_grad_()
    layer(inputs).square().sum().backward()
    checkpoint(other, again, use_reentrant=reentrant).square().sum().backward()
    assert torch.allclose(inputs.grad, again.grad, atol=1e-5)
    for one, two in zip(layer.parameters(), other.parameters(), strict=True):
        assert (one.grad is None) == (two.grad is None)
        assert one.grad is None or torch.allclose(one.grad, two.grad, atol=1e-5)


@over_learned
def test_averaged_over_training(make, shape):
    """Of the averaged parameters a layer makes its own constrained weight: the average has the bound of any."""
    torch.manual_seed(0)
    layer = make()
    averaged = AveragedModel(layer)
    for _ in range(3):
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        averaged.update_parameters(layer)
    plain = averaged.module.eval()
    assert lipschitz_bound(plain, shape) >= 0
    assert bool(torch.isfinite(plain(torch.rand(2, *shape))).all())


def test_threads_share_a_network_in_evaluation():
    model = network().eval()
    inputs = images(8)
    wanted, found = model(inputs), {}

    def answer(number):
        with torch.no_grad():
            found[number] = [model(inputs) for _ in range(10)]

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(torch.equal(output, wanted) for outputs in found.values() for output in outputs)


def test_threads_that_are_first_to_ask_for_the_weights_of_a_fresh_network():
    model, inputs, found = network().eval(), images(), []
    threads = [threading.Thread(target=lambda: found.append(model(inputs).detach())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(output, found[0]) for output in found)


@over_layers
def test_made_on_the_meta_device_and_loaded_strictly(make, shape):
    torch.manual_seed(0)
    real = make().eval()
    with torch.device("meta"):
        layer = make()
    layer = layer.to_empty(device="cpu").eval()
    layer.load_state_dict(real.state_dict(), strict=True)
    inputs = torch.rand(2, *shape)
    if real.state_dict() or not list(real.buffers()):
        assert torch.allclose(layer(inputs), real(inputs), atol=1e-6)


@over_layers
def test_made_where_another_device_is_the_default(make, shape):
    torch.set_default_device("cpu")
    try:
        layer = make()
        assert layer(torch.rand(2, *shape)).device.type == "cpu"
    finally:
        torch.set_default_device(None)
    with torch.device("meta"):
        layer = make()
    assert all(parameter.is_meta for parameter in layer.parameters())


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
@pytest.mark.parametrize("transform", ["grad", "vmap", "jvp", "jacrev"])
def test_whole_networks_under_torch_func(transform):
    model, inputs = network().eval().double(), images().double()
    plain = to_plain(model)

    def one(function):
        loss = lambda x: function(x[None])[0].square().sum()  # noqa: E731
        if transform == "grad":
            return torch.func.grad(loss)(inputs[0])
        if transform == "vmap":
            return torch.func.vmap(torch.func.grad(loss))(inputs)
        if transform == "jvp":
            return torch.func.jvp(lambda x: function(x[None])[0], (inputs[0],), (inputs[1],))[1]
        return torch.func.jacrev(lambda x: function(x[None])[0])(inputs[0])

    assert torch.allclose(one(model), one(plain), atol=1e-10)
