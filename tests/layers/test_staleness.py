"""No layer ever uses a weight of other parameters than it has: random edits, threads, replicas, edits of the weight."""

import copy
import ctypes
import gc
import pickle
import random
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest
import torch
from layer_table import others
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from lipnet.layers import (
    BCOPConv2d,
    L2NEConv2d,
    OrthogonalLinear,
    OSSNConv2d,
    RKOConv2d,
    SpectralLinear,
    SVCMConv2d,
    UnitRowLinear,
    bjorck,
    cholesky,
)
from lipnet.layers.constrained import Constrained, Estimated

SIZE = (4, 6)
LAYERS = {
    "bcop": (partial(BCOPConv2d, 4, 4, 3), (2, 4, 4, 5)),
    "rko": (partial(RKOConv2d, 2, 4, 3), (2, 2, 4, 5)),
    "l2ne": (partial(L2NEConv2d, 2, 4, 3), (2, 2, 4, 5)),
    "ossn": (partial(OSSNConv2d, 2, 4, 3, image_size=SIZE), (2, 2, *SIZE)),
    "svcm": (partial(SVCMConv2d, 2, 4, 3, image_size=SIZE, iterations=3), (2, 2, *SIZE)),
    "linear": (partial(OrthogonalLinear, 6, 4), (9, 6)),
    "linear_few_rows": (partial(OrthogonalLinear, 8, 4), (3, 8)),
    "linear_square": (partial(OrthogonalLinear, 4, 4), (2, 4)),
    "linear_large": (partial(OrthogonalLinear, 130, 70), (2, 130)),
    "linear_bjorck": (partial(OrthogonalLinear, 6, 4, orthogonalize=bjorck), (2, 6)),
    "spectral": (partial(SpectralLinear, 6, 4), (2, 6)),
    "unit_rows": (partial(UnitRowLinear, 6, 4), (2, 6)),
}
LAYERS |= {
    name: (make, (2, *shape))
    for name, (make, shape) in others(make for make, _ in LAYERS.values()).items()
    if isinstance(make(), Constrained)
}
over_layers = pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)


def name_of(layer: nn.Module) -> str:
    return random.choice([name for name, value in layer.named_parameters() if value.dim() > 1 and value.numel()])


def raw(layer: nn.Module) -> nn.Parameter:
    return getattr(layer, name_of(layer))


def rows(values: Tensor) -> Tensor:
    return values.view(-1, values.shape[-1])


def negate_a_row(layer: nn.Module) -> None:
    rows(raw(layer).data)[random.randrange(2)].neg_()


def negate_everything(layer: nn.Module) -> None:
    raw(layer).data.neg_()


def swap_within_a_row(layer: nn.Module) -> None:
    row = rows(raw(layer).data)[-1]
    row.copy_(row.flip(0))


def reverse_rows(layer: nn.Module) -> None:
    values = rows(raw(layer).data)
    values.copy_(values.flip(0))


def last_bit(layer: nn.Module) -> None:
    values = raw(layer).data.view(-1)
    values[random.randrange(len(values))].mul_(1 + 2 * torch.finfo(values.dtype).eps)


@torch.no_grad()
def add_in_place(layer: nn.Module) -> None:
    raw(layer).add_(0.1)


def through_numpy(layer: nn.Module) -> None:
    raw(layer).detach().numpy().flat[random.randrange(4)] += 0.25


def through_memory(layer: nn.Module) -> None:
    """As another process would through shared memory: nothing of torch takes part."""
    parameter = raw(layer)
    ctypes.memset(parameter.data_ptr() + random.randrange(4) * parameter.element_size(), 0x3D, 2)


def through_an_old_alias(layer: nn.Module) -> None:
    layer.aliases[name_of(layer)].view(-1)[3] += 0.25


@torch.no_grad()
def through_a_view(layer: nn.Module) -> None:
    rows(raw(layer))[0].mul_(1.5)


def swap_data(layer: nn.Module) -> None:
    parameter = raw(layer)
    parameter.data = parameter.data + 0.1 * torch.randn_like(parameter)


def transpose_data(layer: nn.Module) -> None:
    parameter = raw(layer)
    if parameter.shape[-1] == parameter.shape[-2]:
        parameter.data = parameter.data.mT
    else:
        swap_data(layer)


