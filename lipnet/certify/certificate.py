"""Certified radii that count the rounding of the forward pass."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipnet.certify.arithmetic import coarse_products
from lipnet.certify.bound import Shape, lipschitz_bound, measured_once
from lipnet.certify.evaluation import Evaluation
from lipnet.certify.pairwise import pairwise_lipschitz_bounds
from lipnet.certify.radius import (
    Examples,
    at_once,
    certified_radii,
    class_numbers,
    margins,
    pairwise_certified_radii,
    signed_radii,
)
from lipnet.certify.rounding import Line, Rounding, rounding_in_balls

_ROOT = math.sqrt(2) * (1 + 1e-15)  # from an L2 error of the logits to one of a difference of two


@dataclass(frozen=True)
class Certificate:
    """What one forward pass proves about examples, for the network as evaluated in one or another arithmetic.

    Attributes:
        logits: as computed, ``(examples, classes)``.
        labels: ``(examples,)``.
        lipschitz: upper bound of the network.
        constants: of the differences of two logits, ``(classes, classes)``.
        observed: the arithmetic of the forward pass.
        rounding: arithmetic -> what it may do to the logits in the balls about the examples.
    """

    logits: Tensor
    labels: Tensor
    lipschitz: float
    constants: Tensor
    observed: torch.dtype
    rounding: dict[torch.dtype, Rounding]

    @property
    def margins(self) -> Tensor:
        """``z_y - max_{j != y} z_j`` of each example, float64."""
        return margins(self.logits, self.labels).double()

    def slack(self, deployed: torch.dtype | None = None) -> Tensor:
        """What rounding may have taken from a difference of two logits, here and, deployed, at the example itself.

        Without ``deployed``: what the forward pass' own rounding may have; then radii hold in exact arithmetic.
        """
        here = torch.zeros(len(self.logits), dtype=torch.float64, device=self.logits.device)
        error = Line(0.0, self._rounding(self.observed).seen).at(here)
        if deployed is not None:
            error = error + self._rounding(deployed).error.at(here)
        # The subtractions, in float64, err by an ulp of the logits each.
        return _ROOT * error + 8 * torch.finfo(torch.float64).eps * self.logits.double().abs().amax(1)

    def radii(self, deployed: torch.dtype | None = None) -> Tensor:
        """L2 radii, float64 ``(examples,)``, within which each input that ``deployed`` holds exactly gets the label.

        At an input x' at a distance r the deployed pass errs by at most ``error(0) + slope · r``:
        ``r = (z_y - max z_j - √2 (observed error + deployed error(0))) / (√2 (L + slope))``.

        Raises:
            TypeError: nothing was proved for that arithmetic: it is none, or does not hold the weights.
        """
        slope = self._slope(deployed)
        radii = certified_radii(self.logits, self.labels, self.lipschitz * (1 + 1e-15) + slope, self.slack(deployed))
        return self._held(radii, deployed)

    def radii_per_pair(self, deployed: torch.dtype | None = None) -> Tensor:
        """As ``radii``, from the constants of pairs of classes; never lower."""
        constants = (self.constants + _ROOT * self._slope(deployed)) * (1 + 1e-15)
        radii = pairwise_certified_radii(self.logits, self.labels, constants, self.slack(deployed))
        return torch.maximum(self._held(radii, deployed), self.radii(deployed))

    def signed_radii(self) -> tuple[Tensor, Tensor]:
        """Lower and upper bounds on ``min_{j != k} (z_k - z_j) / C_kj`` of each class k, ``(examples, classes)`` both.

        Of the function in exact arithmetic, at the examples themselves, with the constants of pairs; it is 1-Lipschitz
        in the input. Infinite where the forward pass may have overflown.
        """
        lower, upper = signed_radii(self.logits, self.constants, self.slack())
        here = torch.zeros(len(self.logits), dtype=torch.float64, device=self.logits.device)
        held = (self._rounding(self.observed).peak.at(here) < torch.finfo(self.observed).max / 4)[:, None]
        return torch.where(held, lower, -math.inf), torch.where(held, upper, math.inf)

    def radii_without_allowance(self) -> Tensor:
        """What the radii would be if nothing rounded: to say what the allowances cost, not to be relied on."""
        return certified_radii(self.logits, self.labels, self.lipschitz, torch.zeros_like(self.margins))

    def _slope(self, deployed: torch.dtype | None) -> float:
        slope = 0.0 if deployed is None else self._rounding(deployed).error.slope * (1 + 1e-12)
        return math.inf if math.isnan(slope) else slope  # of a network that diverged: 0 · infinity

    def _rounding(self, dtype: torch.dtype) -> Rounding:
        if dtype not in self.rounding:
            names = " and ".join(str(known) for known in self.rounding)
            reason = "it does not hold all of its weights" if dtype is torch.float32 else "only these are known here"
            raise TypeError(f"this network is certified in {names}, not in {dtype!r}: {reason}")
        return self.rounding[dtype]

    def _held(self, radii: Tensor, deployed: torch.dtype | None) -> Tensor:
        """0 where a number on the way may overflow, in the forward pass or in the ball."""
        for dtype in {self.observed, deployed or self.observed}:
            peak = self._rounding(dtype).peak.at(radii)
            radii = torch.where(peak < torch.finfo(dtype).max / 4, radii, 0.0)
        return radii


Forward = Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]  # (function of each number, numbers) -> its values


def _whole(function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    return function(inputs)


@torch.no_grad()
def certify(
    network: nn.Module, inputs: Examples, labels: Tensor, batch_size: int | None = None, share: Forward = _whole
) -> Certificate:
    """Evaluates a network on examples and bounds everything that certified radii need.

    Args:
        network: in evaluation mode, as it would be deployed: ``to_plain(model).to(dtype)``. Its floating-point type is
            that of the pass; float64 costs several times float32, and an accuracy that float32's allowance takes.
        inputs: ``(examples, ...)``, float32 or of the network's type; radii are around these numbers as they are. They
            are asked for batch by batch.
        labels: ``(examples,)`` true classes, of any integer type.
        batch_size: how many examples are evaluated at once; what suits the device without it.
        share: how the pass is computed where several processes share it.

    Raises:
        TypeError: as ``lipschitz_bound`` and ``rounding_bound``; the network or the pass is of lower precision than
            float32 (bf16, TF32, autocast), or weights that are not float32's are to be deployed in float32.
        ValueError: labels that are not the numbers of classes, one for each example.

    >>> certify(to_plain(model).double(), images, labels).radii(torch.float32)
    """
    dtype = _arithmetic(network, inputs)
    shape: Shape = tuple(inputs.shape[1:])
    deployments = [dtype]
    if dtype is not torch.float32 and holds_float32(network):
        deployments.append(torch.float32)
    size, evaluation = batch_size or at_once(inputs.device, dtype), Evaluation(network)

    def evaluate_rows(rows: Tensor) -> Tensor:
        """Logits and norms side by side, float64."""
        found = []
        for batch in rows.split(size):
            logits, norms = evaluation.run(inputs[batch].to(dtype))
            found.append(torch.cat((logits.double(), norms), dim=1))
        return torch.cat(found)

    with measured_once():
        lipschitz, constants = lipschitz_bound(network, shape), pairwise_lipschitz_bounds(network, shape)
        found, classes = share(evaluate_rows, torch.arange(len(inputs), device=inputs.device)), len(constants)
        norms = found[:, classes:]
        rounding = {kind: rounding_in_balls(network, shape, norms, dtype, kind) for kind in deployments}
    logits = found[:, :classes].to(dtype)
    return Certificate(logits, class_numbers(labels, logits), lipschitz, constants.to(logits.device), dtype, rounding)


def _arithmetic(network: nn.Module, inputs: Examples) -> torch.dtype:
    """The network's floating-point type, unless the pass would run in another one."""
    kinds = {tensor.dtype for tensor in (*network.parameters(), *network.buffers()) if tensor.is_floating_point()}
    kinds = kinds or {inputs.dtype}
    device = inputs.device.type
    if len(kinds) > 1 or not kinds <= {torch.float32, torch.float64}:
        names = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
        raise TypeError(f"only float32 and float64 forward passes are certified, not {names}; use network.float()")
    if torch.is_autocast_enabled(device):
        raise TypeError("a forward pass under autocast rounds too coarsely to be certified; leave autocast")
    (dtype,) = kinds
    tf32 = device == "cuda" and (torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32)
    if dtype is torch.float32 and (tf32 or coarse_products()):
        raise TypeError(
            "float32 products may run in TF32 or bf16, too coarsely to be certified; set "
            "torch.set_float32_matmul_precision('highest'), torch.backends.cudnn.allow_tf32 = False and "
            "torch.backends.mkldnn.conv.fp32_precision = 'ieee'"
        )
    if not inputs.dtype.is_floating_point or torch.finfo(inputs.dtype).bits > torch.finfo(dtype).bits:
        raise TypeError(f"inputs are {inputs.dtype}, of which a {dtype} network would see other numbers; convert them")
    return dtype


def holds_float32(network: nn.Module) -> bool:
    """Whether the network is the same after ``.float()``."""
    tensors = [tensor for tensor in (*network.parameters(), *network.buffers()) if tensor.is_floating_point()]
    return all(torch.allclose(tensor.float().double(), tensor.double(), 0, 0, equal_nan=True) for tensor in tensors)
