"""Changes to an export, as an accident or a forger makes them: each is called with the directory of a copy."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lipnet.export.certificate import sealed


def certificate_of(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "certificate.json").read_text())


def flip(path: Path, place: int, bit: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= bit
    path.write_bytes(content)


def change_weights(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    """Changes the dict of tensors and writes it as an honest file of weights."""

    def apply(directory: Path) -> None:
        state = torch.load(directory / "weights.pt", weights_only=True)
        change(state)
        torch.save(state, directory / "weights.pt")

    return apply


def edit(change: Callable[[dict[str, Any]], object], seal: bool = True) -> Callable[[Path], None]:
    """Changes the certificate, and makes its own hash right again: what is left to find is the change itself."""

    def apply(directory: Path) -> None:
        certificate = certificate_of(directory)
        change(certificate)
        written = sealed(certificate) if seal else certificate
        (directory / "certificate.json").write_text(json.dumps(written))

    return apply


def forge_weights(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    """Changes weights, and every hash with them."""

    def apply(directory: Path) -> None:
        change_weights(change)(directory)
        state = torch.load(directory / "weights.pt", weights_only=True)

        def rehash(certificate: dict[str, Any]) -> None:
            certificate["files"]["weights.pt"] = hashlib.sha256((directory / "weights.pt").read_bytes()).hexdigest()
            for name, tensor in state.items():
                certificate["weights"][name]["sha256"] = hashlib.sha256(tensor.numpy().tobytes()).hexdigest()

        edit(rehash)(directory)

    return apply
