"""The script that tries malformed inputs: it finds what is accepted, and a few of its inputs are not."""

import collections
import os

import pytest
import torchvision.datasets
from launching import ROOT


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts" / "stress"))
    for name in ("train_list", "test_list", "meta"):  # the script tells torchvision other checksums
        monkeypatch.setattr(torchvision.datasets.CIFAR10, name, getattr(torchvision.datasets.CIFAR10, name))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


def test_there_are_hundreds_of_them(tmp_path):
    from malformed_inputs import all_cases

    kinds = collections.Counter(case.kind for case in all_cases(tmp_path, 0))
    assert kinds.total() >= 400
    assert set(kinds) == {
        "command lines", "configuration folders", "run directories", "saved overrides", "checkpoints", "data files",
        "exports", "environments", "damaged runs", "own data", "own code", "own graphs",
    }  # fmt: skip
    assert sum(kinds[kind] for kind in ("own data", "own code", "own graphs")) >= 40
    names = [(case.kind, case.name) for case in all_cases(tmp_path, 5)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("command lines", "epochs=0"),
        ("configuration folders", "a callback"),
        ("configuration folders", "no package"),
        ("data files", "MNIST: truncated to 1000 bytes"),
        ("data files", "CIFAR-10: a malicious pickle"),
        ("data files", "MNIST: a root much too deep"),
        ("data files", "series: bytes that are no text"),
        ("data files", "series: a folder"),
        ("environments", "RANK=2"),
        ("own data", "pictures: a corrupt picture"),
        ("own code", "a run that names code: resume=run"),
        ("own graphs", "a product"),
    ],
)
def test_a_malformed_input_is_refused(tmp_path, kind, name):
    from malformed_inputs import all_cases, try_one

    (case,) = (case for case in all_cases(tmp_path, 0) if (case.kind, case.name) == (kind, name))
    assert try_one(case) is None


def _touching(given):
    for name in given:
        with open(name, "a") as file:
            file.write("changed")
    print("lipnet: refused")
    return 1


def _crashing(given):
    raise ZeroDivisionError


WRONG = {
    "accepted": (lambda folder: ["--cfg=job"], None, "accepted: "),
    "a file lost": (lambda folder: [_file(folder, "mine")], _touching, "changed mine"),
    "code that ran": (lambda folder: ["CODE_RAN"], _touching, "code of the input ran"),
    "a traceback": (lambda folder: [], _crashing, "code ZeroDivisionError"),
}


def _file(folder, name):
    (folder / name).write_text("before")
    return name


@pytest.mark.parametrize("what", WRONG)
def test_what_goes_wrong_is_seen(what):
    from malformed import Case, lipnet
    from malformed_inputs import try_one

    prepare, program, message = WRONG[what]
    here = os.getcwd()
    assert try_one(Case("kind", what, prepare, program or lipnet)).startswith(message)
    assert os.getcwd() == here
