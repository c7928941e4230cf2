"""A run leaves lipnet: its files give the same logits, and their certificate holds until something is changed."""

import hashlib
import importlib.util
import json
import shutil

import numpy
import onnxruntime
import pytest
import torch
from forging import edit
from launching import RADII, finished_run, launch, results, table

from lipnet import load_run, to_plain
from lipnet.certify import lipschitz_bound
from lipnet.export.__main__ import main
from lipnet.runs import checkpoint
from lipnet.runs.safetensors import read_safetensors


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished_run(tmp_path_factory)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    directory = tmp_path_factory.mktemp("export") / "exported"
    outcome = launch("task=export", f"run={run}", f"hydra.run.dir={directory}")
    assert outcome.code == 0, outcome.output
    assert f"check it: python -m lipnet.certify {directory}" in outcome.output
    assert "onnx_ir" not in outcome.output
    return directory


@pytest.fixture
def copy(exported, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(exported, tmp_path / "copy")


def _certificate(directory):
    return json.loads((directory / "certificate.json").read_text())


def _images():
    return torch.rand(5, 1, 8, 8)


def test_what_an_export_holds(exported):
    names = {path.name for path in exported.iterdir()}
    assert names == {
        "weights.pt", "weights.safetensors", "network.py", "network.onnx", "certificate.json",
        "results.json", "lipnet.log", ".hydra",
    }  # fmt: skip


@torch.no_grad()
def test_onnx_runtime_gives_the_logits_of_torch(run, exported):
    images, network = _images(), to_plain(load_run(run).model)
    session = onnxruntime.InferenceSession(str(exported / "network.onnx"), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": images.numpy()})
    numpy.testing.assert_allclose(logits, network(images).numpy(), rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_torch_code_gives_the_logits_of_the_run(run, exported):
    spec = importlib.util.spec_from_file_location("network", exported / "network.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    images = _images()
    torch.testing.assert_close(module.load()(images), load_run(run).model(images), rtol=0, atol=1e-5)


def test_the_certificate_says_what_the_run_proved(run, exported):
    certificate, proved = _certificate(exported), results(run)
    plain = to_plain(load_run(run).model)
    assert certificate["lipschitz_upper_bound"] == lipschitz_bound(plain, (1, 8, 8))
    assert certificate["lipschitz_upper_bound"] == proved["lipschitz_upper_bound"]
    assert certificate["input"] == {"shape": [1, 8, 8], "dtype": "float32", "mean": [0.0], "std": [1.0]}
    assert [layer["lipschitz_upper_bound"] for layer in certificate["layers"]] == pytest.approx([1.0] * 9, abs=1e-5)
    assert certificate["radii"]["certified_accuracy"] == proved["certified_accuracy"]
    assert list(certificate["radii"]["certified_accuracy"]) == list(RADII)
    found = results(exported)
    for key in ("certified_accuracy", "certify_dtype", "certified_accuracy_by_arithmetic"):
        assert found[key] == proved[key]
    assert "radius  certified >= (float64)  certified >= (float32)" in (exported / "lipnet.log").read_text()
    radii = sorted(float(row["certified_radius"]) for row in table(run / "certificates.csv"))
    quantiles = certificate["radii"]["radius_quantiles"]
    assert (quantiles["0.0"], quantiles["1.0"]) == pytest.approx((radii[0], radii[-1]))
    assert certificate["trained"]["seed"] == 0
    assert certificate["versions"]["torch"] == proved["versions"]["torch"]


def test_hashes_are_those_of_the_files(exported):
    certificate = _certificate(exported)
    for name in ("weights.pt", "network.py", "network.onnx"):
        assert certificate["files"][name] == hashlib.sha256((exported / name).read_bytes()).hexdigest()
    state = torch.load(exported / "weights.pt", weights_only=True)
    other = read_safetensors(exported / "weights.safetensors")
    assert all(torch.equal(tensor, other[name]) for name, tensor in state.items())
    assert list(certificate["weights"]) == list(state) == list(other)
    for name, tensor in state.items():
        assert certificate["weights"][name] == {
            "shape": list(tensor.shape), "dtype": "float32",
            "sha256": hashlib.sha256(tensor.numpy().tobytes()).hexdigest(),
        }  # fmt: skip


def test_an_export_says_what_it_is(run, exported):
    found = results(exported)
    assert (found["task"], found["status"], found["run"]) == ("export", "completed", str(run))
    assert found["clean_accuracy"] == results(run)["clean_accuracy"]


@pytest.mark.parametrize("name", ["", "certificate.json"])
def test_an_untouched_export_holds(exported, capsys, name):
    assert main([str(exported / name)]) == 0
    printed = capsys.readouterr().out
    assert "the certificate holds" in printed
    assert "unchanged: weights.pt, weights.safetensors, network.py, network.onnx" in printed
    assert repr(_certificate(exported)["lipschitz_upper_bound"]) in printed


@pytest.mark.parametrize(("arguments", "code"), [([], 1), (["a", "b"], 1), (["--help"], 0)])
def test_the_command_line_of_the_check(capsys, arguments, code):
    assert main(arguments) == code
    assert "python -m lipnet.certify" in "".join(capsys.readouterr())


def test_files_that_are_not_needed_may_be_left_behind(copy, capsys):
    for name in ("network.py", "network.onnx", "results.json"):
        (copy / name).unlink()
    assert main([str(copy)]) == 0
    assert "unchanged: weights.pt, weights.safetensors\n" in capsys.readouterr().out


def test_a_changed_export_does_not_hold(copy, capsys):
    edit(lambda text: text.update(lipschitz_upper_bound=0.99))(copy)
    assert main([str(copy)]) == 1
    assert capsys.readouterr().err.startswith(
        f"{copy}: the certificate does not hold\n  lipschitz_upper_bound: 0.99 is claimed, "
    )


def test_without_onnx_one_is_told_what_to_do(run, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    outcome = launch("task=export", f"run={run}", f"hydra.run.dir={tmp_path / 'out'}")
    assert outcome.code == 1
    assert outcome.output == (
        "lipnet: task.onnx=true: needs onnxscript, not installed; pip install 'lipnet[onnx]', or task.onnx=false for "
        "the other files alone.\n"
    )
    outcome = launch("task=export", f"run={run}", "task.onnx=false", f"hydra.run.dir={tmp_path / 'out'}")
    assert outcome.code == 0, outcome.output
    assert not (tmp_path / "out" / "network.onnx").exists()
    assert main([str(tmp_path / "out")]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run=RUN", "epochs=5"], " has epochs=3. run=DIR exports a run as it is; it can change task, task.onnx, "),
        (["run=RUN", "attack.steps=5"], " has attack.steps=2. run=DIR exports a run as it is"),
        (["run=RUN", "task.onx=false"], "task.onx: "),
        (["run=RUN", "task.onnx=1"], "task.onnx=1: must be true or false"),
        (["run=EXPORTED"], "of task=export, not a training run; give the run that it was made from"),
        (["run=nowhere"], "run=nowhere: not a run directory"),
        ([], "run=null: task=export needs run=DIR"),
    ],
)
def test_mistakes_are_said_before_anything_is_written(run, exported, tmp_path, arguments, message):
    places = {"run=RUN": f"run={run}", "run=EXPORTED": f"run={exported}"}
    outcome = launch(
        "task=export", *(places.get(word, word) for word in arguments), f"hydra.run.dir={tmp_path / 'out'}"
    )
    assert outcome.code == 1
    assert message in outcome.output
    assert "Traceback" not in outcome.output
    assert not (tmp_path / "out").exists()


def test_a_run_that_diverged_is_not_exported(run, tmp_path):
    damaged = shutil.copytree(run, tmp_path / "damaged")
    saved = checkpoint.load(damaged / "checkpoints" / "best.pt")
    next(iter(saved["model"].values())).view(-1)[0] = float("nan")
    checkpoint.save(damaged / "checkpoints" / "best.pt", saved)
    outcome = launch("task=export", f"run={damaged}", f"hydra.run.dir={tmp_path / 'out'}")
    assert outcome.code == 1
    assert "holds NaN or infinity" in outcome.output
    assert "Traceback" not in outcome.output
    assert not (tmp_path / "out" / "weights.pt").exists()
