"""A lower bound on the Lipschitz constant: the Jacobian's norm at given points."""

import torch
from torch import Tensor, nn


def jacobian_lower_bound(model: nn.Module, inputs: Tensor, batch_size: int = 64) -> float:
    """The largest spectral norm of the Jacobian over ``inputs`` (``(examples, ...)``).

    The Lipschitz constant is at least the Jacobian's norm wherever the model is differentiable. Exact: one backward
    pass for each output, then a small SVD. ``model`` maps each example on its own (evaluation mode). 0 of no examples.
    """
    if not len(inputs):
        return 0.0
    return max(float(_norms(model, batch).max()) for batch in inputs.split(batch_size))


def _norms(model: nn.Module, inputs: Tensor) -> Tensor:
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad():
        outputs = model(inputs.clone())  # it may work in place
        rows = [torch.autograd.grad(column.sum(), inputs, retain_graph=True)[0] for column in outputs.unbind(1)]
    jacobian = torch.stack([row.flatten(1) for row in rows], dim=1)
    return torch.linalg.matrix_norm(jacobian.double(), ord=2)
