import ast
import re
from pathlib import Path

import pytest
import torch
from launching import ROOT

from lipnet.randomness import stream, stream_seed

# The first two numbers of a stream, everywhere and for good: (seed, purpose, indices) -> numbers below 2^31
FIRST = {
    (0, "epoch order", 0): (54781047, 1825204947),
    (0, "epoch order", 1): (287010415, 485551582),
    (7, "attack", "pgd", "0.5", 3): (1342205122, 397676813),
    (2**63 - 1, "augmentation", 12, 345): (1584483289, 2085018443),
}
# Those that say what the data are had a number for a name; the number is what torch was seeded with.
DATA = {
    ("digits", 20): 21,
    ("split", 3): 4_000_013,
    ("test examples", 3): 4_000_014,
    ("pair", 3): 4_000_020,
    ("training images of a pair", 3): 4_000_021,
}
# Files that seed a generator themselves.
OTHERS = {
    "randomness.py": "the streams",
    "training/seeding.py": "the global generators, from streams",
    "attacks/isolation.py": "the global generators, from a stream",
    "tasks/online/estimator.py": "the global generator of torch, from a stream",
    "data/own/parting.py": "which of a user's examples are for testing, from a digest, the same for ever",
    "data/pairs/rays.py": "the funnels of a published benchmark, bit for bit",
    "layers/orthogonal.py": "fixed vectors, the same at every call",
    "tasks/private/separate.py": "the global generator of torch, as fixed trials, and as it was after them",
    "certify/probe.py": "fixed inputs, the same at every call",
}


def first(generator: torch.Generator) -> tuple[int, ...]:
    return tuple(torch.randint(2**31, (2,), generator=generator).tolist())


def calls() -> list[tuple[str, str]]:
    """(file, purpose) of every call of ``stream`` and ``stream_seed`` in lipnet."""
    found = []
    for path in sorted((ROOT / "lipnet").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("stream", "stream_seed"):
                purpose = node.args[1]
                assert isinstance(purpose, ast.Constant), f"{path}:{node.lineno}: a purpose is a text"
                found.append((str(path), purpose.value))
    return found


@pytest.mark.parametrize("name", FIRST, ids=str)
def test_the_numbers_are_the_same_everywhere(name):
    assert first(stream(*name)) == FIRST[name]


@pytest.mark.parametrize("name", DATA, ids=str)
def test_the_data_are_what_they_were(name):
    purpose, seed = name
    assert first(stream(seed, purpose)) == first(torch.Generator().manual_seed(DATA[name]))


def test_a_purpose_is_one_place_s_own():
    """Two that draw from one stream would draw the same numbers."""
    purposes = [purpose for _, purpose in calls()]
    assert len(purposes) > 15
    assert sorted(set(purposes)) == sorted(purposes)


def test_no_two_streams_start_alike():
    """Of any purposes, seeds and indices."""
    seeds, indices = (
        (0, 1, 2, 2**31),
        [(), (0,), (1,), (0, 0), (0, 1), (1, 0), ("0",), ("0", 1), ("pgd", 0), ("ddn", 0)],
    )
    names = [(seed, purpose, *more) for seed in seeds for _, purpose in calls() for more in indices]
    names += [(2**32 + seed, "epoch order", 0) for seed in seeds]  # torch itself keeps 32 bits of a seed
    assert len({first(stream(*name)) for name in names}) == len(names)


def test_nothing_else_seeds_a_generator():
    seeding = re.compile(r"\bmanual_seed\(|\bdefault_rng\(|\brandom\.seed\(|\brandom\.Random\(|\bRandomState\(")
    paths = {path: path.relative_to(ROOT / "lipnet").as_posix() for path in Path(ROOT / "lipnet").rglob("*.py")}
    assert {name for path, name in paths.items() if seeding.search(path.read_text(encoding="utf-8"))} == {*OTHERS}


def test_a_seed_for_generators_of_others():
    assert stream_seed(0, "initial weights") == 6915734481615200286
    assert stream_seed(0, "numpy's generator", bits=32) == 806766280
    seeds = {stream_seed(seed, "initial weights") for seed in range(1000)}
    assert len(seeds) == 1000
    assert max(seeds) < 2**63
    assert max(stream_seed(seed, "numpy's generator", bits=32) for seed in range(100)) < 2**32


def test_its_numbers_look_random():
    uniform, normal = (draw(100_000, generator=stream(0, "a test")).double() for draw in (torch.rand, torch.randn))
    assert abs(uniform.mean() - 0.5) < 0.004
    assert abs(normal.mean()) < 0.013
    assert abs(normal.std() - 1) < 0.01
    starts = torch.tensor([torch.rand((), generator=stream(0, "a test", number)) for number in range(2000)])
    assert abs(starts.mean() - 0.5) < 0.03
    assert abs(torch.corrcoef(torch.stack((starts[:-1], starts[1:])))[0, 1]) < 0.1
