"""What makes a module compute something else than its class does is refused by the bound and by ``to_plain``."""

import contextlib
import inspect
import math

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrize, prune

from lipnet import to_plain
from lipnet.certify import certify, lipschitz_bound, pairwise_lipschitz_bounds, rounding_bound, singular_values
from lipnet.certify.faithful import unfaithful
from lipnet.layers import (
    AOCConvTranspose2d,
    BCOPConv2d,
    BlockedConv2d,
    BlockedLinear,
    Concat,
    LearnedShuffle,
    MaxMin,
    Normalize,
    OrthogonalLinear,
    OSSNConv2d,
    PaddedConv2d,
    Residual,
    Sandwich,
    Scale,
    SpectralLinear,
    SVCMConv2d,
)
from lipnet.layers.convolutions.constrained import ConstrainedConv2d
from lipnet.layers.dense.constrained import ConstrainedLinear


def tenfold(module, inputs, output):
    return 10 * output


def hooked(module, register, hook, **options):
    getattr(module, register)(hook, **options)
    return module


def with_attribute(module, name, value):
    vars(module)[name] = value
    return module


def derived(kind, *args, **members):
    return type(f"My{kind.__name__}", (kind,), members)(*args)


class Ten(nn.Module):
    def forward(self, weight):
        return 10 * weight


class Noise(nn.Module):
    def forward(self, weight):
        return weight + torch.randn_like(weight)


def parametrized(module, part):
    parametrize.register_parametrization(module, "weight", part)
    return module.eval()


class Loud(torch.Tensor):
    pass


def of_subclass(module):
    del module._parameters["weight"]
    module.register_buffer("weight", None)
    module._buffers["weight"] = torch.ones(3, 3).as_subclass(Loud)
    return module


def complex_weight(module):
    module.weight = nn.Parameter(module.weight.detach() * (1 + 1j))
    return module


VECTORS = {
    "forward hook": (lambda: hooked(nn.ReLU(), "register_forward_hook", tenfold), "forward hook"),
    "forward hook of a layer": (lambda: hooked(OrthogonalLinear(3, 3), "register_forward_hook", tenfold), "hook"),
    "pre-hook": (lambda: hooked(nn.ReLU(), "register_forward_pre_hook", lambda m, x: 10 * x[0]), "forward hook"),
    "hook that takes names": (
        lambda: hooked(nn.ReLU(), "register_forward_hook", lambda m, x, n, y: 10 * y, with_kwargs=True),
        "forward hook",
    ),
    "hook of a sequence": (lambda: hooked(nn.Sequential(nn.ReLU()), "register_forward_hook", tenfold), "forward hook"),
    "hook of a sum": (lambda: hooked(Residual(nn.ReLU()), "register_forward_hook", tenfold), "forward hook"),
    "pruned": (lambda: prune.l1_unstructured(nn.Linear(3, 3), "weight", 0.5), r"torch\.nn\.utils"),
    "replaced forward": (lambda: with_attribute(nn.ReLU(), "forward", lambda x: 10 * x), "`forward` was replaced"),
    "replaced call": (lambda: with_attribute(nn.ReLU(), "_call_impl", lambda x: 10 * x), "`_call_impl` was replaced"),
    "compiled": (lambda: with_attribute(nn.ReLU(), "_compiled_call_impl", lambda x: 10 * x), r"module\.compile"),
    "tensor subclass": (lambda: of_subclass(nn.Linear(3, 3)), "Loud"),
    "complex": (lambda: complex_weight(nn.Linear(3, 3)), "complex"),
    "random parametrization": (lambda: parametrized(nn.Linear(3, 3), Noise()), "at each call"),
    "training parametrization": (lambda: parametrized(nn.Linear(3, 3), Ten()).train(), r"call \.eval\(\)"),
}


class Sandwich4(Sandwich):
    def __init__(self, features):
        super().__init__(features, features)


class Transposed(AOCConvTranspose2d):
    def __init__(self, channels):
        super().__init__(channels, channels, 2, 2)


