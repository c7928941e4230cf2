"""Which arithmetic torch is set to. Needs torch alone: exported code carries it along."""

import torch


def coarse_products() -> bool:
    """Whether float32 matrix products or convolutions may run in TF32 or bf16 on some device, cuDNN's left aside."""
    backends = torch.backends
    settings = (getattr(backends.mkldnn, "conv", None), getattr(backends.mkldnn, "matmul", None), backends.cuda.matmul)
    if any(getattr(setting, "fp32_precision", "none") in ("tf32", "bf16") for setting in settings):
        return True
    return torch.get_float32_matmul_precision() != "highest"
