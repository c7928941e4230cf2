"""Free matrices kept well-conditioned during training, without changing the network."""

import math

import torch
from torch import Tensor, nn

from lipnet.layers.orthogonal import cholesky, inverse_cholesky_factor

_CONDITION = 10.0  # condition number from which a free matrix is replaced


@torch.no_grad()
def recondition(model: nn.Module) -> int:
    """Replaces ill-conditioned free matrices by the orthonormal ones they stand for, at the same Frobenius norm.

    A map onto orthonormal matrices does not see the scale or, for ``cholesky``, any triangular factor of its argument,
    so optimizer steps let both drift; square matrices end up with condition numbers of thousands. Directions of small
    singular values then turn by large angles at every step, and the orthonormalisation needs its slow, careful path.
    The effective weights stay as they are, up to rounding. Call it between steps, not between forward and backward.

    Returns:
        How many parameters were replaced.
    """
    replaced = 0
    for layer in model.modules():
        if getattr(layer, "orthogonalize", None) is cholesky:
            matrices = [p for name, p in layer.named_parameters(recurse=False) if name.startswith("raw_") and p.numel()]
            replaced += sum(_recondition(matrix) for matrix in matrices)
    return replaced


def _recondition(matrix: Tensor) -> bool:
    tall = matrix if matrix.shape[-2] >= matrix.shape[-1] else matrix.mT
    if inverse_cholesky_factor(tall, _CONDITION**2)[1] <= _CONDITION**2:
        return False
    size = torch.linalg.matrix_norm(matrix, keepdim=True) / math.sqrt(tall.shape[-1])
    matrix.copy_(cholesky(matrix) * size)
    return True
