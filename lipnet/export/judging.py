"""What is proved of a network in a file of another program: node by node, and of the whole."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify import Rounding, lipschitz_bound, rounding_bound
from lipnet.certify.bound import measured_once
from lipnet.certify.rules.graph import bounds_of
from lipnet.errors import UserError
from lipnet.export.onnx_graph import read_onnx
from lipnet.export.reading import compare
from lipnet.export.torch_program import load_program, read_program
from lipnet.layers.blocks.graph import Graph

READERS = {".pt2": read_program, ".onnx": read_onnx}


@dataclass(frozen=True)
class Judged:
    """What is proved.

    Attributes:
        nodes: each node's name, what it is, its own bound, and that of all up to it.
        bound: on the Lipschitz constant of the whole, in L2.
        rounding: arithmetic -> how far a pass in it may be from exact arithmetic.
        shape: of an input.
    """

    nodes: list[tuple[str, str, float, float]]
    bound: float
    rounding: dict[str, Rounding]
    shape: tuple[int, ...]


def judge(path: Path) -> Judged:
    """Reads a ``.pt2`` or ``.onnx`` file, and proves what can be proved of it.

    Raises:
        UserError: it cannot be read, or a node has no rule; the message names it.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
    graph = READERS[path.suffix](path)
    with measured_once(), torch.no_grad():
        own = [_own_bound(path, graph, number) for number in range(1, len(graph.nodes) + 1)]
        whole = bounds_of(graph, lambda name, module, shape: lipschitz_bound(module, shape))
        nodes = []
        for number, node in enumerate(graph.nodes, 1):
            nodes.append((node.name, _kind(node.module, node.axis), own[number - 1], whole[number]))
        compare(path, graph, functools.partial(_original, path))
        rounding = {}
        for dtype in (torch.float64, torch.float32):
            try:
                rounding[str(dtype).removeprefix("torch.")] = rounding_bound(graph.to(dtype), graph.shapes[0], dtype)
            except TypeError as error:
                raise UserError(f"{path}: {error}.") from None
    return Judged(nodes, whole[-1], rounding, graph.shapes[0])


def _own_bound(path: Path, graph: Graph, number: int) -> float:
    """Of one node; of a sum or of what is joined, what it does to bounds is in the next column."""
    node = graph.nodes[number - 1]
    if node.module is None:
        return 1.0
    try:
        return lipschitz_bound(graph.calls[str(number)], graph.shapes[node.sources[0]])
    except TypeError as error:
        raise UserError(f"{path}: node {node.name}: {error}.") from None


def _kind(module: nn.Module | None, axis: int | None) -> str:
    if module is not None:
        return type(module).__name__
    return "sum" if axis is None else "joined"


def _original(path: Path, inputs: Tensor) -> Tensor:
    if path.suffix == ".pt2":
        found: Tensor = load_program(path).module()(inputs)
        return found
    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        evaluator: Any = ReferenceEvaluator(str(path))
        return torch.from_numpy(evaluator.run(None, {evaluator.input_names[0]: inputs.numpy()})[0])
    session: Any = onnxruntime.InferenceSession(str(path))
    return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: inputs.numpy()})[0])