def set_source(layer: nn.Module) -> None:
    parameter = raw(layer)
    other = parameter.detach() + 0.1 * torch.randn_like(parameter)
    with torch.no_grad():
        parameter.set_(other)


def resize_storage(layer: nn.Module) -> None:
    """Freed and filled again, as sharded training does it."""
    parameter = raw(layer)
    values, storage = parameter.detach().clone(), parameter.untyped_storage()
    size = storage.nbytes()
    if size > parameter.nbytes or not storage.resizable():  # other parameters, or NumPy, use it as well
        return
    storage.resize_(0)
    storage.resize_(size)
    parameter.data.copy_(values + 0.1)


def load(layer: nn.Module, assign: bool) -> None:
    state = {name: value + 0.1 * torch.randn_like(value) if value.dim() else value
             for name, value in layer.state_dict().items()}  # fmt: skip
    layer.load_state_dict(state, assign=assign)


def from_vector(layer: nn.Module) -> None:
    vector = parameters_to_vector(layer.parameters()).detach()
    vector_to_parameters(vector + 0.1 * torch.randn_like(vector), layer.parameters())


def in_inference_mode(layer: nn.Module) -> None:
    with torch.inference_mode():
        parameter = raw(layer)
        parameter.copy_(parameter + 0.1 * torch.randn_like(parameter))


def there_and_back(layer: nn.Module) -> None:
    layer.double()
    add_in_place(layer)
    layer.float()


def replace_parameter(layer: nn.Module) -> None:
    name = name_of(layer)
    setattr(layer, name, nn.Parameter(getattr(layer, name).detach() * 1.5 + 0.1))


def optimizer_step(layer: nn.Module, fused: bool) -> None:
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05, fused=fused)
    for parameter in layer.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    optimizer.zero_grad()


def other_values_for_one_call(layer: nn.Module) -> None:
    values = {name: value.detach() + 0.3 for name, value in layer.named_parameters()}
    functional_call(layer, values, (layer.inputs,))


@torch.no_grad()
def edit_the_weight(layer: nn.Module) -> None:
    layer.weight.mul_(5)


def edit_the_weight_unseen(layer: nn.Module) -> None:
    layer.weight.data.mul_(5)
    layer.weight.detach().numpy().fill(1.0)


def edit_the_weight_with_gradients(layer: nn.Module) -> None:
    with suppress(RuntimeError):  # torch refuses it of some
        weight = layer.weight
        weight.mul_(5)


def nothing(layer: nn.Module) -> None:
    pass


EDITS: dict[str, Callable[[nn.Module], None]] = {
    "negate_a_row": negate_a_row,
    "negate_everything": negate_everything,
    "swap_within_a_row": swap_within_a_row,
    "reverse_rows": reverse_rows,
    "last_bit": last_bit,
    "add_in_place": add_in_place,
    "through_numpy": through_numpy,
    "through_memory": through_memory,
    "through_an_old_alias": through_an_old_alias,
    "through_a_view": through_a_view,
    "swap_data": swap_data,
    "transpose_data": transpose_data,
    "set_source": set_source,
    "resize_storage": resize_storage,
    "load_state_dict": partial(load, assign=False),
    "load_state_dict_assign": partial(load, assign=True),
    "from_vector": from_vector,
    "in_inference_mode": in_inference_mode,
    "there_and_back": there_and_back,
    "replace_parameter": replace_parameter,
    "adam": partial(optimizer_step, fused=False),
    "adam_fused": partial(optimizer_step, fused=True),
    "other_values_for_one_call": other_values_for_one_call,
    "edit_the_weight": edit_the_weight,
    "edit_the_weight_unseen": edit_the_weight_unseen,
    "edit_the_weight_with_gradients": edit_the_weight_with_gradients,
    "nothing": nothing,
}
MODES: dict[str, tuple[bool, Callable]] = {
    "train": (True, torch.enable_grad),
    "train_no_grad": (True, torch.no_grad),
    "eval": (False, torch.enable_grad),
    "eval_no_grad": (False, torch.no_grad),
    "eval_inference_mode": (False, torch.inference_mode),
}


