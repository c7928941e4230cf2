"""A program of ``torch.export`` (``.pt2``), read as a graph of modules that have a Lipschitz rule."""

import logging
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from lipnet.errors import UserError, reason_of
from lipnet.export.reading import Builder, Refused, Value, compare, conv_of, linear_of, norm_of, refusal
from lipnet.layers.activations.sorting import Abs
from lipnet.layers.blocks.graph import Graph, Sorted

# What moves, repeats and leaves out entries: it is run on their numbers.
_MOVING = (
    "alias", "channel_shuffle", "chunk", "clone", "constant_pad_nd", "contiguous", "detach", "expand", "flatten",
    "flip", "index_select", "movedim", "narrow", "pad", "permute", "pixel_shuffle", "pixel_unshuffle", "repeat",
    "reshape", "roll", "select", "slice", "split", "split_with_sizes", "squeeze", "stack", "transpose", "unbind",
    "unflatten", "unsqueeze", "upsample_nearest2d", "view", "_unsafe_view", "lift_fresh_copy",
)  # fmt: skip
_SAME = ("dropout", "feature_dropout", "alpha_dropout")
_READ = {"elu": 1, "leaky_relu": 1, "hardtanh": 2}  # arguments of an activation behind its input; others have none
_ACTIVATIONS: dict[str, Callable[..., nn.Module]] = {
    "relu": nn.ReLU, "relu_": nn.ReLU, "abs": Abs, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "silu": nn.SiLU,
    "elu": nn.ELU, "selu": nn.SELU, "leaky_relu": nn.LeakyReLU, "relu6": nn.ReLU6, "hardtanh": nn.Hardtanh,
    "gelu": lambda approximate="none": nn.GELU(approximate),
}  # fmt: skip


def read_program(path: Path) -> Graph:
    """The graph of a program with one input and one output.

    Raises:
        UserError: it cannot be read, or a node has no bound; the message names it.
    """
    return _Reader(path, load_program(path)).graph()


def read_module(module: nn.Module, shape: tuple[int, ...]) -> Graph:
    """The graph of a module of any code on inputs ``(batch, *shape)``, as torch follows it.

    Raises:
        UserError: torch cannot follow it, or a node has no bound; the message names it.
    """
    name = type(module).__name__
    try:
        with torch.no_grad():
            program = torch.export.export(module.eval(), (torch.rand(2, *shape),), strict=False)
    except Exception as error:  # of code that may do anything
        raise UserError(f"{name}: torch.export cannot follow what it computes ({reason_of(error, 150)}).") from None
    graph = _Reader(name, program).graph()
    compare(name, graph, module)
    return graph


def load_program(path: Path) -> Any:
    """A saved program.

    Raises:
        UserError: it cannot be read.
    """
    told = logging.getLogger("torch.export")
    level = told.level
    told.setLevel(logging.CRITICAL)  # it writes every way in which it has tried to read the file
    try:
        return torch.export.load(path)
    except Exception as error:  # of a file that may hold anything
        raise UserError(f"{path}: no program of torch.export ({reason_of(error, 150)}).") from None
    finally:
        told.setLevel(level)


