"""What ``load`` is in the code of an assured network."""

from pathlib import Path

import torch

from lipnet.certify.assured import Assured
from lipnet.export.deployed import build


def load() -> Assured:
    """The network with the weights beside this file; ``load().answer(images)`` says what was evaluated again."""
    state = torch.load(Path(__file__).with_name("weights.pt"), map_location="cpu", weights_only=True)
    shape = tuple(state.pop("assured.shape").tolist())
    constants = {name: state.pop(f"assured.{name}") for name in ("slopes", "offset", "largest", "narrow")}
    network = build()
    network.load_state_dict(state)
    return Assured(network.requires_grad_(False), shape, **constants)
