"""The network as torch code that needs no lipnet."""

import inspect
from typing import Any

from lipnet.certify.arithmetic import coarse_products
from lipnet.certify.assured import Assured
from lipnet.export import deployed, deployed_assured
from lipnet.export.parts import PARTS
from lipnet.layers.convolutions.padded import same_padding

_PADS = {"circular": "nn.CircularPad2d", "zeros": "nn.ZeroPad2d"}


def network_source(layers: list[dict[str, Any]], assured: bool = False) -> str:
    """The text of ``network.py``: the layers of ``lipnet.export.deployed`` and a ``build`` of this network.

    Args:
        assured: whether ``load`` gives an ``Assured`` network of these layers.
    """
    shared, _, _ = inspect.getsource(deployed).rpartition("def build() ")
    shared = _assured(shared) if assured else shared
    lines = "".join(f"        {_code(layer)},\n" for layer in layers)
    return (
        f"{shared}def build() -> nn.Sequential:\n"
        f'    """The network with fresh weights."""\n    return nn.Sequential(\n{lines}    )\n'
    )


def _assured(shared: str) -> str:
    """With the classes that an assured network needs, and its own ``load``."""
    before, _, _ = shared.partition("def load() ")
    before = before.replace("# float32 in [0, 1]", "# float64, of float32 images in [0, 1]", 1)
    before = before.replace(
        "from pathlib import Path\n", "import copy\nfrom pathlib import Path\nfrom typing import Any\n", 1
    )
    parts = (coarse_products, Assured, deployed_assured.load)
    return before + "".join(f"{inspect.getsource(part)}\n\n" for part in parts)


def _code(layer: dict[str, Any]) -> str:
    arguments = {key: value for key, value in layer.items() if key not in ("name", "type")}
    if layer["type"] in ("PaddedConv2d", "BlockedConv2d"):
        before, after = same_padding(layer["kernel_size"], layer["stride"], layer["dilation"])
        arguments["padding"] = f"{_PADS[layer['padding_mode']]}({(before, after, before, after)})"
    return PARTS[layer["type"]].code.format(**arguments)
