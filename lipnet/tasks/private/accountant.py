"""What a private run spends, and the noise that keeps it below a target: by Google's dp-accounting, an extra."""

import logging
import math
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from lipnet.errors import UserError

_MOST_NOISE = 1e5  # times what one example may change
_DIGITS = 1e-3  # of the noise that is found, relative to it
_LESS = 0.9


@dataclass(frozen=True)
class Accountant:
    """Of steps that each take every example at random and add Gaussian noise; neighbours differ by one example.

    Attributes:
        kind: ``pld``, by privacy loss distributions (the tightest), or ``rdp``, by Rényi divergences.
        rate: the probability with which a step takes an example.
        delta: the probability with which epsilon may be exceeded.
    """

    kind: str
    rate: float
    delta: float

    def epsilon(self, noise_multiplier: float, steps: int) -> float:
        """What so many steps spend, with noise of so many times what one example may change."""
        return _epsilon(self.kind, self.rate, self.delta, noise_multiplier, steps) if steps else 0.0

    def noise_for(self, target: float, steps: int) -> float:
        """The least noise, to three digits, under which so many steps spend at most ``target``.

        Raises:
            UserError: none does.
        """
        high = self._start(target, steps)
        while self.epsilon(high, steps) > target:
            high *= 2
            if high > _MOST_NOISE:
                raise UserError(
                    f"task.target_epsilon={target:g}: no noise reaches it with task.delta={self.delta:g} in {steps:,} "
                    f"steps that each take a share of {self.rate:.3g} of the examples; use a larger epsilon, fewer "
                    "epochs or a smaller batch_size."
                )
        low = _LESS * high
        while self.epsilon(low, steps) <= target:
            low, high = _LESS * low, low
        while high - low > _DIGITS * high:
            for beside in (1 + _DIGITS / 3, 1 - _DIGITS / 3):
                middle = beside * self._between(low, high, target, steps)
                if not low < middle < high:
                    middle = math.sqrt(low * high)
                low, high = (low, middle) if self.epsilon(middle, steps) <= target else (middle, high)
        return high

    def _between(self, low: float, high: float, target: float, steps: int) -> float:
        """Where the target would be reached if epsilon were a power of the noise between the two."""
        most, least = (math.log(self.epsilon(noise, steps)) for noise in (low, high))
        share = (most - math.log(target)) / (most - least)
        return low * (high / low) ** share

    def _start(self, target: float, steps: int) -> float:
        """Noise to begin with: by Rényi divergences it is found at once, and the tighter count needs hardly less."""
        if self.kind == "rdp":
            return 1.0
        try:
            return replace(self, kind="rdp").noise_for(target, steps)
        except UserError:
            return 1.0


@lru_cache(maxsize=1000)
def _epsilon(kind: str, rate: float, delta: float, noise_multiplier: float, steps: int) -> float:
    library = _library()
    with _quietly():
        accountant = _accountant(library, kind)
        step = library.PoissonSampledDpEvent(rate, library.GaussianDpEvent(noise_multiplier))
        accountant.compose(library.SelfComposedDpEvent(step, steps))
        return float(accountant.get_epsilon(delta))


def _library() -> Any:
    try:
        # Its logging keeps the stream that it finds, and closes it in the end unless that is the process's own.
        with redirect_stderr(sys.__stderr__):
            import dp_accounting
    except ImportError:
        raise UserError(
            "task=private counts epsilon with dp-accounting, which is not installed: pip install 'lipnet[private]'."
        ) from None
    return dp_accounting


def _accountant(library: Any, kind: str) -> Any:
    if kind == "pld":
        from dp_accounting.pld import PLDAccountant

        return PLDAccountant()
    from dp_accounting.rdp import RdpAccountant

    return RdpAccountant()


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the library's notices on orders that it leaves out, which only make its result larger."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
