"""Networks in files of other programs: the same bound as in Python, whatever they are written as, or a refusal."""

import warnings

import numpy
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional

from lipnet import to_plain
from lipnet.certify import certify, lipschitz_bound
from lipnet.errors import UserError
from lipnet.export.__main__ import main
from lipnet.export.judging import READERS, judge
from lipnet.export.reading import compare
from lipnet.export.torch_program import read_module
from lipnet.layers import BCOPConv2d, GroupSort, MaxMin, OrthogonalLinear, Residual
from lipnet.layers.blocks.composition import Concat
from lipnet.layers.shape import Normalize


class Function(nn.Module):
    """A module of one function, with parameters of its parts."""

    def __init__(self, function, *parts):
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, inputs):
        return self.function(inputs, *self.parts)


def pairs(inputs):
    """MaxMin as others write it, by neighbours."""
    shaped = inputs.unflatten(1, (-1, 2))
    larger, smaller = torch.maximum(shaped[:, :, 0], shaped[:, :, 1]), torch.minimum(shaped[:, :, 0], shaped[:, :, 1])
    return torch.stack((larger, smaller), dim=2).flatten(1, 2)


def normalized(inputs):
    return (inputs - torch.tensor([0.5, 0.25])[:, None, None]) / torch.tensor([0.25, 0.5])[:, None, None]


SHAPE = (2, 8, 8)
CONVOLUTION = nn.Conv2d(2, 4, 3, padding=1)
# A network, and the bound of the same in modules with rules, or a number.
NETWORKS = {
    "lipnet's own": nn.Sequential(
        Normalize([0.5, 0.5], [0.5, 0.25]), BCOPConv2d(2, 4, 4, 2), MaxMin(), BCOPConv2d(4, 4, 3), GroupSort(4),
        Residual(nn.Sequential(BCOPConv2d(4, 4, 3, padding_mode="zeros"), nn.ReLU())), nn.Flatten(),
        OrthogonalLinear(64, 10),
    ),
    "concatenation": nn.Sequential(Concat(nn.Flatten(), nn.Sequential(nn.Flatten(), nn.Linear(128, 3)))),
    "pooling": nn.Sequential(
        CONVOLUTION, nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2),
    ),
    "batch norm": nn.Sequential(CONVOLUTION, nn.BatchNorm2d(4), nn.LeakyReLU(0.2), nn.Flatten()),
    "smooth": nn.Sequential(nn.Flatten(), nn.Linear(128, 5), nn.Tanh(), nn.Linear(5, 5), nn.Sigmoid(), nn.ELU()),
    "learned slopes": nn.Sequential(nn.Flatten(), nn.Linear(128, 5), nn.PReLU()),
    "shuffles": nn.Sequential(nn.PixelUnshuffle(2), nn.ChannelShuffle(2), nn.PixelShuffle(2), nn.Flatten()),
}  # fmt: skip
WRITTEN = {
    "pairs": (Function(pairs), 1.0),
    "permuted": (Function(lambda x: x.permute(0, 2, 3, 1).flip(2)[:, 1:, ::2]), 1.0),
    "repeated": (Function(lambda x: x.repeat(1, 2, 1, 2)), 2.0),
    "reflected": (Function(lambda x: functional.pad(x, (1, 1, 0, 0), mode="reflect")), 2**0.5),
    "cut and glued": (Function(lambda x: torch.cat((x[:, 1:], x[:, :1]), 1)), 1.0),
    "normalised by hand": (Function(normalized), 4.0),
    "double": (Function(lambda x: x + x), 2.0),
    "difference": (Function(lambda x: 3 - 2 * x), 2.0),
    "halves": (Function(lambda x: x / 2 - x.flip(3)), 1.5),
    "larger of two layers": (
        Function(lambda x, a, b: torch.maximum(a(x.flatten(1)), b(x.flatten(1))), nn.Linear(128, 4), nn.Linear(128, 4)),
        None,
    ),
    "by an axis of two": (
        Function(lambda x: torch.cat((x.unflatten(1, (-1, 2)).amax(2), x.unflatten(1, (-1, 2)).amin(2)), 1)),
        1.0,
    ),
    "largest of four": (Function(lambda x: x.unflatten(2, (2, 4)).max(3).values), 1.0),
    "identity": (Function(lambda x: x.clone()), 1.0),
}


def write(network, path, batch=True):
    example, many = torch.rand(2, *SHAPE), ({0: torch.export.Dim("batch")},) if batch else None
    # A function takes its inputs by whatever name.
    program = torch.export.export(network.eval(), (example,), dynamic_shapes=many, strict=False)
    if path.suffix == ".pt2":
        torch.export.save(program, path)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the converter's own code
            torch.onnx.export(program, f=str(path), dynamo=True, external_data=False, verbose=False)
    return path


