"""What tests share: nothing of it is from before a file changed, and nobody changes what others get."""

import pytest
from launching import launch
from omegaconf import OmegaConf

from lipnet.cli.composing import hydra_ready, try_composing


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine" / "experiment" / "it.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("# @package _global_\nseed: 1\n")
    return path


def composed(file, name="it"):
    with hydra_ready(str(file.parents[1])):
        return try_composing([f"experiment={name}"], [])


def test_a_file_that_changes_is_read_again(file):
    for seed in (1, 2, 1):
        file.write_text(f"# @package _global_\nseed: {seed}\n")  # of the same size
        assert composed(file).seed == seed
    file.unlink()
    assert composed(file) is None


def test_a_file_that_is_added_is_found(file):
    assert composed(file, "other") is None
    file.with_name("other.yaml").write_text("# @package _global_\ndefaults: [it]\nepochs: 7\n")
    assert (composed(file, "other").seed, composed(file, "other").epochs) == (1, 7)


def test_what_is_composed_can_be_changed(file):
    first = composed(file)
    first.seed = first.optimizer.lr = first.hydra.job.num = 7
    second = composed(file)
    assert (second.seed, second.optimizer.lr) == (1, 0.003)
    assert OmegaConf.is_missing(second.hydra.job, "num")


def test_a_file_that_is_read_can_be_changed(file):
    OmegaConf.load(file).seed = 2
    assert OmegaConf.load(str(file)).seed == 1
    with file.open() as opened:
        assert OmegaConf.load(opened).seed == 1


def test_a_mistake_in_a_file_is_said_each_time(file):
    file.write_text("# @package _global_\nseed: [\n")
    first, second = (launch("--config-dir", str(file.parents[1]), "experiment=it") for _ in range(2))
    assert first == second
    assert first.code == 1