OVERRIDDEN = {
    "overridden call": (lambda: derived(nn.ReLU, __call__=lambda self, x: 10 * x), "overrides `__call__`"),
    "overridden iteration": (lambda: derived(nn.Sequential, __iter__=lambda self: iter([Scale(9)])), "`__iter__`"),
    "overridden forward": (
        lambda: derived(OrthogonalLinear, 3, 3, forward=lambda self, x: 2 * x),
        "overrides `forward` of OrthogonalLinear",
    ),
    "overridden weight": (
        lambda: derived(OrthogonalLinear, 3, 3, weight=property(lambda self: torch.ones(3, 3))),
        "overrides `weight`",
    ),
}


@pytest.mark.parametrize("name", [*VECTORS, *OVERRIDDEN])
def test_bounds_of_other_functions_are_refused_by_name(name):
    make, reason = (VECTORS | OVERRIDDEN)[name]
    module = make()
    if name != "training parametrization":
        module.eval()
    network = nn.Sequential(nn.Identity(), module)
    for bound in (lipschitz_bound, pairwise_lipschitz_bounds, lambda *a: rounding_bound(*a, torch.float32)):
        with pytest.raises(
            TypeError, match=rf"no Lipschitz bound for Sequential\.1.* \({type(module).__name__}\).*{reason}"
        ):
            bound(network, (3,))


@pytest.mark.parametrize("name", [name for name in VECTORS if name not in ("replaced forward", "replaced call")])
def test_to_plain_refuses_what_it_would_lose(name):
    make, reason = VECTORS[name]
    network = nn.Sequential(nn.Identity(), make())
    with pytest.raises(TypeError, match=rf"to_plain cannot convert Sequential\.1.*{reason}"):
        to_plain(network)


@pytest.mark.parametrize(
    "make",
    [
        lambda: derived(OrthogonalLinear, 8, 4, forward=lambda self, x: 2 * OrthogonalLinear.forward(self, x)),
        lambda: derived(SpectralLinear, 8, 4, weight=property(lambda self: torch.ones(4, 8))),
        lambda: with_attribute(OrthogonalLinear(8, 4), "forward", lambda x: x),
        lambda: hooked(OrthogonalLinear(8, 4), "register_forward_pre_hook", lambda m, x: 3 * x[0]),
    ],
)
def test_to_plain_refuses_constrained_layers_that_compute_something_else(make):
    with pytest.raises(TypeError, match=r"to_plain cannot convert Sequential\.1 \((MyOrth|Orth|MySpec)"):
        to_plain(nn.Sequential(nn.Flatten(), make()))


@pytest.mark.parametrize(
    "make",
    [
        lambda kind: derived(kind, 4, forward=lambda self, x: 3 * x),
        lambda kind: with_attribute(kind(4), "forward", abs),
    ],
    ids=["overridden", "replaced"],
)
@pytest.mark.parametrize("kind", [LearnedShuffle, Sandwich4, Transposed])
def test_to_plain_refuses_what_is_converted_as_a_whole_where_it_was_changed(kind, make):
    with pytest.raises(TypeError, match=r"to_plain cannot convert Sequential\.0 .*`forward`"):
        to_plain(nn.Sequential(make(kind)).eval())


@pytest.mark.parametrize(
    ("layer", "made"),
    [
        (OrthogonalLinear(8, 4), nn.Linear), (OrthogonalLinear(300, 4), BlockedLinear),
        (BCOPConv2d(2, 2, 3), PaddedConv2d), (BCOPConv2d(40, 2, 3), BlockedConv2d),
    ],
    ids=str,
)  # fmt: skip
def test_to_plain_refuses_to_make_modules_of_a_patched_class(monkeypatch, layer, made):
    """The constrained layer computes as it did; its plain form would not."""
    forward = made.forward
    monkeypatch.setattr(made, "forward", lambda self, inputs: 10 * forward(self, inputs))
    with pytest.raises(TypeError, match=f"to_plain cannot convert .* to {made.__name__}: .*forward"):
        to_plain(nn.Sequential(layer))


def test_to_plain_refuses_constrained_layers_without_a_plain_form():
    from lipnet.layers.constrained import Constrained

    with pytest.raises(TypeError, match="no plain form"):
        to_plain(nn.Sequential(Constrained()))