@pytest.mark.parametrize("suffix", READERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_has_the_bound_of_the_network(name, suffix, tmp_path):
    plain = to_plain(NETWORKS[name].eval(), blocked=False)
    judged = judge(write(plain, tmp_path / f"network{suffix}"))
    wanted = lipschitz_bound(plain, SHAPE)
    assert judged.bound == pytest.approx(wanted, rel=1e-6)
    assert judged.shape == SHAPE
    assert set(judged.rounding) == {"float32", "float64"}


@pytest.mark.parametrize("suffix", READERS)
@pytest.mark.parametrize("name", WRITTEN)
def test_a_function_has_the_bound_of_what_it_does(name, suffix, tmp_path):
    function, wanted = WRITTEN[name]
    path = tmp_path / f"network{suffix}"
    try:
        write(Batched(function), path)
    except (TypeError, ValueError):
        write(function, path)
    judged = judge(path)
    if wanted is not None:
        assert judged.bound == pytest.approx(wanted, rel=1e-6)
    inputs = torch.rand(2, 40, *SHAPE)
    change = (function(inputs[0]) - function(inputs[1])).flatten(1).norm(dim=1)
    assert bool((change <= judged.bound * (inputs[0] - inputs[1]).flatten(1).norm(dim=1) * (1 + 1e-5)).all())


class Batched(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, inputs):
        return self.inner(inputs)


@pytest.mark.parametrize("suffix", READERS)
def test_a_graph_is_certified_as_any_network(suffix, tmp_path):
    network = to_plain(NETWORKS["lipnet's own"].eval(), blocked=False)
    graph = READERS[suffix](write(network, tmp_path / f"network{suffix}"))
    images, labels = torch.rand(20, *SHAPE), torch.arange(20) % 10
    ours, theirs = certify(network.double(), images, labels), certify(graph.double(), images, labels)
    assert torch.allclose(ours.radii(torch.float64), theirs.radii(torch.float64), rtol=1e-3, atol=1e-6)
    assert bool((theirs.radii(torch.float32) <= theirs.radii(torch.float64)).all())


class Twice(nn.Module):
    def forward(self, inputs):
        return inputs, inputs


def in_place_behind_a_view(x):
    scaled = x * 1.0
    seen = scaled.flatten(1)
    scaled.mul_(30.0)
    return seen


def in_place_into_a_view(x):
    copied = x.clone()
    copied.narrow(3, 0, 2).add_(copied.narrow(3, 2, 2))
    return copied


CONSTANT = torch.ones(2, 8, 8)
# What torch writes with arguments that change what it is: its bound, or how it is refused.
READ = {
    "rsub with a factor": (lambda x: torch.rsub(x, 0.0, alpha=100.0), 100.0),
    "sub from a constant with a factor": (lambda x: torch.sub(CONSTANT, x, alpha=70.0), 70.0),
    "add to a constant with a factor": (lambda x: torch.add(CONSTANT, x, alpha=70.0), 70.0),
    "a constant added with a factor": (lambda x: torch.add(x, CONSTANT, alpha=70.0), 1.0),
    "in place, of nobody else's": (lambda x: functional.relu((2 * x).flatten(1), inplace=True), 2.0),
    "a scaled elu": (lambda x: torch.ops.aten.elu.default(x, 1.5, 9.0), "it has arguments that are not read"),
    "a rounded quotient": (lambda x: torch.div(x, 1.0, rounding_mode="floor"), "it has arguments that are not read"),
    "a product with factors": (
        lambda x: torch.addmm(CONSTANT.flatten(), x.flatten(1), torch.eye(128), alpha=50.0), "it has arguments that are"
    ),
    "in place behind a view": (in_place_behind_a_view, "it changes in place what is used elsewhere"),
    "in place into a view": (in_place_into_a_view, "it changes in place what is used elsewhere"),
    "dropout in training": (lambda x: functional.dropout(x, 0.5, training=True), "it draws numbers"),
    "a bias of the input": (
        lambda x: functional.linear(x.flatten(1), torch.eye(128), x.flatten(1)), "made of the input",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_arguments_are_read_or_refused(name):
    function, wanted = READ[name]
    if isinstance(wanted, str):
        with pytest.raises(UserError, match=wanted):
            read_module(Function(function), SHAPE)
    else:
        assert lipschitz_bound(read_module(Function(function), SHAPE), SHAPE) == pytest.approx(wanted)


def onnx_file(path, nodes, shape, constants=()):
    """Nodes from ``x`` to ``y``, ``100 relu(-x)`` among them as ``m``: it is 0 wherever x is not negative."""
    helper = onnx.helper
    before = [helper.make_node("Neg", ["x"], ["n"]), helper.make_node("Relu", ["n"], ["r"])]
    before += [helper.make_node("Mul", ["r", "hundred"], ["m"])]
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes)
        for name, sizes in (("x", [1, *SHAPE]), ("y", [1, *shape]))
    ]
    given = [onnx.numpy_helper.from_array(numpy.array(100, numpy.float32), "hundred")]
    given += [onnx.numpy_helper.from_array(array, name) for name, array in constants]
    graph = helper.make_graph([*before, *nodes], "made", ends[:1], ends[1:], given)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), str(path))
    return path


