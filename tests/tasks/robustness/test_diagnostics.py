import math

import pytest
import torch
from torch import nn

from lipnet.data.images import Split
from lipnet.layers import BCOPConv2d, MaxMin, OrthogonalLinear
from lipnet.runs.files import read_csv
from lipnet.tasks.robustness.diagnostics import gradient_rows, spectrum_rows, write_diagnostics


def column(rows, name):
    return [row[name] for row in rows]


def images(*shape):
    return torch.rand(6, *shape, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 4


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_a_scaled_linear_layer(factor):
    layer = nn.Linear(4, 4)
    layer.weight.data.copy_(factor * torch.eye(4))
    assert column(spectrum_rows(layer, torch.rand(1, 4)), "_Linear") == pytest.approx([factor] * 101)
    first, last = gradient_rows(layer, *images(4))
    assert (first["layer"], last["layer"]) == ("input", "_Linear")
    assert last["mean"] == pytest.approx(math.sqrt(2))
    assert (first["relative"], last["relative"]) == (pytest.approx(factor), 1)
    assert first["std"] == pytest.approx(0, abs=1e-6)


def test_quantiles_of_a_known_spectrum():
    layer = nn.Linear(5, 5)
    layer.weight.data.copy_(torch.diag(torch.tensor([4.0, 0.0, 3.0, 1.0, 2.0])))
    rows = spectrum_rows(layer, torch.rand(1, 5))
    assert column(rows, "_Linear") == pytest.approx([4 * row["quantile"] for row in rows], abs=1e-6)
    assert column(rows, "quantile") == pytest.approx([number / 100 for number in range(101)])


def test_an_orthogonal_chain_keeps_gradient_norms():
    model = nn.Sequential(
        BCOPConv2d(4, 4, 3), MaxMin(), BCOPConv2d(4, 4, 2, stride=1), MaxMin(), nn.Flatten(), OrthogonalLinear(64, 64),
        MaxMin(), OrthogonalLinear(64, 4),
    ).eval()  # fmt: skip
    rows = gradient_rows(model, *images(4, 4, 4))
    names = ["0_BCOPConv2d", "2_BCOPConv2d", "5_OrthogonalLinear", "7_OrthogonalLinear"]
    assert column(rows, "layer") == ["input", *names]
    assert column(rows, "relative") == pytest.approx([1] * 5, rel=1e-5)
    spectra = spectrum_rows(model, images(4, 4, 4)[0])
    assert list(spectra[0]) == ["quantile", *names]
    for name in names:
        assert column(spectra, name) == pytest.approx([1] * 101, rel=1e-5)


def test_gradients_are_those_of_the_margin():
    torch.manual_seed(0)
    model, (inputs, labels) = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 4)), images(5)
    norms = []
    for image, label in zip(inputs, labels, strict=True):
        image = image.clone().requires_grad_()
        logits = model(image)
        margin = logits[label] - max(logits[other] for other in range(4) if other != label)
        norms.append(float(torch.autograd.grad(margin, image)[0].norm()))
    row = gradient_rows(model, inputs, labels)[0]
    assert row["mean"] == pytest.approx(sum(norms) / 6, rel=1e-5)
    assert row["std"] == pytest.approx(float(torch.tensor(norms).std(correction=0)), rel=1e-4)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_a_layer_that_is_used_twice_is_there_twice():
    layer = nn.Linear(4, 4)
    layer.weight.data.copy_(2 * torch.eye(4))
    model = nn.Sequential(layer, nn.Identity(), layer)
    names = ["0_Linear", "2_Linear"]
    assert list(spectrum_rows(model, torch.rand(1, 4))[0]) == ["quantile", *names]
    rows = gradient_rows(model, *images(4))
    assert column(rows, "layer") == ["input", *names]
    assert column(rows, "relative") == pytest.approx([4, 2, 1])


def test_files_are_small_and_read_back(tmp_path):
    split = Split(torch.randint(17, (10, 1, 8, 8), dtype=torch.uint8), torch.arange(10), 16, torch.arange(10))
    model = nn.Sequential(BCOPConv2d(1, 8, 4, stride=2), MaxMin(), nn.Flatten(), OrthogonalLinear(128, 10)).eval()
    write_diagnostics(tmp_path, model, split)
    assert len(read_csv(tmp_path / "singular_values.csv")) == 101
    assert [row["layer"] for row in read_csv(tmp_path / "gradient_norms.csv")] == [
        "input", "0_BCOPConv2d", "3_OrthogonalLinear",
    ]  # fmt: skip
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 20e3
