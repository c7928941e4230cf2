"""How far chains can be trusted: R-hat and the effective sample size, by ArviZ, of what the networks say.

Parameters themselves do not converge, and need not: hidden units can change places.
"""

import importlib.util
from collections.abc import Iterator

import torch
from torch import Tensor

from lipnet.tasks.bayes.results import Diagnostics

PACKAGE = "arviz_stats"
_DRAWS = 10  # of a chain: in fewer, no correlation can be seen, and any number would be called independent
_R_HAT, _EFFECTIVE, _DIVERGENT, _ACCEPTANCE = 1.05, 100.0, 0.01, (0.3, 0.98)


def diagnose(outputs: Tensor, chains: int) -> Diagnostics:
    """Of the outputs ``(members, points)`` of several chains; the worst of all points. Empty without ArviZ.

    Chains of a few draws, and a single chain, say nothing of themselves.
    """
    draws = len(outputs) // chains
    if importlib.util.find_spec(PACKAGE) is None or chains < 2 or draws < _DRAWS:
        return {}
    from arviz_stats.base import array_stats

    values = outputs.view(chains, draws, -1).numpy()
    r_hat = torch.as_tensor(array_stats.rhat(values, chain_axis=0, draw_axis=1))
    effective = torch.as_tensor(array_stats.ess(values, chain_axis=0, draw_axis=1))
    return {"r_hat": float(r_hat.max()), "effective_samples": float(effective.min())}


def notices(found: Diagnostics) -> Iterator[str]:
    """A sentence for each number that is poor, with what usually helps."""
    if found.get("r_hat", 1.0) > _R_HAT:
        yield f"R-hat is {found['r_hat']:.3f}: the chains do not agree yet; more inference.burn_in and inference.thin."
    if found.get("effective_samples", _EFFECTIVE) < _EFFECTIVE:
        count = found["effective_samples"]
        yield f"{count:.0f} effective samples: the draws depend on each other; more inference.thin."
    if found.get("divergences", 0.0) > _DIVERGENT:
        share = found["divergences"]
        yield f"{share:.1%} of the trajectories diverged; a higher inference.acceptance, or a smaller step."
    acceptance = found.get("acceptance", 0.8)
    if not _ACCEPTANCE[0] <= acceptance <= _ACCEPTANCE[1]:
        yield f"{acceptance:.1%} of the proposals are accepted: inference.step is too {_size(acceptance)}."


def _size(acceptance: float) -> str:
    return "large" if acceptance < _ACCEPTANCE[0] else "small"