class _Reader:
    def __init__(self, path: object, program: Any) -> None:
        self.path, self.program = path, program
        signature = program.graph_signature
        names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        names |= signature.inputs_to_lifted_tensor_constants
        stored = {**program.state_dict, **program.constants}
        self.values: dict[fx.Node, Any] = {}
        placeholders = [node for node in program.graph.nodes if node.op == "placeholder"]
        given = [node for node in placeholders if node.name not in names]
        for node in placeholders:
            if node.name in names:
                self.values[node] = stored[names[node.name]].detach()
        if len(given) != 1 or not isinstance(given[0].meta.get("val"), Tensor):
            raise UserError(f"{path}: takes {len(given)} inputs; a network of one tensor can be read.")
        batch, *shape = given[0].meta["val"].shape
        if not shape or not all(isinstance(size, int) for size in shape):
            raise UserError(f"{path}: its input has the shape {(batch, *shape)}; all but the batch must be numbers.")
        self.builder = Builder(tuple(shape), batch if isinstance(batch, int) else 3)
        self.values[given[0]] = self.builder.input

    def graph(self) -> Graph:
        for node in self.program.graph.nodes:
            if node.op == "call_function":
                self._call(node)
            elif node.op == "output":
                outputs = node.args[0]
                value = self.values.get(outputs[0]) if len(outputs) == 1 else None
                if not isinstance(value, Value):
                    raise UserError(f"{self.path}: has {len(outputs)} outputs; a network of one output can be read.")
                return self.builder.graph("output", value)
        raise UserError(f"{self.path}: has no output.")

    def _call(self, node: fx.Node) -> None:
        operation = _short(node.target)
        args = fx.node.map_arg(node.args, lambda part: self.values[part])
        kwargs = fx.node.map_arg(node.kwargs, lambda part: self.values[part])
        values = [part for part in _flat([args, kwargs]) if isinstance(part, Value)]
        try:
            if operation.startswith(("_assert", "_guards", "sym_constrain")):
                self.values[node] = None
            elif not values and operation != "getitem":
                self.values[node] = node.target(*args, **kwargs)  # type: ignore[operator]  # of constants
            else:
                self.values[node] = self._made(node, operation, args, kwargs, values)
        except Refused as reason:
            raise refusal(self.path, node.name, operation, reason) from None
        except (TypeError, ValueError, RuntimeError, IndexError, KeyError, AssertionError) as error:
            raise refusal(self.path, node.name, operation, f"cannot be read ({reason_of(error, 150)})") from None

    def _made(self, node: fx.Node, operation: str, args: Any, kwargs: Any, values: list[Value]) -> Any:
        builder, name = self.builder, node.name
        if operation == "getitem":
            return args[0][args[1]]
        if operation in ("sym_size", "size"):
            return builder.batch if args[1] == 0 else args[0].shape[args[1] - 1]
        if _changes_its_input(node) and _is_seen_elsewhere(node.args[0]):
            raise Refused("it changes in place what is used elsewhere, too")
        if operation in _SAME:
            if len(args) < 3 or args[2]:
                raise Refused("it draws numbers, as in training")
            return args[0]
        if operation in _MOVING:
            return self._moved(node, args, kwargs, values)
        if operation == "cat":
            return builder.joined(name, args[0], args[1] if len(args) > 1 else kwargs.get("dim", 0))
        if operation in ("maximum", "minimum", "max", "min") and len(values) == 2:
            return builder.extreme(name, values[0], values[1], operation.startswith("max"))
        if operation in ("max", "min", "amax", "amin") and len(args) > 1:
            return self._extreme_of_axis(name, operation, args)
        if operation == "sort":
            dim = args[1] if len(args) > 1 else kwargs.get("dim", -1)
            descending = args[2] if len(args) > 2 else kwargs.get("descending", False)
            if dim % (len(args[0].shape) + 1) == 0:
                raise Refused("it sorts the examples of a batch")
            return builder.call(name, Sorted(dim, descending), args[0]), None
        if operation in ("add", "sub", "mul", "div", "neg", "add_", "mul_", "rsub"):
            return self._arithmetic(name, operation.rstrip("_"), args, kwargs, values)
        if operation in _ACTIVATIONS:
            if len(args) - 1 > _READ.get(operation, 0) or not kwargs.keys() <= {"approximate"}:
                raise Refused("it has arguments that are not read")
            return builder.call(name, _ACTIVATIONS[operation](*args[1:], **kwargs), args[0])
        if operation == "prelu":
            layer = nn.PReLU(args[1].numel())
            layer.weight.data.copy_(args[1].flatten())
            return builder.call(name, layer, args[0])
        return self._layer(name, operation, args, kwargs)

    def _extreme_of_axis(self, name: str, operation: str, args: Any) -> Any:
        axes = list(args[1]) if isinstance(args[1], list | tuple) else [args[1]]
        if len(axes) != 1:
            raise Refused("it compares entries of several axes")
        kept = len(args) > 2 and bool(args[2])
        found = self.builder.extreme_along(name, args[0], axes[0], "max" in operation, kept)
        return found if operation.startswith("a") else (found, None)

    def _moved(self, node: fx.Node, args: Any, kwargs: Any, values: list[Value]) -> Any:
        padding = [*args, *kwargs.values()]
        filled = [part for part in padding if isinstance(part, float) and part != 0]
        if _short(node.target) in ("pad", "constant_pad_nd") and filled:
            raise Refused(f"it fills with {filled[0]}, not with 0")

        def operation(*numbers: Tensor) -> Any:
            left = iter(numbers)
            inner = [_replaced(part, left) for part in args]
            return node.target(*inner, **kwargs)  # type: ignore[operator]

        found = self.builder.moved(node.name, values, operation)
        many = _short(node.target) in ("chunk", "split", "split_with_sizes", "unbind")
        return found if many else found[0]

    def _arithmetic(self, name: str, operation: str, args: Any, kwargs: Any, values: list[Value]) -> Value:
        builder = self.builder
        factors = [*args[2:], *kwargs.values()]  # alpha, where there is one
        if len(factors) > (operation in ("add", "sub", "rsub")) or not kwargs.keys() <= {"alpha"}:
            raise Refused("it has arguments that are not read")
        if operation == "neg":
            return builder.affine(name, args[0], torch.tensor(-1.0), torch.tensor(0.0))
        factor = float(factors[0]) if factors else 1.0
        if len(values) == 2:
            first, second = args[:2]
            if operation not in ("add", "sub"):
                raise Refused("a product or a quotient of two values has no Lipschitz constant")
            sign = factor if operation == "add" else -factor
            if sign != 1:
                second = builder.affine(name, second, torch.tensor(sign), torch.tensor(0.0))
            return builder.total(name, [first, second])
        value = values[0]
        constant = torch.as_tensor(next(part for part in args[:2] if not isinstance(part, Value)))
        constant = constant if constant.is_floating_point() else constant.float()
        one, zero = torch.ones((), dtype=constant.dtype), torch.zeros((), dtype=constant.dtype)
        if operation == "rsub":
            return builder.affine(name, value, -factor * one, constant)
        if operation in ("add", "sub"):  # the second one is multiplied
            sign = factor if operation == "add" else -factor
            if isinstance(args[0], Value):
                return builder.affine(name, value, one, sign * constant)
            return builder.affine(name, value, sign * one, constant)
        if operation == "div":
            if not isinstance(args[0], Value):
                raise Refused("one over a value has no Lipschitz constant")
            return builder.affine(name, value, quotient(constant), zero)
        return value if bool((constant == 1).all()) else builder.affine(name, value, constant, zero)

    def _layer(self, name: str, operation: str, args: Any, kwargs: Any) -> Any:
        builder = self.builder
        if sum(isinstance(part, Value) for part in _flat([args, kwargs])) > 1:
            raise Refused("its weights or its bias are made of the input")
        if kwargs:
            raise Refused("it has arguments that are not read")
        if operation == "linear":
            return builder.call(name, linear_of(args[1], args[2] if len(args) > 2 else None), args[0])
        if operation == "addmm" and isinstance(args[1], Value) and len(args) == 3:
            return builder.call(name, linear_of(args[2].mT, args[0]), args[1])
        if operation in ("mm", "matmul") and isinstance(args[0], Value) and isinstance(args[1], Tensor):
            return builder.call(name, linear_of(args[1].mT, None), args[0])
        if operation in ("conv2d", "convolution"):
            return self._convolution(name, operation, args)
        if operation in ("batch_norm", "_native_batch_norm_legit_no_training"):
            weight, bias, mean, variance = args[1:5]
            if operation == "batch_norm" and args[5]:
                raise Refused("it normalises by the batch's own deviations")
            eps = args[7] if operation == "batch_norm" else args[6]
            made = builder.call(name, norm_of(weight, bias, mean, variance, eps, len(args[0].shape)), args[0])
            return made if operation == "batch_norm" else (made, None, None)
        if operation in ("max_pool2d", "max_pool2d_with_indices"):
            made = builder.call(name, nn.MaxPool2d(*_pool(args[1:], 4)), args[0])
            return made if operation == "max_pool2d" else (made, None)
        if operation == "avg_pool2d":
            return builder.call(name, nn.AvgPool2d(*_pool(args[1:], 6)), args[0])
        if operation in ("adaptive_avg_pool2d", "_adaptive_avg_pool2d"):
            return builder.call(name, nn.AdaptiveAvgPool2d(tuple(args[1])), args[0])
        if operation == "mean" and sorted(part % 4 for part in args[1]) == [2, 3] and len(args[0].shape) == 3:
            made = builder.call(name, nn.AdaptiveAvgPool2d(1), args[0])
            kept = len(args) > 2 and args[2]
            return made if kept else builder.moved(name, [made], lambda x: x.flatten(1))[0]
        raise Refused("no rule is known for it")

    def _convolution(self, name: str, operation: str, args: Any) -> Value:
        given = [*args[1:]]
        defaults: list[Any] = [None, None, [1, 1], [0, 0], [1, 1]]
        given += defaults[len(given) :]
        weight, bias, stride, padding, dilation, *rest = given
        groups = 1
        if operation == "convolution":
            if rest[0]:
                raise Refused("a transposed convolution")
            groups = rest[2]
        elif rest:
            groups = rest[0]
        if isinstance(padding, str):
            raise Refused(f"padding={padding!r}; give it in numbers")
        return self.builder.convolve(name, conv_of(weight, bias, stride, padding, dilation, groups), args[0])


