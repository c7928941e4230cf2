"""An ONNX file, read as a graph of modules that have a Lipschitz rule; needs the package onnx."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from lipnet.errors import UserError, reason_of
from lipnet.export.reading import Builder, Refused, Value, conv_of, linear_of, norm_of, refusal
from lipnet.export.torch_program import quotient
from lipnet.layers.activations.sorting import Abs
from lipnet.layers.blocks.graph import Graph, Sorted

_MOVING = (
    "DepthToSpace", "Expand", "Flatten", "Gather", "Pad", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze",
    "Tile", "Transpose", "Unsqueeze",
)  # fmt: skip
_SAME = ("Identity", "Dropout")
_ACTIVATIONS: dict[str, Callable[[dict[str, Any]], nn.Module]] = {
    "Relu": lambda given: nn.ReLU(),
    "Abs": lambda given: Abs(),
    "Sigmoid": lambda given: nn.Sigmoid(),
    "Tanh": lambda given: nn.Tanh(),
    "LeakyRelu": lambda given: nn.LeakyReLU(given.get("alpha", 0.01)),
    "Elu": lambda given: nn.ELU(given.get("alpha", 1.0)),
    "Gelu": lambda given: nn.GELU(given.get("approximate", b"none").decode()),
}
_DTYPES = (numpy.dtype("float32"), numpy.dtype("float64"))


def read_onnx(path: Path) -> Graph:
    """The graph of a file with one input and one output.

    Raises:
        UserError: onnx is not installed, the file cannot be read, or a node has no bound; the message names it.
    """
    try:
        import onnx
    except ImportError:
        raise UserError(f"{path}: reading it needs onnx; pip install 'lipnet[onnx]'.") from None
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:  # of a file that may hold anything
        raise UserError(f"{path}: no ONNX file ({reason_of(error, 150)}).") from None
    return _Reader(path, model).graph()


class _Reader:
    def __init__(self, path: Path, model: Any) -> None:
        import onnx
        from onnx import numpy_helper

        self.path, self.model, self.onnx = path, model, onnx
        constants = {part.name: numpy_helper.to_array(part) for part in model.graph.initializer}
        self.values: dict[str, Any] = {"": None, **constants}
        given = [part for part in model.graph.input if part.name not in constants]
        if len(given) != 1 or len(model.graph.output) != 1:
            counts = f"{len(given)} inputs and {len(model.graph.output)} outputs"
            raise UserError(f"{path}: has {counts}; a network of one tensor can be read.")
        axes = given[0].type.tensor_type.shape.dim
        shape = [axis.dim_value for axis in axes[1:]]
        if not shape or not all(shape):
            found = [_axis(axis) for axis in axes]
            raise UserError(f"{path}: its input has the shape {found}; all but the batch must be numbers.")
        self.builder = Builder(tuple(shape), axes[0].dim_value or 3)
        self.values[given[0].name] = self.builder.input

    def graph(self) -> Graph:
        used = self._used()
        for number, node in enumerate(self.model.graph.node):
            if not used & set(node.output):  # as the places of entries that nobody asks for
                continue
            name = node.name or f"number {number}"
            try:
                made = self._made(name, node)
            except Refused as reason:
                raise refusal(self.path, name, node.op_type, reason) from None
            except (TypeError, ValueError, RuntimeError, IndexError, KeyError, AssertionError) as error:
                raise refusal(self.path, name, node.op_type, f"cannot be read ({reason_of(error, 150)})") from None
            self.values.update(zip(node.output, made, strict=False))
        value = self.values.get(self.model.graph.output[0].name)
        if not isinstance(value, Value):
            raise UserError(f"{self.path}: its output does not depend on its input.")
        return self.builder.graph("output", value)

    def _used(self) -> set[str]:
        """The names of all values that the output is made of."""
        used = {part.name for part in self.model.graph.output}
        for node in reversed(self.model.graph.node):
            if used & set(node.output):
                used |= set(node.input)
        return used

    def _made(self, name: str, node: Any) -> list[Any]:
        inputs = [self.values[part] for part in node.input]
        given = {part.name: self.onnx.helper.get_attribute_value(part) for part in node.attribute}
        values = [part for part in inputs if isinstance(part, Value)]
        builder, operation = self.builder, node.op_type
        if operation == "Shape" and values:
            whole = numpy.array([builder.batch, *values[0].shape], dtype=numpy.int64)
            return [whole[given.get("start", 0) : given.get("end")]]
        if not values:
            return list(self._evaluated(node, inputs))
        if operation in _SAME or (operation == "Cast" and given["to"] in (1, 11)):
            return [inputs[0]]
        if operation in _MOVING:
            return self._moved(name, node, inputs, given)
        if operation == "Concat":
            return [builder.joined(name, inputs, given["axis"])]
        if operation in ("Max", "Min") and len(values) == len(inputs) == 2:
            return [builder.extreme(name, values[0], values[1], operation == "Max")]
        if operation in ("ReduceMax", "ReduceMin"):
            axes = given.get("axes") if len(inputs) < 2 or inputs[1] is None else inputs[1].tolist()
            if axes is None or len(axes) != 1:
                raise Refused("it compares entries of several axes")
            kept = bool(given.get("keepdims", 1))
            return [builder.extreme_along(name, inputs[0], axes[0], operation == "ReduceMax", kept)]
        if operation == "TopK":
            return [self._sorted(name, inputs, given)]
        if operation in ("Add", "Sub", "Mul", "Div", "Sum", "Neg"):
            return [self._arithmetic(name, operation, inputs, values)]
        if operation in _ACTIVATIONS:
            return [builder.call(name, _ACTIVATIONS[operation](given), inputs[0])]
        return [self._layer(name, operation, inputs, given)]

    def _evaluated(self, node: Any, inputs: list[Any]) -> Any:
        """The outputs of a node on these arrays, by onnx's own definition of it."""
        from onnx.reference import ReferenceEvaluator

        helper = self.onnx.helper
        names = [part for part in node.input if part]
        unknown = [helper.make_tensor_value_info(part, 0, None) for part in names]
        outputs = [helper.make_tensor_value_info(part, 0, None) for part in node.output if part]
        model = helper.make_model(
            helper.make_graph([node], "one", unknown, outputs), opset_imports=self.model.opset_import
        )
        arrays = {part: array for part, array in zip(node.input, inputs, strict=True) if part}
        return ReferenceEvaluator(model).run(None, arrays)

    def _moved(self, name: str, node: Any, inputs: list[Any], given: dict[str, Any]) -> list[Any]:
        if node.op_type == "Pad" and len(inputs) > 2 and inputs[2] is not None and numpy.any(inputs[2] != 0):
            raise Refused(f"it fills with {inputs[2]}, not with 0")
        places = [place for place, part in enumerate(inputs) if isinstance(part, Value)]
        if places != [0]:
            raise Refused("it takes places from the network's own values")
        if node.op_type == "Pad" and given.get("mode", b"constant") == b"constant" and len(inputs) > 2:
            inputs = [*inputs[:2], None, *inputs[3:]]  # a 0 of another type
            node = self.onnx.NodeProto.FromString(node.SerializeToString())
            node.input[2] = ""

        def operation(numbers: Tensor) -> list[Tensor]:
            made = self._evaluated(node, [numbers.numpy(), *inputs[1:]])
            return [torch.from_numpy(numpy.array(part)) for part in made]

        return list(self.builder.moved(name, [inputs[0]], operation))

    def _sorted(self, name: str, inputs: list[Any], given: dict[str, Any]) -> Value:
        value, axis = inputs[0], given.get("axis", -1)
        axis %= len(value.shape) + 1
        if axis == 0:
            raise Refused("it sorts the examples of a batch")
        if int(numpy.asarray(inputs[1]).reshape(-1)[0]) != value.shape[axis - 1]:
            raise Refused("it keeps some of the entries that it sorts")
        return self.builder.call(name, Sorted(axis, bool(given.get("largest", 1))), value)

    def _arithmetic(self, name: str, operation: str, inputs: list[Any], values: list[Value]) -> Value:
        builder = self.builder
        one, zero = torch.tensor(1.0), torch.tensor(0.0)
        if operation == "Neg":
            return builder.affine(name, inputs[0], -one, zero)
        if len(values) == len(inputs):
            if operation == "Sub":
                values = [values[0], builder.affine(name, values[1], -one, zero)]
            elif operation in ("Mul", "Div"):
                raise Refused("a product or a quotient of two values has no Lipschitz constant")
            return builder.total(name, values)
        constants = [_tensor(part) for part in inputs if not isinstance(part, Value)]
        constant = functools.reduce(torch.add, constants)
        one, zero = one.to(constant.dtype), zero.to(constant.dtype)
        first = isinstance(inputs[0], Value)
        if operation in ("Add", "Sum"):
            whole = builder.total(name, values) if len(values) > 1 else values[0]
            return builder.affine(name, whole, one, constant)
        if operation == "Sub":
            return builder.affine(name, values[0], one if first else -one, -constant if first else constant)
        if operation == "Div":
            if not first:
                raise Refused("one over a value has no Lipschitz constant")
            constant = quotient(constant)
        return builder.affine(name, values[0], constant, zero)

    def _layer(self, name: str, operation: str, inputs: list[Any], given: dict[str, Any]) -> Value:
        builder = self.builder
        if sum(isinstance(part, Value) for part in inputs) > 1:
            raise Refused("its weights or its bias are made of the input")
        if operation == "ReduceMean" and len(inputs[0].shape) == 3:
            axes = given.get("axes") if len(inputs) < 2 or inputs[1] is None else inputs[1].tolist()
            if axes is not None and sorted(axis % 4 for axis in axes) == [2, 3]:
                made = builder.call(name, nn.AdaptiveAvgPool2d(1), inputs[0])
                return made if given.get("keepdims", 1) else builder.moved(name, [made], lambda x: x.flatten(1))[0]
        numbers = [_tensor(part) if isinstance(part, numpy.ndarray) else None for part in inputs]
        if operation == "Gemm" and numbers[1] is not None and not given.get("transA", 0):
            weight = numbers[1] if given.get("transB", 0) else numbers[1].mT
            bias = numbers[2] if len(numbers) > 2 else None
            if bias is not None:
                bias = given.get("beta", 1.0) * bias.flatten().expand(len(weight))
            return builder.call(name, linear_of(given.get("alpha", 1.0) * weight, bias), inputs[0])
        if operation == "MatMul" and numbers[1] is not None and numbers[1].dim() == 2:
            return builder.call(name, linear_of(numbers[1].mT, None), inputs[0])
        if operation == "Conv" and numbers[1] is not None:
            return self._convolution(name, inputs[0], numbers, given)
        if operation == "PRelu" and numbers[1] is not None:
            layer = nn.PReLU(numbers[1].numel())
            layer.weight.data.copy_(numbers[1].flatten())
            return builder.call(name, layer, inputs[0])
        if operation == "BatchNormalization" and not given.get("training_mode", 0):
            mean, variance = numbers[3:5]
            if mean is not None and variance is not None:
                eps, axes = given.get("epsilon", 1e-5), len(inputs[0].shape)
                return builder.call(name, norm_of(numbers[1], numbers[2], mean, variance, eps, axes), inputs[0])
        if operation == "GlobalAveragePool":
            return builder.call(name, nn.AdaptiveAvgPool2d(1), inputs[0])
        if operation in ("MaxPool", "AveragePool"):
            return self._pooled(name, operation, inputs[0], given)
        raise Refused("no rule is known for it")

    def _convolution(self, name: str, value: Value, numbers: list[Any], given: dict[str, Any]) -> Value:
        value, padding = self._padded(name, value, given)
        bias = numbers[2] if len(numbers) > 2 else None
        stride, dilation = given.get("strides", [1, 1]), given.get("dilations", [1, 1])
        layer = conv_of(numbers[1], bias, stride, padding, dilation, given.get("group", 1))
        return self.builder.convolve(name, layer, value)

    def _padded(self, name: str, value: Value, given: dict[str, Any]) -> tuple[Value, list[int]]:
        """The value with the zeros of its borders where these are not the same on both sides; else how many."""
        if given.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
            raise Refused(f"auto_pad={given['auto_pad'].decode()}; give pads in numbers")
        top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
        if (top, left) == (bottom, right):
            return value, [top, left]
        pads = (left, right, top, bottom)
        return self.builder.moved(name, [value], lambda part: nn.functional.pad(part, pads))[0], [0, 0]

    def _pooled(self, name: str, operation: str, value: Value, given: dict[str, Any]) -> Value:
        kernel, stride = given["kernel_shape"], given.get("strides", [1, 1])
        top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
        if (top, left) != (bottom, right) or given.get("auto_pad", b"NOTSET") != b"NOTSET":
            raise Refused("its pads differ between the sides")
        if operation == "AveragePool" and set(given.get("dilations", [1])) != {1}:
            raise Refused("its windows are dilated")
        ceil = bool(given.get("ceil_mode", 0))
        layer: nn.Module
        if operation == "MaxPool":
            layer = nn.MaxPool2d(kernel, stride, (top, left), tuple(given.get("dilations", [1, 1])), False, ceil)
        else:
            layer = nn.AvgPool2d(kernel, stride, (top, left), ceil, bool(given.get("count_include_pad", 0)))
        return self.builder.call(name, layer, value)


def _tensor(array: Any) -> Tensor:
    found = numpy.asarray(array)
    if found.dtype not in _DTYPES:
        raise Refused(f"it has numbers of {found.dtype}; float32 and float64 are read")
    return torch.from_numpy(numpy.array(found))


def _axis(axis: Any) -> object:
    return axis.dim_value or axis.dim_param or "?"
