"""Checks an exported network against its certificate, from the files alone. No code of theirs is run."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify.assured import assured_constants
from lipnet.certify.bound import Shape, lipschitz_bound
from lipnet.certify.probe import MISFITS
from lipnet.errors import UserError, reason_of
from lipnet.export.certificate import (
    CERTIFICATE,
    FILES,
    FORMAT,
    WEIGHTS,
    file_hash,
    fingerprint,
    layer_bounds,
    preprocessing,
    probe,
    sealed,
    split_constants,
)
from lipnet.export.parts import rebuild
from lipnet.layers.shuffle import ChannelShuffle
from lipnet.options.checks import list_of, whole
from lipnet.runs.checkpoint import UNREADABLE
from lipnet.runs.weights import check_weights

_KEYS = {  # of a certificate, with the types of their values
    "format": int,
    "lipschitz_upper_bound": float,
    "input": dict,
    "layers": list,
    "weights": dict,
    "probe": list,
    "files": dict,
}
_BOUND_TOLERANCE = 1e-9  # relative; eigenvalue solvers differ by less from machine to machine
_PROBE_TOLERANCE = 1e-6  # relative to the largest output, in float64
_LARGEST = 64 * 2**20  # of a certificate, in bytes


@dataclass(frozen=True)
class Verified:
    """What was recomputed.

    Attributes:
        bound: the network's Lipschitz bound; ``claimed`` is the certificate's, not below it.
        layers: name, type and bound of each layer.
        files: those whose hashes were compared.
        assured: whether the network evaluates again, in float64, what float32 does not settle.
    """

    bound: float
    claimed: float
    layers: list[tuple[str, str, float]]
    files: list[str]
    assured: bool


def verify(path: Path) -> Verified:
    """Recomputes an export's bound from its weights and compares everything that ``certificate.json`` says of them.

    Args:
        path: the certificate, or the directory that holds it; the other files lie beside it.

    Raises:
        UserError: with every difference found.
    """
    if path.is_dir():
        path = path / CERTIFICATE
    certificate = _read_certificate(path)
    problems = []
    if sealed(certificate) != certificate:
        problems.append(f"{path}: it was edited after it was written.")
    compared = _compare_files(path.parent, certificate["files"], problems)
    state = _read_weights(path.parent / WEIGHTS, problems)
    _compare_weights(certificate["weights"], state, problems)
    try:
        verified = _recompute(certificate, state, compared, problems)
    except UserError as error:
        raise UserError(*problems, *error.problems) from None
    if problems:
        raise UserError(*problems)
    return verified


def _read_certificate(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST:
            raise UserError(f"{path}: too large for a certificate.")
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give an export's certificate.json.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}).") from None
    known = isinstance(content, dict) and all(isinstance(content.get(key), kind) for key, kind in _KEYS.items())
    if not known or content["format"] != FORMAT:
        raise UserError(f"{path}: not a certificate of this version of lipnet.")
    return content


def _refuse(name: str) -> float:
    raise ValueError(f"it holds {name}")


def _compare_files(directory: Path, hashes: dict[str, Any], problems: list[str]) -> list[str]:
    """The files that are there, compared; the weights must be, the others may have been left behind."""
    compared = []
    for name, expected in hashes.items():
        path = directory / name
        if name not in FILES:  # a certificate can ask for no file but these
            problems.append(f"files: {name} is none of {', '.join(FILES)}.")
        elif path.is_file():
            compared.append(name)
            if file_hash(path) != expected:
                problems.append(f"{path}: it was changed after the certificate was written (its SHA-256 differs).")
    if WEIGHTS not in hashes:
        problems.append(f"files: {WEIGHTS} is missing.")
    return compared


def _read_weights(path: Path, problems: list[str]) -> dict[str, Tensor]:
    """Raises ``UserError`` with the problems so far where there is nothing more to compare."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = reason_of(error)
        raise UserError(*problems, f"{path}: not a readable file of weights ({reason}).") from None
    try:
        check_weights(state, str(path))
    except UserError as error:
        raise UserError(*problems, *error.problems) from None
    return state


def _compare_weights(claimed: dict[str, Any], state: dict[str, Tensor], problems: list[str]) -> None:
    for name in sorted({*claimed, *state}):
        if name not in state:
            problems.append(f"{name}: the certificate speaks of it, {WEIGHTS} does not hold it.")
        elif name not in claimed:
            problems.append(f"{name}: {WEIGHTS} holds it, the certificate does not speak of it.")
        elif fingerprint(state[name]) != claimed[name]:
            problems.append(f"{name}: its shape, type or numbers are not the certified ones.")


