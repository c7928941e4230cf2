"""The cached weight: built once, never stale, and with the gradients of a weight that is built anew each time."""

import copy
import io
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.checkpoint import checkpoint

from lipnet.layers import BCOPConv2d, OrthogonalLinear, RKOConv2d, bjorck
from lipnet.layers.convolutions.gram import GramConv2d

# Each is the constructor and one input batch; the linear layers see as many rows as they have features.
LAYERS = {
    "conv": (partial(BCOPConv2d, 3, 4, 3), (2, 3, 4, 5)),
    "conv_stride_groups": (partial(BCOPConv2d, 2, 6, 4, stride=2, groups=2), (2, 2, 4, 6)),
    "conv_k1": (partial(BCOPConv2d, 4, 3, 1), (2, 4, 3, 3)),
    "conv_bjorck": (partial(BCOPConv2d, 4, 3, 2, orthogonalize=bjorck), (2, 4, 3, 4)),
    "conv_rko": (partial(RKOConv2d, 2, 5, 3), (2, 2, 4, 5)),
    "linear_wide": (partial(OrthogonalLinear, 7, 4), (9, 7)),
    "linear_tall": (partial(OrthogonalLinear, 4, 7), (9, 4)),
    "linear_wide_few_rows": (partial(OrthogonalLinear, 9, 4), (3, 9)),
    "linear_tall_few_rows": (partial(OrthogonalLinear, 4, 9), (3, 4)),
    "linear_bjorck": (partial(OrthogonalLinear, 7, 4, orthogonalize=bjorck), (9, 7)),
}
over_layers = pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)


def free(layer: nn.Module) -> nn.Parameter:
    """The free parameter that every kind of layer has."""
    return layer.raw_weight if isinstance(layer, OrthogonalLinear) else layer.raw_matrix


def fresh(layer: nn.Module, make: Callable[[], nn.Module]) -> nn.Module:
    """A new layer with nothing cached and the present values."""
    new = make().to(free(layer).dtype)
    new.load_state_dict({name: value.detach().clone() for name, value in layer.state_dict().items()})
    return new


def count_builds(layer: nn.Module) -> Callable[[], float]:
    """Wraps the orthonormalisation; a convolution of more than one tap calls it twice for one weight."""
    calls, orthogonalize = [], layer.orthogonalize

    def counting(matrix: torch.Tensor) -> torch.Tensor:
        calls.append(matrix.shape)
        return orthogonalize(matrix)

    layer.orthogonalize = counting
    has_projectors = isinstance(layer, BCOPConv2d) and layer.raw_projectors.numel() > 0
    return lambda: len(calls) / (2 if has_projectors else 1)


@over_layers
def test_built_once_a_training_step(make, shape):
    layer, optimizer_steps = make(), 3
    builds = count_builds(layer)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    for step in range(optimizer_steps):
        optimizer.zero_grad()
        total = sum(layer(torch.randn(shape)).pow(4).sum() for _ in range(4)) + layer.weight.sum()
        total.backward()
        assert builds() == step + 1
        optimizer.step()


@over_layers
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_built_once_in_an_evaluation(make, shape, mode):
    layer = make().eval()
    builds = count_builds(layer)
    with mode():
        for _ in range(4):
            layer(torch.randn(shape))
        layer.weight.sum()
    assert builds() == 1


@over_layers
def test_evaluation_between_two_losses_costs_no_build(make, shape):
    layer = make()
    builds = count_builds(layer)
    for _ in range(2):
        layer(torch.randn(shape)).pow(4).sum().backward()
        with torch.no_grad():
            layer(torch.randn(shape))
        layer.eval()
        layer(torch.randn(shape))
        layer.train()
    assert builds() == 1


def test_few_rows_factorise_once_a_training_step(monkeypatch):
    """With fewer rows than features the linear layer trains through the factor alone, which is cached likewise."""
    from lipnet.layers.dense import orthogonal as linear

    calls, factorise = [], linear.inverse_cholesky_factor
    monkeypatch.setattr(linear, "inverse_cholesky_factor", lambda *given: calls.append(given) or factorise(*given))
    layer = OrthogonalLinear(9, 4)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.01)
    for step in range(3):
        optimizer.zero_grad()
        for _ in range(4):
            layer(torch.randn(3, 9)).pow(4).sum().backward()
        assert len(calls) == step + 1
        optimizer.step()


