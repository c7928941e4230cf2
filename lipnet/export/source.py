"""The network as torch code that needs no lipnet."""

import inspect
import re
import textwrap
from typing import Any

from lipnet.certify.arithmetic import coarse_products
from lipnet.certify.assured import Assured
from lipnet.export import deployed, deployed_assured, deployed_blocks
from lipnet.export.activations import own_source, used_names
from lipnet.export.parts import BLOCKS, part_of
from lipnet.layers.convolutions.padded import same_padding

_PADS = {"circular": "nn.CircularPad2d", "zeros": "nn.ZeroPad2d"}


def network_source(layers: list[dict[str, Any]], assured: bool = False, example: str | None = None) -> str:
    """The text of ``network.py``: the layers of ``lipnet.export.deployed`` and a ``build`` of this network.

    Args:
        assured: whether ``load`` gives an ``Assured`` network of these layers.
        example: how it is used, a line; ``None``: with images that it has logits for.
    """
    shared, _, _ = inspect.getsource(deployed).rpartition("def build() ")
    shared = _assured(shared) if assured else shared
    shared = re.sub(r"^>>> logits = .*$", f">>> {example}", shared, count=1, flags=re.M) if example else shared
    classes = _activations(layers) + _own_classes(layers)
    shared = shared.replace("def load() ", f"{classes}def load() ", 1)
    if "math" in used_names(classes):
        shared = shared.replace("from pathlib", "import math\nfrom pathlib", 1)
    lines = _lines(layers, "")
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


def _activations(layers: list[dict[str, Any]]) -> str:
    """The classes of the activations that the network has, but torch's own."""
    parts = [part_of(layer["type"]) for layer in layers]
    classes = dict.fromkeys(part.carried for part in parts if part is not None and part.carried is not None)
    return "".join(f"{own_source(kind)}\n\n" for kind in classes)


def _own_classes(layers: list[dict[str, Any]]) -> str:
    """The classes of the network's layers that torch has none of."""
    kinds = {layer["type"] for layer in layers}
    known = (
        deployed_blocks.Residual, deployed_blocks.Concat, deployed_blocks.Mirrored, deployed_blocks.ChannelShuffle,
        deployed_blocks.FitChannels,
    )  # fmt: skip
    return "".join(f"{inspect.getsource(kind)}\n\n" for kind in known if kind.__name__ in kinds)


def _lines(layers: list[dict[str, Any]], prefix: str) -> str:
    """The lines of the layers named ``PREFIX0``, ``PREFIX.branch``, ..., those inside of them included."""
    inside = [layer for layer in layers if layer["name"].rpartition(".")[0] == prefix]
    lines = ""
    for layer in inside:
        _, _, own = layer["name"].rpartition(".")
        keyword = "" if own.isdecimal() else f"{own}="
        lines += f"        {keyword}{_code(layer, layers)},\n"
    return lines


def _code(layer: dict[str, Any], layers: list[dict[str, Any]]) -> str:
    if layer["type"] in BLOCKS:
        within = f"{layer['name']}.branches" if layer["type"] == "Concat" else layer["name"]
        kind = "nn.Sequential" if layer["type"] == "Sequential" else layer["type"]
        return f"{kind}(\n{textwrap.indent(_lines(layers, within), '    ')}        )"
    arguments = {key: value for key, value in layer.items() if key not in ("name", "type")}
    if layer["type"] in ("PaddedConv2d", "BlockedConv2d"):
        before, after = same_padding(layer["kernel_size"], layer["stride"], layer["dilation"])
        arguments["padding"] = f"{_PADS[layer['padding_mode']]}({(before, after, before, after)})"
    part = part_of(layer["type"])
    assert part is not None, f"{layer['type']} was described"
    return part.code.format(**arguments)
