import copy
import functools
import gc
import math
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import pytest
import torch
from composed_before import composed_before  # noqa: F401  a fixture
from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from made_runs import make_run  # noqa: F401  a fixture
from own_modules import own_module  # noqa: F401  a fixture
from torch import Tensor, nn

import lipnet.app  # noqa: F401  registers the resolvers that conf/ uses
from lipnet.certify.plain import to_plain
from lipnet.cli.composing import hydra_ready
from lipnet.options.parse import Config, parse
from lipnet.tasks.session import Session

# As in an activated environment: the program prints the short names of its tools where a shell would find them.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


# Files that take longest, in this order first: two processes take file after file, and should end together.
LONG = (
    "export/test_assured_export", "test_resume", "test_shared_runs", "test_conf_files", "cli/sweeps/test_launchers",
    "layers/test_transforms", "layers/test_harness", "scripts/test_scripts", "test_docs", "cli/test_arguments",
    "models/test_build", "scripts/benchmarks/test_benchmark", "test_how_to", "certify/test_rounding",
    "export/test_onnx_file", "test_app", "layers/test_long_training", "cli/test_composing",
    "tasks/wasserstein/test_task", "cli/sweeps/test_sweep", "scripts/stress/test_stress", "runs/test_occupied",
    "layers/test_orthogonal", "certify/test_bound_properties", "layers/test_staleness", "test_install",
)  # fmt: skip
TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.relative_to(TESTS).with_suffix("").as_posix(), len(LONG)))


def pytest_collection_finish() -> None:
    """What collecting has made stays: garbage collections, of which copied configurations cause many, pass it over."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*gc.get_threshold()[:2], 100)  # as in the program


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """What tests print of names that are not UTF-8 can be sent from a worker to the main process."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode("utf-8")) for title, text in report.sections
    ]
    return report


@pytest.fixture(autouse=True)
def _same_start(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test starts from the same seeds, one thread and no outside data folder, and leaves no Hydra behind."""
    monkeypatch.delenv("LIPNET_DATA", raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(False)  # training in this process sets it
    torch.default_generator.manual_seed(0)  # torch.manual_seed formats a stack trace for every absent kind of device
    numpy.random.seed(0)
    random.seed(0)
    yield
    torch.set_num_threads(threads)
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None


@functools.cache
def _composed(overrides: tuple[str, ...], data_folder: str | None) -> Config:
    """Composing takes a tenth of a second, and many tests ask for the same; the folder is part of what is composed."""
    with hydra_ready():
        return parse(compose("config", overrides=list(overrides)))


@pytest.fixture
def make_config() -> Callable[..., Config]:
    """``make_config("model=fc", "epochs=1", ...)``: the checked configuration of these overrides."""
    return lambda *overrides: copy.deepcopy(_composed(overrides, os.environ.get("LIPNET_DATA")))


@pytest.fixture
def make_session(make_config, tmp_path) -> Callable[..., Session]:
    """``make_session("model=fc", ...)``: what a task is made from, on the CPU, in the test's own directory."""
    return lambda *overrides: Session(tmp_path, torch.device("cpu"), {}, list(overrides), make_config(*overrides))


@pytest.fixture(scope="module")
def without_figures() -> Iterator[None]:
    """Figures are half of a tiny run's time; for files whose runs are about something else."""
    from lipnet.display.canvas import blank_figure
    from lipnet.tasks import activations
    from lipnet.tasks.online import task as online
    from lipnet.tasks.robustness import task as robustness
    from lipnet.tasks.wasserstein import task as wasserstein

    empty = blank_figure(figsize=(1, 1))
    with pytest.MonkeyPatch.context() as patched:
        for task, name in (
            (robustness, "accuracy_against_radius"),
            (robustness, "adversarial_examples"),
            (wasserstein, "wasserstein_figure"),
            (online, "stream_figure"),
        ):
            patched.setattr(task, name, lambda *_: empty)
        splines = activations.linear_regions
        patched.setattr(activations, "activations_figure", lambda network, _: empty if splines(network) else None)
        yield


@pytest.fixture
def dense_matrix() -> Callable[[nn.Module, tuple[int, ...]], Tensor]:
    """``dense_matrix(module, shape)``: an affine map's matrix in float64, column by column from its forward pass."""

    @torch.no_grad()
    def build(module: nn.Module, shape: tuple[int, ...]) -> Tensor:
        double = to_plain(module).double()  # exactly the effective weights, not weights rebuilt in float64
        basis = torch.eye(math.prod(shape), dtype=torch.float64).unflatten(1, shape)
        return (double(basis) - double(torch.zeros_like(basis))).flatten(1).mT

    return build