def step_with(optimizer: Callable[..., torch.optim.Optimizer]) -> Callable:
    def change(layer: nn.Module, shape: tuple[int, ...]) -> None:
        made = optimizer(layer.parameters(), lr=0.02)
        for _ in range(2):
            made.zero_grad()
            layer(torch.randn(shape)).pow(4).sum().backward()
            made.step()

    return change


def load(layer: nn.Module, shape: tuple[int, ...], assign: bool = False) -> None:
    values = {name: value + 0.1 * torch.randn_like(value) for name, value in layer.state_dict().items()}
    layer.load_state_dict(values, assign=assign)


@torch.no_grad()
def edit_in_place(layer: nn.Module, shape: tuple[int, ...]) -> None:
    free(layer).add_(0.1 * torch.randn_like(free(layer)))


def edit_data(layer: nn.Module, shape: tuple[int, ...]) -> None:
    free(layer).data.add_(0.1 * torch.randn_like(free(layer)))


def edit_one_element(layer: nn.Module, shape: tuple[int, ...], position: int) -> None:
    free(layer).data.view(-1)[position] += 1e-3


def edit_biggest_parameter(layer: nn.Module, shape: tuple[int, ...]) -> None:
    max(layer.parameters(), key=torch.Tensor.numel).data.view(-1)[5] += 1e-3


def swap_two_elements(layer: nn.Module, shape: tuple[int, ...]) -> None:
    row = free(layer).data.flatten(0, -2)[0]
    row[:2] = row[:2].flip(0)


def assign_data(layer: nn.Module, shape: tuple[int, ...]) -> None:
    free(layer).data = torch.randn_like(free(layer))


def replace_parameters(layer: nn.Module, shape: tuple[int, ...]) -> None:
    for name, parameter in list(layer.named_parameters()):
        setattr(layer, name, nn.Parameter(parameter.detach() + 0.1 * torch.randn_like(parameter)))


def edit_as_double(layer: nn.Module, shape: tuple[int, ...]) -> None:
    layer.double()
    edit_data(layer, shape)
    layer.float()


def edit_while_evaluating(layer: nn.Module, shape: tuple[int, ...]) -> None:
    layer.eval()
    with torch.inference_mode():
        layer(torch.randn(shape))
    edit_data(layer, shape)
    with torch.no_grad():
        layer(torch.randn(shape))
    edit_data(layer, shape)
    layer.train()


def edit_in_inference_mode(layer: nn.Module, shape: tuple[int, ...]) -> None:
    with torch.inference_mode():
        free(layer).add_(0.1)
        layer(torch.randn(shape))
        free(layer).add_(0.1 * torch.randn_like(free(layer)))


CHANGES = {
    "adam": step_with(torch.optim.Adam),
    "adam_fused": step_with(partial(torch.optim.Adam, fused=True)),
    "adam_foreach": step_with(partial(torch.optim.Adam, foreach=True)),
    "adamw": step_with(partial(torch.optim.AdamW, fused=True)),
    "sgd": step_with(torch.optim.SGD),
    "sgd_momentum": step_with(partial(torch.optim.SGD, momentum=0.9)),
    "rmsprop": step_with(torch.optim.RMSprop),
    "load_state_dict": load,
    "load_state_dict_assign": partial(load, assign=True),
    "in_place": edit_in_place,
    "data": edit_data,
    "data_first_element": partial(edit_one_element, position=0),
    "data_last_element": partial(edit_one_element, position=-1),
    "data_inner_element": partial(edit_one_element, position=7),
    "data_of_the_biggest": edit_biggest_parameter,
    "data_swap": swap_two_elements,
    "data_assigned": assign_data,
    "parameters_replaced": replace_parameters,
    "as_double_and_back": edit_as_double,
    "while_evaluating": edit_while_evaluating,
    "in_inference_mode": edit_in_inference_mode,
}


