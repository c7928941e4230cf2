"""``certificate.json``: what is claimed of an exported network, and all that it takes to check the claim."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify import Assured
from lipnet.certify.bound import Shape, lipschitz_bound, measured_once, output_shape
from lipnet.certify.walk import walk
from lipnet.export.parts import rebuild

FORMAT = 1
WEIGHTS, SAFETENSORS, CERTIFICATE = "weights.pt", "weights.safetensors", "certificate.json"
_ASSURED = "assured."  # before the names of constants in the file of weights
FILES = (WEIGHTS, SAFETENSORS, "network.py", "network.onnx")  # those that a certificate may speak of


def certify_export(directory: Path, layers: list[dict[str, Any]], state: dict[str, Tensor], shape: Shape) -> dict:
    """The certificate of the files in ``directory``, from the exported layers and weights alone.

    Args:
        layers: as ``describe`` gives them.
        state: the weights and, of an assured network, its constants.
        shape: of one input, without batch axis.
    """
    weights, constants = split_constants(state)
    network = rebuild(layers, weights)
    outputs = output_shape(network, shape)
    means, stds = preprocessing(layers, state)
    bounded = []
    for layer, bound in zip(layers, layer_bounds(network, shape), strict=True):
        bounded.append(layer | {"lipschitz_upper_bound": bound})
    certificate = {
        "format": FORMAT,
        "norm": "L2",
        "lipschitz_upper_bound": lipschitz_bound(network, shape),
        "input": {"shape": list(shape), "dtype": "float32", "mean": means, "std": stds},
        "outputs": outputs[0] if len(outputs) == 1 else list(outputs),
        "layers": bounded,
        "weights": {name: fingerprint(tensor) for name, tensor in state.items()},
        "probe": probe(network, shape),
        "files": {name: file_hash(directory / name) for name in FILES if (directory / name).is_file()},
    }
    if constants:
        certificate["assured"] = True
    return certificate


def with_constants(state: dict[str, Tensor], network: Assured) -> dict[str, Tensor]:
    """The weights and what an ``Assured`` network compares with, in one file: its code reads them from there."""
    constants = dict(network.named_buffers(recurse=False)) | {"shape": torch.tensor(network.shape)}
    return state | {f"{_ASSURED}{name}": tensor.cpu() for name, tensor in constants.items()}


def split_constants(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights, and the shape and constants of an assured network: none where the network is not assured."""
    weights, constants = {}, {}
    for name, tensor in state.items():
        if name.startswith(_ASSURED):
            constants[name.removeprefix(_ASSURED)] = tensor
        else:
            weights[name] = tensor
    return weights, constants


def layer_bounds(network: nn.Sequential, shape: Shape) -> list[float]:
    """The Lipschitz bound of each layer that ``describe`` names."""
    with measured_once():
        return [lipschitz_bound(layer.module, layer.input_shape) for layer in walk(network, shape)]


def preprocessing(layers: list[dict[str, Any]], state: dict[str, Tensor]) -> tuple[list[float] | None, ...]:
    """Mean and std of the first layer's normalisation, which is part of the network; ``None`` where there is none."""
    for layer in layers:
        if layer["type"] == "Normalize":
            name = layer["name"]
            return state[f"{name}.mean"].flatten().tolist(), state[f"{name}.std"].flatten().tolist()
        if layer["type"] != "Sequential":  # which the first layer may be inside of
            break
    return None, None


@torch.no_grad()
def probe(network: nn.Sequential, shape: Shape) -> list[float]:
    """The outputs at one fixed input: they depend on every layer, activations and mean included."""
    count = torch.Size(shape).numel()
    pixels = torch.frac(torch.arange(1, count + 1, dtype=torch.float64) * 0.6180339887498949)  # spread over [0, 1)
    return copy.deepcopy(network).double()(pixels.view(1, *shape))[0].flatten().tolist()


def fingerprint(tensor: Tensor) -> dict[str, Any]:
    """Shape, type, and SHA-256 of the little-endian numbers in row-major order."""
    digest = hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
    return {"shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch."), "sha256": digest}


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sealed(certificate: dict[str, Any]) -> dict[str, Any]:
    """The certificate with its own SHA-256 (of its JSON with sorted keys), which shows any later edit."""
    content = {key: value for key, value in certificate.items() if key != "sha256"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return content | {"sha256": hashlib.sha256(text.encode()).hexdigest()}
