"""Certified radii that count the rounding of the forward pass."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipnet.certify.arithmetic import coarse_products
from lipnet.certify.bound import Shape, lipschitz_bound, measured_once
from lipnet.certify.pairwise import pairwise_lipschitz_bounds
from lipnet.certify.radius import at_once, certified_radii, margins, pairwise_certified_radii
from lipnet.certify.rounding import Rounding, rounding_bound

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
        norms: ``|x - centre|`` of each example, float64, rounded up.
        rounding: arithmetic -> what it may do to the logits.
    """

    logits: Tensor
    labels: Tensor
    lipschitz: float
    constants: Tensor
    observed: torch.dtype
    norms: Tensor
    rounding: dict[torch.dtype, Rounding]

    @property
    def margins(self) -> Tensor:
        """``z_y - max_{j != y} z_j`` of each example, float64."""
        return margins(self.logits, self.labels).double()

    def slack(self, deployed: torch.dtype | None = None) -> Tensor:
        """What rounding may have taken from a difference of two logits, here and, deployed, at the example itself.

        Without ``deployed``: what the forward pass' own rounding may have; then radii hold in exact arithmetic.
        """
        error = self.rounding[self.observed].error.at(self.norms)
        if deployed is not None:
            error = error + self.rounding[deployed].error.at(self.norms)
        # The subtractions, in float64, err by an ulp of the logits each.
        return _ROOT * error + 8 * torch.finfo(torch.float64).eps * self.logits.double().abs().amax(1)

    def radii(self, deployed: torch.dtype | None = None) -> Tensor:
        """L2 radii, float64 ``(examples,)``, within which each input that ``deployed`` holds exactly gets the label.

        At an input x' in the ball the pass errs by at most ``error(ρ + r)``, which is ``error(ρ)`` and ``slope · r``:
        ``r = (z_y - max z_j - √2 (observed error(ρ) + deployed error(ρ))) / (√2 (L + slope))``.
        """
        slope = self._slope(deployed)
        radii = certified_radii(self.logits, self.labels, self.lipschitz * (1 + 1e-15) + slope, self.slack(deployed))
        return self._held(radii, deployed)

    def radii_per_pair(self, deployed: torch.dtype | None = None) -> Tensor:
        """As ``radii``, from the constants of pairs of classes; never lower."""
        constants = (self.constants + _ROOT * self._slope(deployed)) * (1 + 1e-15)
        radii = pairwise_certified_radii(self.logits, self.labels, constants, self.slack(deployed))
        return torch.maximum(self._held(radii, deployed), self.radii(deployed))

    def radii_without_allowance(self) -> Tensor:
        """What the radii would be if nothing rounded: to say what the allowances cost, not to be relied on."""
        return certified_radii(self.logits, self.labels, self.lipschitz, torch.zeros_like(self.norms))

    def _slope(self, deployed: torch.dtype | None) -> float:
        return 0.0 if deployed is None else self.rounding[deployed].error.slope * (1 + 1e-12)

    def _held(self, radii: Tensor, deployed: torch.dtype | None) -> Tensor:
        """0 where a number on the way may overflow, in the forward pass or in the ball."""
        for dtype in {self.observed, deployed or self.observed}:
            peak = self.rounding[dtype].peak.at(self.norms + radii)
            radii = torch.where(peak < torch.finfo(dtype).max / 4, radii, 0.0)
        return radii


Forward = Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]  # (function of each row, rows) -> its values


def _whole(function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    return function(inputs)


@torch.no_grad()
def certify(
    network: nn.Module, inputs: Tensor, labels: Tensor, batch_size: int | None = None, share: Forward = _whole
) -> Certificate:
    """Evaluates a network on examples and bounds everything that certified radii need.

    Args:
        network: in evaluation mode, as it would be deployed: ``to_plain(model).to(dtype)``. Its floating-point type is
            that of the pass; float64 costs several times float32, and an accuracy that float32's allowance takes.
        inputs: ``(examples, ...)``, float32 or of the network's type; radii are around these numbers as they are.
        labels: ``(examples,)`` true classes.
        batch_size: how many examples are evaluated at once; what suits the device without it.
        share: how the pass is computed where several processes share it.

    Raises:
        TypeError: as ``lipschitz_bound`` and ``rounding_bound``; the network or the pass is of lower precision than
            float32 (bf16, TF32, autocast), or weights that are not float32's are to be deployed in float32.

    >>> certify(to_plain(model).double(), images, labels).radii(torch.float32)
    """
    dtype = _arithmetic(network, inputs)
    shape: Shape = tuple(inputs.shape[1:])
    deployments = [dtype] if dtype is torch.float32 or not holds_float32(network) else [dtype, torch.float32]
    with measured_once():
        rounding = {kind: rounding_bound(network, shape, kind) for kind in deployments}
        lipschitz, constants = lipschitz_bound(network, shape), pairwise_lipschitz_bounds(network, shape)
    size = batch_size or at_once(inputs.device, dtype)
    with plain_sums():
        logits = share(lambda rows: torch.cat([network(batch.to(dtype)) for batch in rows.split(size)]), inputs)
    norms, constants = rounding[dtype].norms(inputs), constants.to(logits.device)
    return Certificate(logits, labels, lipschitz, constants, dtype, norms, rounding)


def _arithmetic(network: nn.Module, inputs: Tensor) -> torch.dtype:
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


@contextlib.contextmanager
def plain_sums() -> Iterator[None]:
    """Without libraries that may convolve by Winograd's or Fourier transforms: the proof is for sums of products."""
    with torch.backends.cudnn.flags(enabled=False, allow_tf32=False), torch.backends.nnpack.flags(enabled=False):
        yield
