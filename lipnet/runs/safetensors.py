"""Files of tensors in the safetensors format: a header in JSON, then the numbers; reading one runs no code.

The format is that of https://github.com/huggingface/safetensors; the package is not needed.
"""

import json
import math
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from lipnet.errors import UserError, reason_of
from lipnet.runs.files import write_atomically

_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_LARGEST = 100 * 2**20  # of a header, in bytes, as the package has it


def write_safetensors(path: Path, state: dict[str, Tensor]) -> None:
    """Writes tensors by name, atomically."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    blocks, place = [], 0
    for name, tensor in state.items():
        block = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        offsets = [place, place + len(block)]
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        blocks.append(block)
        place += len(block)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers begin at a multiple of eight

    def write(file: IO) -> None:
        file.write(len(text).to_bytes(8, "little") + text)
        for block in blocks:
            file.write(block)

    write_atomically(path, write, "wb")


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors by name.

    Raises:
        UserError: it is no such file, or damaged.
    """
    try:
        content = path.read_bytes()
        size = int.from_bytes(content[:8], "little")
        if len(content) < 8 or size > min(_LARGEST, len(content) - 8):
            raise ValueError("its header is cut off")
        header = json.loads(content[8 : 8 + size])
        data = content[8 + size :]
        return {name: _tensor(entry, data) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = reason_of(error, 150)
        raise UserError(f"{path}: not a readable safetensors file ({reason}).") from None


def _tensor(entry: dict[str, Any], data: bytes) -> Tensor:
    dtype, shape = _DTYPES[entry["dtype"]], [int(size) for size in entry["shape"]]
    start, end = entry["data_offsets"]
    count = math.prod(shape)
    if not 0 <= start <= end <= len(data) or end - start != count * dtype.itemsize or min(shape, default=0) < 0:
        raise ValueError("a tensor reaches beyond its numbers")
    if not count:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(data[start:end]), dtype=dtype).view(shape)
