"""A shuffle of channels that is learned with the weights around it (AutoShuffleNet: Lyu et al. 2019, 1901.08624)."""

from typing import Any

import torch
from torch import Tensor, nn

from lipnet.layers.permutations import nearest_permutation, permutation_penalty, row_deficits, scaled
from lipnet.layers.shuffle import ChannelShuffle, check_channels, fixed_order, in_pairs
from lipnet.layers.sizes import whole_number
from lipnet.layers.tracing import not_compiled


class LearnedShuffle(nn.Module):
    """Channels mixed by a matrix that is nearly doubly stochastic, drawn to a permutation by a penalty.

    It is deployed as the nearest permutation, and trains with that one once ``harden`` of the training is over. The
    matrix is projected after each step, and not normalised in ``forward``: so an entry that has come to 0 still has a
    gradient, and can grow again.

    Args:
        channels: n, on axis 1.
        keep_pairs: the channels i and i + n/2, which MaxMin compares, move together.
        signed: entries may be negative, and the permutation has signs.
        weight: of the penalty in the loss.
        ramp: the share of the training over which that grows from 0 to ``weight``.
        straight_through: the forward pass uses the nearest permutation, so that gradients with respect to the inputs
            keep their norm; the matrix gets the gradient that it would have in its place.
        harden: the share of the training after which the permutation stays as it is.
        generator: draws the first matrix.
        order: a permutation ``(n,)``, of pairs ``(n/2,)``, to begin near: half of each row's sum is at its entry.

    Learned: ``matrix (n, n)`` (n/2 of pairs), which starts with nearly equal entries but for such a permutation's.
    ``end_step`` is to be called after each step of training.
    """

    progress: Tensor
    order: Tensor
    signs: Tensor

    def __init__(
        self,
        channels: int,
        keep_pairs: bool = False,
        signed: bool = False,
        weight: float = 0.1,
        ramp: float = 0.5,
        straight_through: bool = False,
        harden: float = 1.0,
        generator: torch.Generator | None = None,
        order: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.channels = whole_number(channels, "channels", "LearnedShuffle")
        if keep_pairs and channels % 2:
            raise ValueError(f"{channels} channels cannot be split into pairs")
        self.keep_pairs, self.signed, self.straight_through = keep_pairs, signed, straight_through
        self.weight, self.ramp, self.harden, self.first = weight, ramp, harden, order
        moved = channels // 2 if keep_pairs else channels
        self.matrix = nn.Parameter(torch.empty(moved, moved))
        self.register_buffer("progress", torch.zeros(()))  # in the state: a resumed run goes on with it
        self.register_buffer("order", torch.full((moved,), -1))  # of the permutation once it stays; before, all -1
        self.register_buffer("signs", torch.ones(moved))
        self.fixed = False  # whether it does: the order's mirror, which no device has to be asked for
        self.reset_parameters(generator)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        self.matrix.uniform_(1.0, 1.1, generator=generator)
        if self.signed:
            self.matrix.mul_(2.0 * torch.randint(2, self.matrix.shape, generator=generator).to(self.matrix) - 1)
        self.matrix.copy_(scaled(self.matrix, self.signed))
        if self.first is not None:
            chosen = torch.zeros_like(self.matrix).scatter_(1, self.first.to(self.order)[:, None], 1.0)
            self.matrix.copy_(torch.where(self.matrix < 0, -1.0, 1.0) * (self.matrix.abs() + chosen) / 2)
        self.progress.zero_()
        self.order.fill_(-1)
        self.signs.fill_(1.0)
        self.fixed = False

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels, ...)``, of the same shape."""
        check_channels(inputs, self.channels, self)
        if self.fixed:
            return self._moved(inputs, self.order, self.signs)
        if not self.straight_through:
            return self._mixed(inputs, self.matrix)
        # The added term is 0, to the bit, and has the gradient of the matrix in the permutation's place.
        return self._moved(inputs, *self.nearest()) + self._mixed(inputs.detach(), self.matrix - self.matrix.detach())

    def _mixed(self, inputs: Tensor, matrix: Tensor) -> Tensor:
        parts = inputs.unflatten(1, (2 if self.keep_pairs else 1, -1))
        flat = parts.flatten(3) if parts.dim() > 3 else parts.unsqueeze(3)
        return (matrix @ flat).reshape(inputs.shape)

    def _moved(self, inputs: Tensor, order: Tensor, signs: Tensor) -> Tensor:
        outputs = inputs.index_select(1, in_pairs(order) if self.keep_pairs else order)
        if not self.signed:
            return outputs
        signs = signs.repeat(2) if self.keep_pairs else signs
        return outputs * signs.view(-1, *[1] * (inputs.dim() - 2))

    @not_compiled
    @torch.no_grad()
    def nearest(self) -> tuple[Tensor, Tensor]:
        """The order and the signs of the permutation that the matrix is nearest to."""
        order = nearest_permutation(self.matrix)
        values = self.matrix.gather(1, order[:, None])[:, 0]
        return order, torch.where(values < 0, -1.0, 1.0).to(values) if self.signed else torch.ones_like(values)

    def hardened(self) -> ChannelShuffle:
        """What it is deployed as: indices, which cost next to nothing."""
        order, signs = (self.order, self.signs) if self.fixed else self.nearest()
        if self.keep_pairs:
            order, signs = in_pairs(order), signs.repeat(2)
        shuffle = ChannelShuffle(order.cpu(), signs.cpu() if self.signed else None)
        return shuffle.to(device=self.matrix.device, dtype=self.matrix.dtype)

    def regularizer(self) -> Tensor:
        """The penalty at its present weight; at a permutation it is 0, and so is its gradient."""
        share = (self.progress / self.ramp).clamp_max(1.0) if self.ramp else 1.0
        return self.weight * share * permutation_penalty(self.matrix)

    def is_regularized(self) -> bool:
        """Whether the penalty has a weight."""
        return self.weight != 0

    @torch.no_grad()
    def end_step(self, share: float) -> None:
        """Projects the matrix; fixes the permutation once its time has come.

        Raises:
            OrthogonalizationError: the matrix is not finite.
        """
        self.progress.fill_(share)
        if not self.fixed and share >= self.harden:
            order, signs = self.nearest()
            self.order.copy_(order)
            self.signs.copy_(signs)
            self.fixed = True
        if self.fixed:
            self.matrix.zero_().scatter_(1, self.order[:, None], self.signs[:, None])
        else:
            self.matrix.copy_(scaled(self.matrix, self.signed))

    @torch.no_grad()
    def diagnostics(self) -> dict[str, float]:
        """How near the matrix is to a permutation: its penalty, least row maximum, certain rows, and norm."""
        matrix = self.matrix.detach().double()
        certain = row_deficits(matrix) < 1 - 0.5**0.5
        return {
            "penalty": float(permutation_penalty(matrix)),
            "least_row_maximum": float(matrix.abs().amax(1).min()),
            "certain_rows": float(certain.double().mean()),
            "norm": float(torch.linalg.matrix_norm(matrix, 2)),
        }

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.fixed = not self.order.is_meta and bool(self.order[0] >= 0)

    def extra_repr(self) -> str:
        flags = ("keep_pairs", "signed", "straight_through")
        return ", ".join([f"{self.channels}", *(f"{flag}=True" for flag in flags if getattr(self, flag))])


def learned_shuffle(channels: int, groups: int, initial: str = "fixed", **keys: Any) -> LearnedShuffle:
    """The layer, which begins with equal entries or, if ``initial`` is ``fixed``, near ShuffleNet's permutation."""
    order = fixed_order(channels, groups, keys.get("keep_pairs", False)) if initial == "fixed" else None
    return LearnedShuffle(channels, order=order, **keys)
