"""Streams of random numbers: each has a name, so that none is ever another's, and none depends on what else is drawn.

Whatever is random in a run draws from a stream of its own: a new purpose, epoch or attack leaves the numbers of all
others as they were, and an interrupted epoch can be entered anywhere.
"""

import hashlib
import json
import secrets

import numpy
import torch

_WORDS = 624  # of 32 bits: the state of torch's generator on a CPU, the Mersenne Twister
_OFFSET = 3  # of them in what ``get_state`` gives, in words of 64 bits

# Streams that say what the data are: which images are held out, in which direction a pair differs. A finished run
# is evaluated again on the data that it was trained for, and never on images that it was trained on; so these keep the
# numbers that they had before streams had names.
_DATA: dict[str, tuple[int, ...]] = {
    "digits": (), "split": (0,), "test examples": (1,), "pair": (7,), "training images of a pair": (8,),
}  # fmt: skip


def stream(seed: int, purpose: str, *indices: int | str) -> torch.Generator:
    """The CPU generator of one purpose, such as ``stream(seed, "augmentation", epoch, batch)``.

    It is the same in every process, on every platform, and unlike that of any other seed, purpose or indices. torch
    keeps 32 bits of a seed, and of the hundred thousand streams of a long run two would be alike: so the whole state is
    filled, not seeded.
    """
    if purpose in _DATA and not indices:
        return torch.Generator().manual_seed(_numbered(seed, *_DATA[purpose]))
    generator = torch.Generator().manual_seed(0)
    state = generator.get_state()
    words = numpy.frombuffer(_hashed(4 * _WORDS, seed, purpose, *indices), "<u4")
    state.view(torch.int64)[_OFFSET : _OFFSET + _WORDS] = torch.from_numpy(words.astype(numpy.int64))
    return generator.set_state(state)


def stream_seed(seed: int, purpose: str, *indices: int | str, bits: int = 63) -> int:
    """A seed for generators of others: Python's, numpy's, torch's global one."""
    return int.from_bytes(_hashed(8, seed, purpose, *indices), "little") >> (64 - bits)


class Secret:
    """The seed of a private run's sampling and noise: whoever knows it can repeat the one and subtract the other.

    It is drawn from the operating system for each run, so that no two runs have the same, whose difference would be
    free of noise; and it is not the run's own seed, which every file of the run directory tells.

    Attributes:
        number: what ``stream`` takes for a seed.
        given: whether it was given, so that a run can be repeated to the bit: then it is no secret.
    """

    def __init__(self, given: int | None = None) -> None:
        self.number = secrets.randbits(256) if given is None else given
        self.given = given is not None


def _hashed(length: int, *parts: int | str) -> bytes:
    return hashlib.shake_256(json.dumps(parts).encode()).digest(length)


def _numbered(*numbers: int) -> int:
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 1) % (2**63)
    return seed
