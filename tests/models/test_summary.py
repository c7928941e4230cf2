import re

import pytest
from torch import nn

from lipnet.certify import lipschitz_bound
from lipnet.layers import BCOPConv2d, MaxMin, Normalize, OrthogonalLinear, PaddedConv2d, Scale
from lipnet.models import build_model, summarize
from lipnet.models.summary import count_parameters


def cells(line):
    return re.split(r"\s{2,}", line.strip())


def test_rows_of_a_network():
    model = nn.Sequential(
        Normalize([0.0], [0.5]),
        PaddedConv2d(1, 6, 4, stride=2),
        MaxMin(),
        nn.Flatten(),
        OrthogonalLinear(96, 10),
        Scale(3.0),
    )
    lines = summarize(model, (1, 8, 8)).splitlines()
    header, *rows, total = [cells(line) for line in lines]
    assert header == ["layer", "output", "parameters", "Lipschitz bound"]
    assert [row[1] for row in rows] == ["1x8x8", "6x4x4", "6x4x4", "96", "10", "10"]
    assert [row[2] for row in rows] == ["0", str(6 * 16 + 6), "0", "0", str(96 * 10 + 10), "0"]
    names = ["Normalize", "Conv2d", "MaxMin", "Flatten", "OrthogonalLinear", "Scale"]
    assert all(name in row[0] for name, row in zip(names, rows, strict=True))
    bounds = [float(row[3]) for row in rows]
    assert bounds[0] == 2
    assert bounds[1] == pytest.approx(lipschitz_bound(model[1], (1, 8, 8)), abs=1e-7)
    assert bounds[2:4] == [1, 1]
    assert bounds[4] == pytest.approx(1, abs=1e-6)
    assert bounds[5] == 3
    assert total[:2] == ["total", "1,072"]
    assert float(total[2]) == pytest.approx(lipschitz_bound(model, (1, 8, 8)), abs=1e-7)
    assert len({len(line) for line in lines}) == 1  # the columns line up


@pytest.mark.parametrize(
    ("overrides", "parameters"),
    [
        (
            ["conv=plain", "linear=plain"],
            (1 * 16 * 16 + 16) + (16 * 32 * 16 + 32) + (128 * 100 + 100) + (100 * 10 + 10),
        ),
        (["model=fc", "model.hidden=[20]"], (64 * 20 + 20) + (20 * 10 + 10)),
    ],
)
def test_total_of_built_networks(overrides, parameters, make_config):
    model = build_model(make_config(*overrides), (1, 8, 8), 10)
    lines = summarize(model, (1, 8, 8)).splitlines()
    assert len(lines) == len(model) + 2
    assert cells(lines[-1])[1] == f"{parameters:,}"
    assert count_parameters(model) == parameters


def test_only_learned_parameters_count():
    layer = BCOPConv2d(4, 4, 3)  # a free 4x4 matrix, four 4x2 bases, a bias
    assert count_parameters(layer) == 16 + 4 * 8 + 4
    assert count_parameters(layer.requires_grad_(False)) == 0
