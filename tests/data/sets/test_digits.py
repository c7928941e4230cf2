"""Scikit-learn's digits."""

import importlib.machinery
import importlib.util

import torch

from lipnet.data.sets.digits import imported, stored


def test_they_are_read_as_the_package_reads_them():
    for read, expected in zip(stored(), imported(), strict=True):
        assert read.dtype == expected.dtype
        assert torch.equal(read, expected)


def test_where_the_file_lies_elsewhere_the_package_is_asked(monkeypatch):
    spec = importlib.machinery.ModuleSpec("sklearn", None, origin="/elsewhere/sklearn/__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert torch.equal(stored()[0], imported()[0])