def quotient(constant: Tensor) -> Tensor:
    """``1 / constant``, in float64: a product with it differs from the quotient by less than its rounding."""
    if not bool((constant != 0).all()):
        raise Refused("it divides by 0")
    return (1 / constant.double()).to(constant.dtype)


def _changes_its_input(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def _is_seen_elsewhere(value: Any) -> bool:
    """Whether anything but one operation reads a value, or what it is a view of."""
    while isinstance(value, fx.Node):
        if value.op != "call_function" or len(value.users) > 1:
            return True
        if _short(value.target) not in (*_MOVING, *_SAME, "getitem"):
            return False
        value = value.args[0]
    return True


def _pool(args: Any, count: int) -> list[Any]:
    """Arguments of a pooling; an empty stride is the kernel's size."""
    return [None if index == 1 and not part else part for index, part in enumerate(args[:count])]


def _replaced(part: Any, numbers: Any) -> Any:
    if isinstance(part, Value):
        return next(numbers)
    if isinstance(part, list | tuple) and any(isinstance(inner, Value) for inner in part):
        return [_replaced(inner, numbers) for inner in part]
    return part


def _flat(part: Any) -> list[Any]:
    if isinstance(part, dict):
        part = list(part.values())
    if isinstance(part, list | tuple):
        return [inner for each in part for inner in _flat(each)]
    return [part]


def _short(target: Any) -> str:
    """``pad`` of ``aten.pad.default``."""
    if target is operator.getitem:
        return "getitem"
    name = str(getattr(target, "overloadpacket", getattr(target, "__name__", target)))
    return name.rpartition(".")[2]