def prepared(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> nn.Module:
    layer = make()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(2).add_(0.1 * torch.randn_like(parameter))
    object.__setattr__(layer, "inputs", torch.randn(shape))
    remember(layer)
    return layer


def remember(layer: nn.Module) -> None:
    object.__setattr__(layer, "aliases", {name: value.data for name, value in layer.named_parameters()})


def check(layer: nn.Module, mode: str, edits: list[str]) -> None:
    training, grad = MODES[mode]
    layer.train(training)
    twin = copy.deepcopy(layer)  # before the layer builds: an estimate iterates on from the last vector
    for name, value in twin.named_parameters():
        assert torch.equal(value, dict(layer.named_parameters())[name])
    with grad():
        estimated = training and torch.is_grad_enabled() and isinstance(layer, Estimated)
        expected, found = twin(layer.inputs), layer(layer.inputs)
        if estimated:  # an unchanged weight is not built again, with more iterations
            torch.testing.assert_close(found, expected, rtol=0.2, atol=0.2, msg=f"{mode} after {edits}")
            return
        assert torch.equal(found, expected), f"{mode} after {edits}"
        assert torch.equal(layer.weight, twin.weight), f"{mode} after {edits}"


@over_layers
@pytest.mark.parametrize("mode", MODES)
def test_every_edit_in_every_mode(make, shape, mode):
    training, grad = MODES[mode]
    for name, edit in EDITS.items():
        random.seed(0)
        layer = prepared(make, shape)
        layer.train(training)
        with grad():
            layer(layer.inputs), layer.weight
        edit(layer)
        check(layer, mode, [name])


@over_layers
@pytest.mark.parametrize("seed", range(6))
def test_random_sequences_of_edits(make, shape, seed):
    """Modes and edits in random order: what one mode has cached must not serve another."""
    random.seed(seed)
    torch.manual_seed(seed)
    layer, done = prepared(make, shape), []
    for _ in range(25):
        for edit in random.choices(list(EDITS), k=random.randint(1, 3)):
            EDITS[edit](layer)
            done.append(edit)
            for parameter in layer.parameters():  # which a transposed one is not
                parameter.data = parameter.data.contiguous()
            remember(layer)
        check(layer, random.choice(list(MODES)), done)


def test_sign_flips_of_a_whole_row_in_float64():
    layer = OrthogonalLinear(128, 128).double().eval()
    inputs = torch.randn(3, 128, dtype=torch.float64)
    before = layer(inputs).detach()
    layer.raw_weight.data[1].neg_()
    after = layer(inputs).detach()
    assert torch.equal(after, copy.deepcopy(layer)(inputs).detach())
    assert float((after - before).abs().max()) > 0.1


@pytest.mark.parametrize("value", [float("nan"), -0.0])
def test_values_that_equal_or_differ_from_themselves(value):
    """NaN is compared by its bits, so that it is no new value at each use; -0.0 is not 0.0."""
    layer = UnitRowLinear(4, 3).eval()
    with torch.no_grad():
        layer.raw_weight[0, 0] = 0.0
    first = layer.weight
    layer.raw_weight.data[0, 0] = value
    assert torch.equal(layer.effective_weight().view(torch.int32), copy.deepcopy(layer).weight.view(torch.int32))
    assert not torch.equal(first.view(torch.int32), layer.weight.view(torch.int32))
    assert layer.effective_weight() is not first
    assert layer.effective_weight().data_ptr() == layer.effective_weight().data_ptr()


SETTINGS = [
    (partial(OrthogonalLinear, 5, 4), "orthogonalize", bjorck),
    (partial(BCOPConv2d, 4, 4, 3, orthogonalize=bjorck), "orthogonalize", cholesky),
    (partial(OSSNConv2d, 2, 4, 3, image_size=SIZE, padding_mode="zeros"), "image_size", (3, 4)),
    (partial(SVCMConv2d, 2, 4, 3, image_size=SIZE, iterations=1), "iterations", 40),
]


@pytest.mark.parametrize(("make", "name", "value"), SETTINGS)
def test_other_settings_are_seen(make, name, value):
    layer = make().eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(3).add_(0.2 * torch.randn_like(parameter))
    before = layer.weight
    setattr(layer, name, value)
    assert torch.equal(layer.weight, copy.deepcopy(layer).weight)
    assert not torch.equal(layer.weight, before)


def test_gradients_flow_through_a_weight_that_was_handed_out():
    """``layer.weight`` is the weight that the layer trains with, until somebody edits it."""
    layer = RKOConv2d(2, 4, 3)
    outputs = layer(torch.randn(2, 2, 4, 4)).pow(2).sum()
    assert torch.autograd.grad(outputs, layer.weight)[0].abs().sum() > 0


@over_layers
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_threads_at_a_first_use(make, shape, training):
    """All find one weight, and an estimate is iterated once."""
    workers, inputs = 4, torch.randn(shape)
    with ThreadPoolExecutor(workers) as pool:
        for _ in range(10):
            layer = make().train(training)
            twin, barrier = copy.deepcopy(layer), threading.Barrier(workers)
            expected = twin(inputs)

            def use(layer: nn.Module = layer, barrier: threading.Barrier = barrier) -> Tensor:
                barrier.wait()
                return layer(inputs)

            for found in [task.result() for task in [pool.submit(use) for _ in range(workers)]]:
                assert torch.equal(found, expected)
            for buffer, other in zip(layer.buffers(), twin.buffers(), strict=True):
                assert torch.equal(buffer, other)


def test_threads_while_parameters_change():
    """A weight built while another thread edits is not believed afterwards."""
    layer, inputs, stop = OrthogonalLinear(16, 16).eval(), torch.randn(2, 16), threading.Event()

    def edit() -> None:
        while not stop.is_set():
            layer.raw_weight.data.add_(0.01 * torch.randn(16, 16))

    for _ in range(5):
        stop.clear()
        editor = threading.Thread(target=edit)
        editor.start()
        with torch.no_grad():
            for _ in range(40):
                layer(inputs)
            stop.set()
            editor.join()
            assert torch.equal(layer(inputs), copy.deepcopy(layer)(inputs))


def data_parallel(layer: nn.Module) -> nn.Module:
    """As ``nn.DataParallel`` copies modules to a device: their attributes, with parameters of another device."""
    twin = layer._replicate_for_data_parallel()
    for name, value in layer.named_parameters():
        setattr(twin, name, value.detach().clone())
    for name, value in layer.named_buffers():
        setattr(twin, name, value.clone())
    return twin


def shallow(layer: nn.Module) -> nn.Module:
    twin = copy.copy(layer)
    twin._parameters = {name: nn.Parameter(value.detach().clone()) for name, value in layer._parameters.items()}
    twin._buffers = {name: value.clone() for name, value in layer._buffers.items()}
    return twin


def by_attributes(layer: nn.Module) -> nn.Module:
    twin = shallow(layer)
    fresh = type(layer).__new__(type(layer))
    fresh.__dict__.update(twin.__dict__)
    return fresh


COPIES = {
    "data_parallel": data_parallel,
    "copy": shallow,
    "attributes": by_attributes,
    "deepcopy": copy.deepcopy,
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
}


@over_layers
@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_replicas_share_no_cache(make, shape, make_copy, training):
    """Several copies with parameters of their own, in threads and in turn."""
    layer, inputs = make().train(training), torch.randn(shape)
    layer(inputs)
    twins = [make_copy(layer) for _ in range(3)]
    for number, twin in enumerate(twins):
        name = name_of(layer)
        getattr(twin, name).data.add_(0.1 * (number + 1) * torch.randn_like(getattr(layer, name)))
    everyone = [layer, *twins]
    with torch.no_grad(), ThreadPoolExecutor(len(everyone)) as pool:
        expected = [copy_values(make(), each)(inputs) for each in everyone]
        for _ in range(5):
            tasks = [pool.submit(torch.no_grad()(each), inputs) for each in everyone]
            for task, output in zip(tasks, expected, strict=True):
                assert torch.equal(task.result(), output)


def copy_values(new: nn.Module, old: nn.Module) -> nn.Module:
    for name, value in [*new.named_parameters(), *new.named_buffers()]:
        value.data.copy_(getattr(old, name).data)
    return new.train(old.training)


@over_layers
def test_a_dropped_layer_is_freed_with_its_weight(make, shape):
    """What a cached weight keeps for its backward pass must not refer to the layer."""
    layer = make()
    layer(torch.randn(shape)).sum().backward()
    layer.eval()(torch.randn(shape))
    dropped = weakref.ref(layer)
    weights = [weakref.ref(cache._slots[layer].built) for cache in layer.caches if layer in cache._slots]
    assert weights
    del layer
    gc.collect()
    assert dropped() is None
    assert all(weight() is None for weight in weights)
