"""The network as torch code that needs no lipnet."""

import inspect
from typing import Any

from lipnet.export import deployed
from lipnet.export.parts import PARTS
from lipnet.layers.conv import same_padding

_PADS = {"circular": "nn.CircularPad2d", "zeros": "nn.ZeroPad2d"}


def network_source(layers: list[dict[str, Any]]) -> str:
    """The text of ``network.py``: the layers of ``lipnet.export.deployed`` and a ``build`` of this network."""
    shared, _, _ = inspect.getsource(deployed).rpartition("def build() ")
    lines = "".join(f"        {_code(layer)},\n" for layer in layers)
    return (
        f"{shared}def build() -> nn.Sequential:\n"
        f'    """The network with fresh weights."""\n    return nn.Sequential(\n{lines}    )\n'
    )


def _code(layer: dict[str, Any]) -> str:
    arguments = {key: value for key, value in layer.items() if key not in ("name", "type")}
    if layer["type"] in ("PaddedConv2d", "BlockedConv2d"):
        before, after = same_padding(layer["kernel_size"], layer["stride"], layer["dilation"])
        arguments["padding"] = f"{_PADS[layer['padding_mode']]}({(before, after, before, after)})"
    return PARTS[layer["type"]].code.format(**arguments)
