"""Layers inside ``Residual`` and ``Concat`` appear wherever those of a network are listed."""

import json
import re

import pytest
import torch
from torch import nn

from lipnet.certify import lipschitz_bound
from lipnet.certify.plain import to_plain
from lipnet.export import certify_export, describe, exported_state, verify
from lipnet.export.certificate import CERTIFICATE, WEIGHTS, sealed
from lipnet.export.source import network_source
from lipnet.layers import BCOPConv2d, Concat, MaxMin, OrthogonalLinear, Residual
from lipnet.models import summarize
from lipnet.models.summary import count_parameters
from lipnet.tasks.driver import track_singular_values
from lipnet.tasks.robustness.diagnostics import gradient_rows, spectrum_rows

SHAPE = (1, 8, 8)
LINEAR = ["0", "1.shortcut", "1.branch.0", "3.branches.0.0", "3.branches.1", "4"]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        BCOPConv2d(1, 4, 2, stride=2),
        Residual(nn.Sequential(BCOPConv2d(4, 4, 3), MaxMin()), BCOPConv2d(4, 4, 1)),
        nn.Flatten(),
        Concat(nn.Sequential(OrthogonalLinear(64, 8), MaxMin()), OrthogonalLinear(64, 6)),
        OrthogonalLinear(14, 10),
    ).eval()


class _Tags(list):
    def singular_values(self, layer, values, epoch):
        self.append(layer)


def _summary(network, make_config, directory):
    """Names of the rows inside blocks; rows outside are in order, without names."""
    rows = summarize(network, SHAPE).splitlines()[1:-1]
    outside = iter(range(len(rows)))
    found = [re.match(r"(?:  (\S+): )?(\w+)", row).groups() for row in rows]
    return [f"{name or next(outside)}_{kind}" for name, kind in found]


def _exported(network, directory):
    """Writes an export of the network; its layers as the certificate has them."""
    plain = to_plain(network)
    state, layers = exported_state(plain), describe(plain)
    torch.save(state, directory / WEIGHTS)
    (directory / "network.py").write_text(network_source(layers))
    certificate = sealed(certify_export(directory, layers, state, SHAPE))
    (directory / CERTIFICATE).write_text(json.dumps(certificate))
    return certificate["layers"]


def _certificate(network, make_config, directory):
    return [f"{layer['name']}_{layer['type']}" for layer in _exported(network, directory)]


def _verified(network, make_config, directory):
    _exported(network, directory)
    found = verify(directory)
    assert found.bound == lipschitz_bound(to_plain(network), SHAPE)
    return [f"{name}_{kind}" for name, kind, _ in found.layers]


def _histograms(network, make_config, directory):
    tags = _Tags()
    track_singular_values(network, make_config("singular_values_every=1"), 1, tags)
    return tags


PLACES = {
    "summary": _summary,
    "histograms of singular values": _histograms,
    "certificate.json": _certificate,
    "python -m lipnet.certify": _verified,
    "singular_values.csv": lambda network, *_: list(spectrum_rows(network, torch.rand(2, *SHAPE))[0]),
    "gradient_norms.csv": lambda network, *_: [
        row["layer"] for row in gradient_rows(network, torch.rand(2, *SHAPE), torch.arange(2))
    ],
}


@pytest.mark.parametrize("place", PLACES)
def test_layers_inside_blocks_appear(place, network, make_config, tmp_path):
    layers = [name.partition("_") for name in PLACES[place](network, make_config, tmp_path)]
    assert [name for name, _, kind in layers if kind.endswith(("Conv2d", "Linear"))] == LINEAR


def test_the_summary_adds_up(network):
    header, *rows, total = summarize(network, SHAPE).splitlines()
    cells = [re.split(r"\s{2,}", row.strip()) for row in rows]
    assert [row[0] for row in cells if len(row) == 3] == [
        "Residual", "1.branch: Sequential", "Concat", "3.branches.0: Sequential",
    ]  # fmt: skip
    counts = [int(row[-2].replace(",", "")) for row in cells if len(row) == 4]
    assert sum(counts) == count_parameters(network)
    assert re.split(r"\s{2,}", total)[1:] == [f"{sum(counts):,}", f"{lipschitz_bound(network, SHAPE):.7f}"]
    assert [float(row[-1]) for row in cells if row[0] in ("Residual", "Concat")] == pytest.approx([2, 2**0.5], abs=1e-5)
    assert len({len(line) for line in (header, *rows, total)}) == 1
