"""Permutations by gradient descent: doubly stochastic matrices and a penalty (Lyu et al. 2019, arXiv 1901.08624).

Of a signed permutation, all of this is said of the entries' absolute values.
"""

import torch
from torch import Tensor

from lipnet.layers.orthogonal import OrthogonalizationError


def permutation_penalty(matrix: Tensor) -> Tensor:
    """``sum over rows and columns of |r|_1 - |r|_2``: of doubly stochastic matrices, 0 at the permutations alone."""
    rows, columns = (
        torch.linalg.vector_norm(matrix, 1, dim) - torch.linalg.vector_norm(matrix, 2, dim) for dim in (1, 0)
    )
    return rows.sum() + columns.sum()


def row_deficits(matrix: Tensor) -> Tensor:
    """``1 - |r|_2`` of each row.

    Where the matrix is doubly stochastic and all are below ``1 - 1/sqrt(2)``, its largest entries make a permutation: a
    row's largest entry is at least ``|r|_2²``, hence above a half, and no column holds two of these.
    """
    return 1 - torch.linalg.vector_norm(matrix, 2, 1)


def scaled(matrix: Tensor, signed: bool = False) -> Tensor:
    """Negative entries at 0 unless ``signed``, then columns and then rows divided by their sums.

    A column or row of zeros has lost all its choices, and begins again with equal ones.
    """
    matrix = matrix if signed else matrix.clamp_min(0)
    for dim in (0, 1):
        sums = matrix.abs().sum(dim, keepdim=True)
        matrix = torch.where(sums == 0, 1 / len(matrix), matrix / sums)
    return matrix


def nearest_permutation(matrix: Tensor) -> Tensor:
    """The column of each row, ``(n,)`` int64, of the permutation of largest sum over the entries' absolute values.

    The largest entries of the rows where these lie in different columns, since no permutation has more; else by the
    Hungarian algorithm.

    Raises:
        OrthogonalizationError: an entry is not finite.
    """
    sizes = matrix.detach().abs()
    if not bool(torch.isfinite(sizes).all()):
        raise OrthogonalizationError("no permutation is nearest to a matrix with entries that are not finite")
    order = sizes.argmax(1)
    if len(order.unique()) == len(order):
        return order
    from scipy.optimize import linear_sum_assignment

    return torch.from_numpy(linear_sum_assignment(sizes.double().cpu().numpy(), maximize=True)[1]).to(order)