@over_layers
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no_grad"])
def test_never_stale(make, shape, change, grad):
    layer, inputs = make(), torch.randn(shape)
    with torch.set_grad_enabled(grad):
        before = layer.weight.detach().clone()
        layer(inputs)
    change(layer, shape)
    with torch.set_grad_enabled(grad):
        expected = fresh(layer, make)
        assert torch.equal(layer.weight, expected.weight)
        assert torch.equal(layer(inputs), expected(inputs))
        assert layer.weight.requires_grad == grad
    assert not torch.equal(layer.weight, before)


@over_layers
def test_never_stale_across_dtypes(make, shape):
    layer = make()
    for dtype in (torch.float32, torch.float64, torch.float32, torch.float64):
        layer.to(dtype)
        assert layer.weight.dtype == dtype
        assert torch.equal(layer.weight, fresh(layer, make).weight)
        assert layer(torch.randn(shape, dtype=dtype)).dtype == dtype


def reload(layer: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = {"deepcopy": copy.deepcopy, "save_and_load": reload}


@over_layers
@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("cached", ["training", "evaluation", "nothing"])
def test_copies_share_nothing(make, shape, make_copy, cached):
    layer = make()
    if cached != "nothing":
        with torch.set_grad_enabled(cached == "training"):
            layer(torch.randn(shape)), layer.weight
    twin, before = make_copy(layer), fresh(layer, make).weight
    assert torch.equal(twin.weight, before)
    for changed, other in ((layer, twin), (twin, layer)):
        untouched = fresh(other, make).weight
        edit_data(changed, shape)
        assert torch.equal(other.weight, untouched)
        assert torch.equal(changed.weight, fresh(changed, make).weight)
        assert not torch.equal(changed.weight, untouched)
    twin(torch.randn(shape)).pow(4).sum().backward()
    assert all(parameter.grad is None for parameter in layer.parameters())


@over_layers
@pytest.mark.parametrize("first", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_trains_after_an_evaluation(make, shape, first, mode):
    layer, inputs = getattr(make(), mode)(), torch.randn(shape)
    with first():
        layer(inputs), layer.weight
    gradients = torch.autograd.grad(layer(inputs).pow(4).sum(), used(layer))
    expected = fresh(layer, make).train(layer.training)
    torch.testing.assert_close(
        gradients, torch.autograd.grad(expected(inputs).pow(4).sum(), used(expected)), atol=0, rtol=0
    )


def used(layer: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in layer.parameters() if parameter.numel()]


@over_layers
def test_train_and_eval_give_the_same_weight(make, shape):
    layer = make()
    trained = layer.train().weight.detach().clone()
    assert torch.equal(layer.eval().weight, trained)
    assert torch.equal(layer.train().weight, trained)


@over_layers
@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no_grad"])
def test_exact_under_autocast(make, shape, grad):
    layer = make()
    with torch.set_grad_enabled(grad), torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = layer(torch.randn(shape))
        weight = layer.weight
    assert outputs.isfinite().all()
    assert weight.dtype == torch.float32
    assert torch.equal(weight, fresh(layer, make).weight)


@over_layers
def test_trains_under_autocast(make, shape):
    layer, inputs = make(), torch.randn(shape)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = layer(inputs).float().pow(4).sum()
    gradients = torch.autograd.grad(loss, used(layer))
    expected = torch.autograd.grad(layer(inputs).pow(4).sum(), used(layer))
    for gradient, exact in zip(gradients, expected, strict=True):
        assert gradient.dtype == torch.float32
        assert float((gradient - exact).norm()) <= 0.05 * float(exact.norm()) + 1e-3


def losses(layer: nn.Module, shape: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    batches = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3)]
    return [layer(batch).pow(4).sum() for batch in batches]


@over_layers
def test_separate_backward_calls_add_up(make, shape):
    """Forward all, then backward one by one, all through one cached weight."""
    layer = make().double()
    for loss in losses(layer, shape):
        loss.backward()
    other = fresh(layer, make)
    expected = torch.autograd.grad(sum(losses(other, shape)), used(other))
    torch.testing.assert_close([parameter.grad for parameter in used(layer)], list(expected))


@over_layers
def test_gradient_accumulation(make, shape):
    """Forward and backward in turn, twice over."""
    layer = make().double()
    generator = torch.Generator().manual_seed(3)
    for _ in range(3):
        layer(torch.randn(shape, generator=generator, dtype=torch.float64)).pow(4).sum().backward()
    other = fresh(layer, make)
    expected = torch.autograd.grad(sum(losses(other, shape)), used(other))
    torch.testing.assert_close([parameter.grad for parameter in used(layer)], list(expected))


@over_layers
def test_grad_twice_with_retain_graph(make, shape):
    layer = make()
    loss = layer(torch.randn(shape)).pow(4).sum()
    first = torch.autograd.grad(loss, used(layer), retain_graph=True)
    second = torch.autograd.grad(loss, used(layer), retain_graph=True)
    torch.testing.assert_close(first, second, atol=0, rtol=0)
    torch.testing.assert_close(torch.autograd.grad(loss, used(layer)), first, atol=0, rtol=0)


def penalty(layer: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    inputs = inputs.detach().requires_grad_()
    gradient = torch.autograd.grad(layer(inputs).pow(4).sum(), inputs, create_graph=True)[0]
    return gradient.flatten(1).norm(dim=1).sub(1).square().sum()


@over_layers
def test_gradient_penalty(make, shape):
    """Double backward with respect to the inputs, against central differences in every parameter's direction."""
    layer, inputs = make().double(), torch.randn(shape, dtype=torch.float64)
    for gradient, parameter in zip(torch.autograd.grad(penalty(layer, inputs), used(layer)), used(layer), strict=True):
        direction = torch.randn_like(parameter)
        values = []
        for sign in (1, -1):
            moved = copy.deepcopy(layer)
            name = next(name for name, value in layer.named_parameters() if value is parameter)
            getattr(moved, name).data.add_(direction, alpha=sign * 1e-5)
            values.append(float(penalty(moved, inputs).detach()))
        slope = (values[0] - values[1]) / 2e-5
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", ["raw_matrix", "raw_projectors", "bias"])
def test_freezing_and_unfreezing_one_parameter(name):
    layer, inputs = BCOPConv2d(4, 3, 3), torch.randn(2, 4, 4, 4)
    for frozen in (True, False, True, False):
        getattr(layer, name).requires_grad_(not frozen)
        layer.zero_grad()
        layer(inputs).pow(4).sum().backward()
        without_gradient = {key for key, parameter in layer.named_parameters() if parameter.grad is None}
        assert without_gradient == ({name} if frozen else set())


@over_layers
def test_freezing_the_layer(make, shape):
    layer = make().requires_grad_(False)
    builds = count_builds(layer)
    inputs = torch.randn(shape, requires_grad=True)
    for _ in range(2):
        layer(inputs).pow(4).sum().backward()
    assert builds() == 1
    assert inputs.grad is not None
    layer.requires_grad_(True)
    layer(inputs).pow(4).sum().backward()
    assert all(parameter.grad is not None for parameter in used(layer))


@over_layers
def test_copy_made_in_inference_mode(make, shape):
    """As a certification in float64 would: its parameters are inference tensors, which have no version."""
    layer = make()
    inputs = torch.randn(shape)
    with torch.inference_mode():
        twin = copy.deepcopy(layer)
        assert torch.equal(twin(inputs), layer(inputs))
        edit_data(twin, shape)
        assert torch.equal(twin.weight, fresh(twin, make).weight)


@over_layers
@pytest.mark.parametrize("use_reentrant", [True, False])
def test_activation_checkpointing(make, shape, use_reentrant):
    layer = make().double()
    inputs = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected = torch.autograd.grad(fresh(layer, make)(inputs).pow(4).sum(), inputs)
    checkpoint(layer, inputs, use_reentrant=use_reentrant).pow(4).sum().backward()
    torch.testing.assert_close(inputs.grad, expected[0])
    other = fresh(layer, make)
    gradients = torch.autograd.grad(other(inputs).pow(4).sum(), used(other))
    torch.testing.assert_close([parameter.grad for parameter in used(layer)], list(gradients))


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (partial(BCOPConv2d, 3, 4, 3), ["raw_matrix", "raw_projectors", "bias"]),
        (partial(BCOPConv2d, 3, 4, 3, bias=False), ["raw_matrix", "raw_projectors"]),
        (partial(OrthogonalLinear, 3, 4), ["raw_weight", "bias"]),
        (partial(OrthogonalLinear, 3, 4, bias=False), ["raw_weight"]),
    ],
)
def test_state_dict_holds_the_learned_parameters_only(make, names):
    layer = make()
    with torch.no_grad():
        layer.weight.sum()
    layer.weight.sum().backward()
    assert sorted(layer.state_dict()) == sorted(names)
    assert sorted(name for name, _ in layer.named_parameters()) == sorted(names)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # the compiler's own look at the cached weight