IMAGES = {
    "overridden convolution": (
        lambda: derived(nn.Conv2d, 3, 3, 1, _conv_forward=lambda self, x, w, b: 10 * functional.conv2d(x, w, b)),
        "overrides `_conv_forward` of Conv2d",
    ),
    "replaced convolution": (
        lambda: with_attribute(nn.Conv2d(3, 3, 1), "_conv_forward", lambda x, w, b: 10 * x),
        "`_conv_forward` was replaced",
    ),
    "hook inside a padded convolution": (
        lambda: nn.Sequential(PaddedConv2d(3, 3, 3)).apply(
            lambda m: isinstance(m, nn.Conv2d) and m.register_forward_hook(tenfold)
        ),
        "its part Conv2d: a forward hook",
    ),
    "another padding": (lambda: with_attribute(PaddedConv2d(3, 3, 3), "padding_mode", "reflect"), "'reflect'"),
    "another padding of BCOP": (lambda: with_attribute(BCOPConv2d(3, 3, 3), "padding_mode", "reflect"), "'reflect'"),
    "training OSSN": (lambda: OSSNConv2d(3, 3, 3, image_size=(6, 6)), "estimate of its norm"),
    "training SVCM": (lambda: SVCMConv2d(3, 3, 3, image_size=(6, 6)), "estimate of its norm"),
    "no stride": (
        lambda: with_attribute(nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular"), "stride", (0, 1)),
        "does not take inputs of shape .3, 6, 6.",
    ),
    "negative stride": (
        lambda: with_attribute(nn.Conv2d(3, 3, 3, padding=1), "stride", (-1, 1)),
        "does not take inputs of shape .3, 6, 6.",
    ),
    "factor that is a tensor": (lambda: Scale(torch.ones(3, 1, 1)), "use a number"),
    "branch of another shape": (
        lambda: nn.Sequential(Residual(nn.MaxPool2d(2)), nn.Flatten()),
        "does not take inputs of shape .3, 6, 6. .Residual needs outputs of one shape",
    ),
}


@pytest.mark.parametrize("name", IMAGES)
def test_bounds_of_other_functions_of_images_are_refused(name):
    make, reason = IMAGES[name]
    with pytest.raises(TypeError, match=reason):
        lipschitz_bound(make(), (3, 6, 6))


@contextlib.contextmanager
def hook_on_all_modules():
    handle = torch_module.register_module_forward_hook(tenfold)
    try:
        yield
    finally:
        handle.remove()


def test_hooks_on_all_modules_are_refused():
    with hook_on_all_modules(), pytest.raises(TypeError, match="a hook on all modules"):
        lipschitz_bound(nn.ReLU(), (5,))
    assert lipschitz_bound(nn.ReLU(), (5,)) == 1


def shrunk(module):
    """With a weight so small that no measured slope would tell of what is done to it."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        module.weight.data.mul_(1e-7)


@pytest.mark.parametrize(
    ("owner", "name", "module", "shape"),
    [
        (functional, "relu", nn.ReLU(), (3,)),
        (functional, "linear", OrthogonalLinear(3, 3), (3,)),
        (nn.ReLU, "forward", nn.ReLU(), (3,)),
        (nn.ReLU, "__call__", nn.ReLU(), (3,)),
        (OrthogonalLinear, "weight", OrthogonalLinear(3, 3), (3,)),
        (nn.Sequential, "forward", nn.Sequential(), (3,)),
        (ConstrainedLinear, "forward", SpectralLinear(3, 3).eval(), (3,)),
        (ConstrainedConv2d, "forward", BCOPConv2d(3, 3, 3), (3, 4, 4)),
        # Called by a function that the layer calls.
        (functional, "conv2d", BCOPConv2d(3, 3, 3), (3, 4, 4)),
        (functional, "conv2d", PaddedConv2d(3, 3, 3).apply(shrunk), (3, 4, 4)),
        (functional, "conv2d", BlockedConv2d(3, 3, 3).apply(shrunk), (3, 4, 4)),
        (functional, "linear", BlockedLinear(3, 3).apply(shrunk), (3,)),
    ],
)
def test_patched_functions_are_refused(monkeypatch, owner, name, module, shape):
    assert lipschitz_bound(module, shape) < 1.1
    monkeypatch.setattr(owner, name, lambda *args, **options: 10 * args[-1], raising=False)
    with pytest.raises(TypeError, match=f"`{name}` of .* was replaced"):
        lipschitz_bound(module, shape)


FAITHFUL = {
    "a name and a note": lambda: derived(nn.ReLU, extra_repr=lambda self: "mine", note=3),
    "a constructor": lambda: derived(nn.Linear, 3, 3, __init__=lambda self, *sizes: nn.Linear.__init__(self, *sizes)),
    "another weight": lambda: derived(
        ConstrainedLinear, 3, 3, False,
        reset_parameters=lambda self: None, build_weight=lambda self, raw: 2 * torch.eye(3),
    ),
    "gradient hook": lambda: hooked(nn.ReLU(), "register_full_backward_hook", lambda m, a, b: None),
    "deterministic parametrization": lambda: parametrized(nn.Linear(3, 3), Ten()),
}  # fmt: skip


def test_an_import_of_the_compiler_changes_no_layer(monkeypatch):
    """It puts ``torch.manual_seed`` into a wrapper, once, whenever something first imports it."""
    layer = OrthogonalLinear(4, 3).eval()
    lipschitz_bound(layer, (4,))
    seeding = inspect.unwrap(torch.manual_seed)
    for same in (seeding, torch._disable_dynamo(seeding)):
        monkeypatch.setattr(torch, "manual_seed", same)
        assert lipschitz_bound(layer, (4,)) == pytest.approx(1)
    monkeypatch.setattr(torch, "manual_seed", torch._disable_dynamo(lambda seed: None))
    with pytest.raises(TypeError, match="`manual_seed` of torch was replaced"):
        lipschitz_bound(layer, (4,))


@pytest.mark.parametrize("name", FAITHFUL)
def test_what_computes_the_same_keeps_its_bound(name):
    module = FAITHFUL[name]()
    inputs, others = torch.randn(2, 50, 3)
    slopes = (module(inputs) - module(others)).detach().norm(dim=1) / (inputs - others).norm(dim=1)
    assert float(slopes.max()) <= lipschitz_bound(module, (3,)) * (1 + 1e-5)
    torch.testing.assert_close(to_plain(module)(inputs), module(inputs))


def test_reads_a_parametrized_weight():
    layer = nn.Linear(3, 3)
    before = lipschitz_bound(layer, (3,))
    assert lipschitz_bound(parametrized(layer, Ten()), (3,)) == pytest.approx(10 * before)


class Shrug(nn.Module):
    """Registered as 1-Lipschitz, and steeper: what the second look is for."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, inputs):
        return self.factor * inputs if self.factor else inputs - inputs.mean(0) + torch.zeros(1)


@pytest.mark.parametrize(
    ("module", "reason"),
    [(Shrug(1.01), "it was seen to be 1.0"), (Shrug(0), "depends on the others of its batch")],
)
def test_a_rule_that_is_wrong_is_found_out(monkeypatch, module, reason):
    from lipnet.certify import bound

    monkeypatch.setattr(bound, "_RULES", dict(bound._RULES))
    bound.register_rule(Shrug)(lambda module, shape: 1.0)
    with pytest.raises(TypeError, match=reason):
        lipschitz_bound(module, (4,))


def test_a_padding_that_the_constructor_did_not_set():
    conv = nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular").requires_grad_(False)
    conv._reversed_padding_repeated_twice = [5, 5, 5, 5]
    images = torch.randn(64, 2, 5, 5)
    steepest = max(float((conv(x[None]) - conv(0 * x[None])).norm() / x.norm()) for x in images)
    assert steepest <= lipschitz_bound(conv, (2, 5, 5))
    assert lipschitz_bound(conv, (2, 5, 5)) > lipschitz_bound(nn.Conv2d(2, 2, 3), (2, 5, 5)) * 0.5


ODD_SHAPES = [
    (nn.MaxPool1d(3, 1), (10,)), (nn.MaxPool2d(2, 1), (5, 5)), (nn.AvgPool2d(2, 1, divisor_override=1), (5, 5)),
    (nn.AvgPool1d(2), (6,)), (nn.AdaptiveAvgPool1d(3), (6,)), (nn.AdaptiveMaxPool1d(4), (6,)),
    (nn.CircularPad1d(2), (4,)), (nn.ReflectionPad1d(2), (4,)), (nn.ReplicationPad2d(2), (4, 4)),
    (nn.Conv1d(4, 4, 1), (7,)), (nn.Conv2d(4, 4, 1), (4, 4)), (BCOPConv2d(4, 4, 3), (4, 4)),
    (nn.ConvTranspose1d(4, 4, 1), (7,)), (Normalize([0.0] * 3, [0.1] * 3), (4, 4)), (Normalize([0.0], [0.1]), (4,)),
    (nn.PixelShuffle(2), (2, 2)), (nn.Unflatten(0, (2, 2)), (3,)), (nn.Flatten(-2), (5,)), (nn.Flatten(0), (5,)),
    (nn.ConstantPad2d(1, 0.0), (5,)), (nn.Linear(4, 2), ()), (OrthogonalLinear(4, 2), ()), (nn.Linear(3, 2), (5,)),
    (MaxMin(), ()), (nn.Upsample(scale_factor=2), (4,)), (nn.BatchNorm2d(4).eval(), (4, 4)),
    (nn.ChannelShuffle(2), (4,)),
]  # fmt: skip


@pytest.mark.parametrize(("module", "shape"), ODD_SHAPES, ids=str)
def test_shapes_that_a_rule_does_not_count_on_are_refused(module, shape):
    with pytest.raises(TypeError, match=f"no Lipschitz bound for {type(module).__name__}"):
        lipschitz_bound(module, shape)


def changed(module, name, value):
    with torch.no_grad():
        tensor = getattr(module, name)
        tensor.view(-1)[-1] = value
    return module.eval()


NOT_FINITE = {
    "PReLU": (lambda v: changed(nn.PReLU(3), "weight", v), (3,)),
    "bias": (lambda v: changed(nn.Linear(3, 3), "bias", v), (3,)),
    "bias of a constrained layer": (lambda v: changed(OrthogonalLinear(3, 3), "bias", v), (3,)),
    "std": (lambda v: changed(Normalize([0.0] * 3, [1.0] * 3), "std", v), (3, 2, 2)),
    "mean": (lambda v: changed(Normalize([0.0] * 3, [1.0] * 3), "mean", v), (3, 2, 2)),
    "running mean": (lambda v: changed(nn.BatchNorm2d(3), "running_mean", v), (3, 2, 2)),
    "running variance": (lambda v: changed(nn.BatchNorm2d(3), "running_var", v), (3, 2, 2)),
    "weight of a batch norm": (lambda v: changed(nn.BatchNorm2d(3), "weight", v), (3, 2, 2)),
    "transposed convolution": (lambda v: changed(nn.ConvTranspose2d(3, 3, 2), "weight", v), (3, 2, 2)),
    "slope": (lambda v: nn.LeakyReLU(v), (3,)),
    "alpha": (lambda v: nn.ELU(v), (3,)),
    "factor": (lambda v: Scale(v), (3,)),
    "padded value": (lambda v: nn.ConstantPad1d(1, v), (3, 4)),
}


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", NOT_FINITE)
def test_numbers_that_are_not_finite_have_no_finite_bound(name, value):
    make, shape = NOT_FINITE[name]
    module = make(value)
    assert lipschitz_bound(module, shape) == math.inf
    behind = nn.Sequential(module, nn.Flatten(), nn.ReLU(), Scale(0.0))
    assert lipschitz_bound(behind, shape) == math.inf


def test_negative_scales_count_by_their_size():
    norm = Normalize([0.0] * 3, [1.0, 0.5, 0.25])
    norm.std.neg_()
    assert lipschitz_bound(norm, (3, 2, 2)) == pytest.approx(4)
    norm.std.zero_()
    assert lipschitz_bound(norm, (3, 2, 2)) == math.inf


@pytest.mark.parametrize("value", [-0.5, -1e-5, -1e-42])
def test_negative_variances_have_no_bound(value):
    assert lipschitz_bound(changed(nn.BatchNorm1d(3), "running_var", value), (3,)) == math.inf


IN_PLACE = [
    lambda: Residual(nn.SELU(inplace=True)),
    lambda: Residual(nn.Tanh(), nn.ELU(2.0, inplace=True)),
    lambda: Residual(nn.Sequential(nn.Identity(), nn.Flatten(), nn.SiLU(inplace=True))),
    lambda: Concat(nn.Identity(), nn.ELU(3.0, inplace=True), nn.Identity()),
    lambda: nn.Sequential(nn.ELU(2.0, inplace=True), Residual(nn.Sequential(nn.SELU(inplace=True)))),
]


@pytest.mark.parametrize("make", IN_PLACE)
def test_work_in_place_changes_no_other_branch(make):
    module = make().double()
    twin = make().double()
    for part in twin.modules():
        if hasattr(part, "inplace"):
            part.inplace = False
    inputs = torch.randn(6, 5, dtype=torch.float64)
    assert torch.equal(module(inputs.clone()), twin(inputs))
    assert torch.equal(to_plain(module)(inputs), twin(inputs))
    assert lipschitz_bound(module, (5,)) == lipschitz_bound(twin, (5,))


class Overwrites(nn.Module):
    def forward(self, inputs):
        return inputs.mul_(-1)


def test_undeclared_work_in_place_is_an_error_where_the_input_is_used_twice():
    for module in (Residual(Overwrites()), Concat(Overwrites(), nn.Identity())):
        with pytest.raises(RuntimeError, match="Overwrites changes its input"):
            module(torch.randn(2, 4))


def test_pairs_of_classes_read_no_rows_of_a_layer_with_a_rule_of_its_own(monkeypatch):
    from lipnet.certify import bound

    class Doubled(nn.Linear):
        def forward(self, inputs):
            return 2 * super().forward(inputs)

    monkeypatch.setattr(bound, "_RULES", dict(bound._RULES))
    bound.register_rule(Doubled)(lambda module, shape: 2 * lipschitz_bound(nn.Linear(3, 3), shape) + 9)
    network = nn.Sequential(nn.ReLU(), Doubled(3, 3)).requires_grad_(False)
    rows = 2 * (network[1].weight[0] - network[1].weight[1]).norm()
    assert float(pairwise_lipschitz_bounds(network, (3,))[0, 1]) >= float(rows)


def test_the_rounding_of_an_ancestor_is_not_taken_for_another_function(monkeypatch):
    from lipnet.certify import bound

    class Noisy(nn.ReLU):
        def forward(self, inputs):
            return super().forward(1e3 * inputs) / 1e3

    monkeypatch.setattr(bound, "_RULES", dict(bound._RULES))
    bound.register_rule(Noisy)(lambda module, shape: 1.0)
    assert lipschitz_bound(Noisy(), (3,)) == 1
    with pytest.raises(TypeError, match="not known how Noisy rounds: Noisy overrides `forward`"):
        rounding_bound(nn.Sequential(Noisy()), (3,), torch.float32)


def test_certify_leaves_the_images_alone():
    network = nn.Sequential(nn.ELU(inplace=True), nn.Flatten(), nn.Linear(8, 3)).double().requires_grad_(False)
    images = torch.randn(5, 2, 4, dtype=torch.float64)
    before = images.clone()
    certificate = certify(network, images, torch.zeros(5, dtype=torch.long))
    assert torch.equal(images, before)
    assert torch.equal(certificate.logits, network(before.clone()))


def test_singular_values_of_another_function_are_refused():
    with pytest.raises(TypeError, match="no singular values of Linear: a forward hook"):
        singular_values(hooked(nn.Linear(3, 3), "register_forward_hook", tenfold), (3,))


def test_normalisation_survives_the_meta_device():
    with torch.device("meta"):
        network = nn.Sequential(Normalize([0.4, 0.5], [0.25, 0.5]), nn.Flatten(), nn.Linear(8, 2))
    whole = nn.Sequential(Normalize([0.4, 0.5], [0.25, 0.5]), nn.Flatten(), nn.Linear(8, 2))
    network.to_empty(device="cpu").load_state_dict(whole.state_dict(), strict=True)
    images = torch.rand(3, 2, 2, 2)
    assert torch.equal(network(images), whole(images))
    again = whole.to("meta").to_empty(device="cpu")
    assert torch.equal(again[0].std.flatten(), torch.tensor([0.25, 0.5]))
    assert torch.equal(again[0].mean.flatten(), torch.tensor([0.4, 0.5]))


def test_a_module_is_no_instance_of_another_kind():
    assert unfaithful(nn.ReLU(), nn.Linear) == "it is no Linear"
