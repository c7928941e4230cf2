"""The network as an ONNX file, for other runtimes."""

import logging
import warnings
from pathlib import Path

import torch
from torch import nn

from lipnet.certify.bound import Shape


def write_onnx(path: Path, network: nn.Module, shape: Shape) -> None:
    """Writes a plain network with inputs ``(batch, *shape)``, float32, of any batch size; needs onnx and onnxscript."""
    for name in ("onnx_ir", "onnxscript"):  # they tell of every pass
        logging.getLogger(name).setLevel(logging.WARNING)
    batch = {0: torch.export.Dim("batch")}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the converter's own code
        program = torch.export.export(network, (torch.rand(2, *shape),), dynamic_shapes=(batch,))
        torch.onnx.export(
            program, f=str(path), dynamo=True, external_data=False, verbose=False,
            input_names=["images"], output_names=["logits"],
        )  # fmt: skip