@pytest.mark.parametrize("name", ["conv", "linear_wide", "linear_wide_few_rows"])
def test_compiled(name):
    make, shape = LAYERS[name]
    layer, inputs = make().double(), torch.randn(LAYERS[name][1], dtype=torch.float64)
    compiled = torch.compile(layer, backend="aot_eager")
    for _ in range(2):
        torch.testing.assert_close(compiled(inputs), layer(inputs))
        expected = torch.autograd.grad(layer(inputs).pow(4).sum(), used(layer))
        torch.testing.assert_close(torch.autograd.grad(compiled(inputs).pow(4).sum(), used(layer)), expected)
        edit_data(layer, shape)


@over_layers
def test_sees_edits_of_parameters_that_are_not_contiguous(make, shape):
    layer, inputs = make().eval(), torch.randn(shape)
    for parameter in layer.parameters():
        if parameter.dim() > 1 and parameter.numel():
            parameter.data = parameter.data.mT.contiguous().mT
    for parameter in layer.parameters():
        if parameter.dim() > 1 and parameter.numel():
            before = layer(inputs).detach().clone()
            parameter.data[..., -1, -1] += 0.5
            after = layer(inputs).detach()
            torch.testing.assert_close(after, fresh(layer, make).eval()(inputs).detach())
            assert not torch.equal(after, before) or min(parameter.shape[-2:]) == 1