def _recompute(
    certificate: dict[str, Any], state: dict[str, Tensor], compared: list[str], problems: list[str]
) -> Verified:
    """Bounds, preprocessing and the probe's outputs, from the weights and the described layers."""
    layers, claimed = certificate["layers"], certificate["lipschitz_upper_bound"]
    state, constants = split_constants(state)
    network = rebuild(layers, state)
    try:
        shape = tuple(list_of(whole(1, at_most=2**20), at_least=1)(certificate["input"].get("shape")))
        bound, bounds, outputs = lipschitz_bound(network, shape), layer_bounds(network, shape), probe(network, shape)
    except MISFITS as error:
        reason = reason_of(error, 300)
        raise UserError(f"the layers do not fit each other or the input ({reason}).") from None
    if not bound <= claimed * (1 + _BOUND_TOLERANCE):
        problems.append(f"lipschitz_upper_bound: {claimed} is claimed, {bound} is what the weights prove.")
    for layer, found in zip(layers, bounds, strict=True):
        stated = layer.get("lipschitz_upper_bound")
        if not isinstance(stated, float) or not found <= stated * (1 + _BOUND_TOLERANCE):
            problems.append(f"layer {layer['name']}, {layer['type']}: bound {stated} is claimed, {found} is proved.")
    for key, values in zip(("mean", "std"), preprocessing(layers, state), strict=True):
        if certificate["input"].get(key) != values:
            problems.append(f"input.{key}: {certificate['input'].get(key)} is stated, the weights hold {values}.")
    if not _close(outputs, certificate["probe"]):
        problems.append("probe: the layers give other outputs at the fixed input than the certified network did.")
    assured = bool(constants)
    if certificate.get("assured", False) is not assured:
        problems.append(f"assured: {certificate.get('assured')} is stated, the weights' file says {assured}.")
    if assured:
        _compare_constants(network, constants, shape, problems)
    names = [(layer["name"], layer["type"], found) for layer, found in zip(layers, bounds, strict=True)]
    return Verified(bound, claimed, names, compared, assured)


def _compare_constants(network: nn.Sequential, stated: dict[str, Tensor], shape: Shape, problems: list[str]) -> None:
    """An assured network may take float32 for less exact than it is, never for more."""
    orders = {id(layer.order) for layer in network.modules() if isinstance(layer, ChannelShuffle)}
    numbers = [tensor for tensor in (*network.parameters(), *network.buffers()) if id(tensor) not in orders]
    if any(tensor.dtype is not torch.float32 for tensor in numbers):
        problems.append(f"{WEIGHTS}: an assured network's weights are float32.")
    narrow = stated.get("narrow", torch.zeros(2))
    if narrow.dtype is not torch.int64 or narrow.dim() or not 0 <= int(narrow) <= len(network):
        problems.append(f"assured.narrow: missing, or no whole number from 0 to {len(network)}.")
        return
    proved = assured_constants(network, shape, int(narrow)) | {"shape": torch.tensor(shape)}
    for name in sorted({*stated} - {*proved}):
        problems.append(f"assured.{name}: no constant of an assured network.")
    for name, found in proved.items():
        given = stated.get(name, torch.zeros(0))
        if given.dtype is not found.dtype or given.shape != found.shape:
            problems.append(f"assured.{name}: missing, or not {found.dtype} of shape {tuple(found.shape)}.")
        elif not _covers(name, given, found):
            problems.append(f"assured.{name}: {given.tolist()} is stated, {found.tolist()} is what the weights prove.")


def _covers(name: str, given: Tensor, found: Tensor) -> bool:
    if not found.is_floating_point():
        return torch.equal(given, found)
    if name == "largest":  # larger inputs are evaluated again: a smaller number claims less
        return bool((given <= found * (1 + _BOUND_TOLERANCE)).all())
    return bool((found <= given * (1 + _BOUND_TOLERANCE)).all())


def _close(found: list[float], stated: list[Any]) -> bool:
    if len(found) != len(stated):
        return False
    tolerance = _PROBE_TOLERANCE * max(1.0, *map(abs, found))
    for value, number in zip(found, stated, strict=True):
        if not (isinstance(number, float) and math.isfinite(number) and abs(value - number) <= tolerance):
            return False
    return True