def test_a_sum_of_several_values_and_constants(tmp_path):
    node = onnx.helper.make_node("Sum", ["x", "one", "m", "one"], ["y"])
    file = onnx_file(tmp_path / "sum.onnx", [node], SHAPE, [("one", numpy.ones((2, 8, 8), numpy.float32))])
    assert judge(file).bound == pytest.approx(101)


MADE = {
    "a bias of the input": (
        [("Flatten", ["x"], ["f"], {}), ("Flatten", ["m"], ["c"], {}), ("Gemm", ["f", "eye", "c"], ["y"], {})],
        (128,),
        "made of the input",
    ),
    "dilated windows": (
        [("AveragePool", ["m"], ["y"], {"kernel_shape": [2, 2], "strides": [2, 2], "dilations": [2, 2]})],
        (2, 3, 3),
        "its windows are dilated",
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_what_onnx_says_is_read_or_refused(name, tmp_path):
    nodes, shape, message = MADE[name]
    made = [onnx.helper.make_node(kind, given, out, **keys) for kind, given, out, keys in nodes]
    file = onnx_file(tmp_path / "made.onnx", made, shape, [("eye", numpy.eye(128, dtype=numpy.float32))])
    with pytest.raises(UserError, match=message):
        judge(file)


def test_what_is_read_wrongly_is_seen_where_inputs_are_negative():
    graph = read_module(Function(lambda x: functional.relu(-x)), SHAPE)
    with pytest.raises(UserError, match="something: what was read of it computes something else"):
        compare("something", graph, lambda x: 2 * functional.relu(-x))


REFUSED = {
    "product": (Function(lambda x: x * x), r"node \w*[mM]ul\w* \(\w+\): a product or a quotient of two values"),
    "softmax": (Function(lambda x: x.flatten(1).softmax(1)), "(?i)softmax.*: no rule is known for it"),
    "overlapping maxima": (nn.MaxPool2d(3, 1), "its windows overlap"),
    "reciprocal": (Function(lambda x: 1 / (1 + x)), "no Lipschitz constant|no rule"),
    "mixes examples": (Function(lambda x: x.flip(0)), "it mixes the examples of a batch|moves the axis"),
    "sorts examples": (Function(lambda x: torch.sort(x, dim=0).values), "it sorts the examples of a batch"),
    "fills with ones": (Function(lambda x: functional.pad(x, (1, 1), value=1.0)), "it fills with"),
    "two outputs": (Twice(), "2 outputs"),
}


@pytest.mark.parametrize("suffix", READERS)
@pytest.mark.parametrize("name", REFUSED)
def test_a_node_without_a_rule_is_refused_by_its_name(name, suffix, tmp_path):
    network, said = REFUSED[name]
    path = write(network, tmp_path / f"network{suffix}", batch=False)
    with pytest.raises(UserError, match=said) as refused:
        judge(path)
    assert len(refused.value.problems) == 1
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("suffix", READERS)
@pytest.mark.parametrize("content", [None, b"", b"no program"])
def test_a_file_that_is_none_is_one_message_and_exit_code_1(content, suffix, tmp_path, capsys):
    path = tmp_path / f"x{suffix}"
    if content is not None:
        path.write_bytes(content)
    assert main([str(path)]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("nothing is proved: ")
    assert printed.err.count("\n") == 1


def test_the_command_says_each_node_its_bound_and_the_rounding(tmp_path, capsys):
    path = write(nn.Sequential(nn.Flatten(), nn.Linear(128, 3), nn.ReLU()), tmp_path / "network.pt2")
    assert main([str(path)]) == 0
    printed = capsys.readouterr().out
    assert "linear" in printed
    assert "L2 Lipschitz constant at most" in printed
    assert "in float32, outputs are off by at most" in printed
