"""A plain network leaves torch: through ``torch.export`` and, as ONNX, into another runtime, with the same logits."""

import io

import numpy
import onnxruntime
import pytest
import torch

from lipnet.certify.plain import to_plain
from lipnet.export.onnx_file import write_onnx
from lipnet.models import build_model

OPTIONS = {  # overrides, input shape, outputs
    "small": (["model=small"], (1, 28, 28), 10),
    "large": (["model=large", "model.hidden=[64]", "dataset=cifar10", "dataset.std=[0.2,0.2,0.2]"], (3, 32, 32), 10),
    "zeros_groupsort": (["conv.padding_mode=zeros", "activation=groupsort"], (1, 8, 8), 10),
    "fc": (["model=fc", "model.hidden=[32,32]", "activation=abs"], (1, 8, 8), 10),
    "shufflenet": (
        [
            "dataset=cifar10",
            "model=shufflenet",
            "shuffle=fixed",
            "model.groups=2",
            "model.stem=4",
            "model.channels=[16,24]",
            "model.units=[1,2]",
        ],
        (3, 8, 8),
        10,
    ),
    "unconstrained, one output": (["conv=plain", "linear=plain", "activation=relu"], (3, 16, 16), 1),
}


@pytest.fixture(params=OPTIONS.values(), ids=OPTIONS)
def network(request, make_config):
    overrides, shape, outputs = request.param
    model = build_model(make_config(*overrides), shape, outputs)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(3):  # not as initialised
        optimizer.zero_grad()
        model(torch.rand(8, *shape)).pow(2).sum().backward()
        optimizer.step()
    return model.eval(), shape


@torch.no_grad()
def test_torch_export(network):
    model, shape = network
    file, batch = io.BytesIO(), {0: torch.export.Dim("batch")}
    program = torch.export.export(to_plain(model), (torch.rand(2, *shape),), dynamic_shapes=(batch,))
    torch.export.save(program, file)
    file.seek(0)
    loaded, images = torch.export.load(file).module(), torch.rand(5, *shape)
    torch.testing.assert_close(loaded(images), model(images), rtol=0, atol=1e-5)


@torch.no_grad()
def test_onnx(network, tmp_path):
    model, shape = network
    path, images = tmp_path / "network.onnx", torch.rand(5, *shape)
    write_onnx(path, to_plain(model), shape)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": images.numpy()})
    numpy.testing.assert_allclose(logits, model(images).numpy(), rtol=0, atol=1e-5)
