"""The paper's two theorems: the constructions exactly, the experiments in small."""

import sys

import pytest
import torch
from launching import ROOT
from torch.nn import functional

sys.path.insert(0, str(ROOT / "scripts" / "benchmarks"))
import theory

# n, ranks of P1, Q1, P2, Q2, ...
PARTS = [
    (1, [0, 1]),
    (2, [0, 2]),
    (3, [1, 0]),
    (4, [2, 2]),
    (4, [1, 3, 4, 0]),
    (3, [2, 1, 0, 3]),
    (2, [1] * 8),
]
over_parts = pytest.mark.parametrize(("channels", "ranks"), PARTS)


def symbol(kernel, size=16):
    """W(z) at ``size²`` points of the torus: ``(size, size, n, n)``."""
    return torch.fft.fft2(kernel, (size, size)).movedim((0, 1), (-2, -1))


def circular(images, kernel):
    before = kernel.shape[-1] - 1
    return functional.conv2d(functional.pad(images, (before, 0, before, 0), mode="circular"), kernel)


@over_parts
def test_doubled_kernel_is_half_rank_and_contains_the_kernel(channels, ranks):
    parts = theory.random_parts(channels, ranks)
    kernel, doubled = parts.kernel(), parts.doubled().kernel()
    torch.testing.assert_close(doubled[:channels, :channels], kernel, atol=1e-15, rtol=0)
    images = torch.randn(2, 2 * channels, 7, 6, dtype=torch.float64)
    expected = circular(images[:, :channels], kernel)
    torch.testing.assert_close(circular(images, doubled)[:, :channels], expected, atol=1e-13, rtol=0)
    for projector in parts.doubled().projectors:
        torch.testing.assert_close(projector @ projector, projector, atol=1e-13, rtol=0)
        assert float(projector.trace()) == pytest.approx(channels)
    values = torch.linalg.svdvals(symbol(doubled))
    torch.testing.assert_close(values, torch.ones_like(values), atol=1e-12, rtol=0)


@over_parts
def test_degrees_are_the_winding_numbers_of_the_determinant(channels, ranks):
    kernel = theory.random_parts(channels, ranks).kernel()
    expected = [sum(channels - rank for rank in ranks[start::2]) for start in (0, 1)]
    assert theory.degrees(kernel).tolist() == pytest.approx(expected)
    determinant = torch.linalg.det(symbol(kernel, 64))
    for axis in (0, 1):
        turns = torch.angle(determinant.roll(-1, axis) / determinant).sum(axis) / (2 * torch.pi)
        torch.testing.assert_close(-turns, torch.full((64,), float(expected[axis]), dtype=torch.float64))


@pytest.mark.parametrize("size", [2, 3, 4])
def test_least_distance_is_below_the_distance(size):
    """Also for kernels that agree in all but one channel, which one of them moves and the other does not."""
    everywhere = [(torch.rand(2 * (size - 1)) * 4).long().tolist() for _ in range(8)]
    kernels = [theory.random_parts(3, ranks).kernel() for ranks in everywhere]
    stay, move = torch.eye(3).double(), torch.eye(3).double()
    move[0, 0] = 0
    projectors = stay.expand(2 * (size - 1), 3, 3)
    kernels += [
        theory.Parts(stay, projectors).kernel(),
        theory.Parts(stay, torch.cat((move[None], projectors[1:]))).kernel(),
    ]
    for kernel in kernels:
        for other in kernels:
            assert theory.least_distance(kernel, other) <= float((kernel - other).square().sum()) + 1e-12
    assert theory.least_distance(*kernels[-2:]) == 1 / (size - 1)


@pytest.mark.parametrize("ranks", [[0, 1], [1, 2], [0, 0]])
def test_descent_reaches_no_other_component_and_doubling_does(ranks):
    """Half rank is 1. With 2x2 kernels no kernel is nearer than ``2 |1 - rank|``, and descent comes as near as that."""
    target = theory.random_parts(2, ranks).kernel()
    distances, found = theory.descend(target, 2, starts=3, steps=250)
    nearest = 2 * max(abs(1 - rank) for rank in ranks)
    assert float(distances[-1].min()) == pytest.approx(nearest, abs=1e-6)
    assert float(distances.min()) >= max(theory.least_distance(target, kernel) for kernel in found)
    torch.testing.assert_close(theory.degrees(found), torch.ones(3, 2).double())
    doubled, _ = theory.descend(target, 4, starts=3, steps=250)
    assert float(doubled[-1].min()) < 1e-3


def test_descent_reaches_its_own_component():
    target = theory.random_parts(2, [1, 1]).kernel()
    distances, found = theory.descend(target, 2, starts=3, steps=250)
    assert float(distances[0].min()) > 0.1
    assert float(distances[-1].max()) < 1e-6
    torch.testing.assert_close(theory.degrees(found), torch.ones(3, 2).double())


def test_script_prints_and_draws(tmp_path, monkeypatch, capsys):
    figure = tmp_path / "theory.png"
    options = {"channels": 2, "kernel-size": 3, "starts": 2, "steps": 3, "figure": figure}
    monkeypatch.setattr(sys, "argv", ["theory.py", *(f"--{name}={value}" for name, value in options.items())])
    theory.main()
    lines = capsys.readouterr().out.splitlines()
    rows = [[column.split() for column in line.split("|")] for line in lines if line.count("|") == 2][2:]
    assert [target for target, _, _ in rows] == [["1", "1", "2", "2"], ["0", "1", "3", "2"], ["0", "0", "3", "3"]]
    assert [found[:2] for _, found, _ in rows] == [["2", "2"]] * 3
    assert all(float(doubled[0]) < 1e-30 for *_, doubled in rows)  # squares of float64's rounding
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("argument", ["--channels=3", "--channels=0", "--kernel-size=1"])
def test_script_refuses(argument, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["theory.py", argument])
    with pytest.raises(SystemExit):
        theory.main()
    assert "--channels must be even and at least 2, --kernel-size at least 2" in capsys.readouterr().err