def test_sees_every_element_and_every_order_of_a_large_matrix():
    layer = OrthogonalLinear(130, 70).eval()
    inputs = torch.randn(2, 130)
    for edit in (
        lambda values: values[37, 101].add_(1e-3),
        lambda values: values.copy_(values.flip(1)),
        lambda values: values.copy_(values[:, torch.randperm(130)]),
        lambda values: values.copy_(values.flip(0)),
    ):
        before = layer(inputs).detach().clone()
        edit(layer.raw_weight.data)
        after = layer(inputs).detach()
        assert not torch.equal(after, before)
        torch.testing.assert_close(after, fresh(layer, lambda: OrthogonalLinear(130, 70)).eval()(inputs).detach())


def test_the_compiler_is_imported_only_to_compile():
    """It takes as long as torch does."""
    ask = "import sys, lipnet.layers, lipnet.certify, lipnet.runs.load; print('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout == "False\n"


def test_what_an_operation_saves_of_its_own_outputs_is_freed():
    """Saved as they are by hooks that do nothing, they would hold on to themselves."""
    storages = []

    class Exponential(GramConv2d):
        def build_weight(self, raw):
            middle = raw.exp()  # which saves its result
            storages.append(StorageWeakRef(middle.untyped_storage()))
            return middle / 2

    layer = Exponential(2, 2, 3, image_size=4)
    for _ in range(2):
        layer(torch.rand(2, 2, 4, 4))  # without a backward pass, which would free it in any case
        with torch.no_grad():
            layer.raw_weight.add_(1.0)
    del layer
    assert len(storages) == 2
    assert [storage.expired() for storage in storages] == [True, True]
