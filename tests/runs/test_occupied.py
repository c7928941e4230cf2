"""A run directory belongs to its run: what is started in it, by any way of naming it, leaves it as it is."""

import hashlib
import shutil
from pathlib import Path

import pytest
from launching import TINY, finished_run, launch
from omegaconf import OmegaConf

from lipnet.runs.lock import alone_in
from lipnet.runs.occupied import other_run

OTHER = (*TINY, "conv=rko")
BCOP = "holds a run of another configuration, which has conv=bcop, not rko"
EVALUATED = "which has task=robustness, not evaluate"

# arguments, words of the message; D is a completed run, "other" a completed run of another seed
REFUSED = {
    "relative": ([*OTHER, "hydra.run.dir=D"], BCOP),
    "with a slash": ([*OTHER, "hydra.run.dir=D/"], BCOP),
    "with dots": ([*OTHER, "hydra.run.dir=./sub/../D"], BCOP),
    "by a link": ([*OTHER, "hydra.run.dir=link"], BCOP),
    "in the home": ([*OTHER, "hydra.run.dir=~/D"], BCOP),
    "by another folder of Hydra's": ([*OTHER, "hydra.run.dir=D", "hydra.output_subdir=conf"], BCOP),
    "without a folder of Hydra's": ([*OTHER, "hydra.run.dir=D", "hydra.output_subdir=null"], BCOP),
    "under chdir": ([*OTHER, "hydra.run.dir=D", "hydra.job.chdir=true"], BCOP),
    "a list": ([*TINY, "model.hidden=[4]", "hydra.run.dir=D"], "which has model.hidden=[8], not [4]"),
    "all that differs": ([*TINY, "seed=1", "epochs=9", "hydra.run.dir=D"], "which has seed=0, not 1; epochs=3, not 9"),
    "a new task": (["task=wasserstein", "dataset=cone", "hydra.run.dir=D"], "task=robustness, not wasserstein; "),
    "rerun": (["rerun=D", "seed=4", "hydra.run.dir=D"], "which has seed=0, not 4"),
    "rerun of another": (["rerun=other", "hydra.run.dir=D"], "which has seed=0, not 1"),
    "evaluate": (["task=evaluate", "run=other", "hydra.run.dir=D"], EVALUATED),
    "export": (["task=export", "run=other", "hydra.run.dir=D", "task.onnx=false"], "task=robustness, not export"),
    "a sweep": (["-m", *TINY, "seed=0,1", "hydra.sweep.dir=D"], "hydra.sweep.dir=D: holds a run"),
    "a sweep in its checkpoints": (["-m", *TINY, "seed=0,1", "hydra.sweep.dir=D/checkpoints"], "holds a run"),
    "a job": (["-m", *TINY, "conv=rko", "hydra.sweep.dir=.", "hydra.sweep.subdir=D"], BCOP),
    "a numbered job": (
        ["-m", *TINY, "seed=1,2", "hydra.sweep.dir=S", "hydra.sweep.subdir=${hydra.job.num}"],
        "S/0: holds a run of another configuration, which has seed=0, not 1",
    ),
    "all jobs": (
        ["-m", *TINY, "seed=0,1", "hydra.sweep.dir=.", "hydra.sweep.subdir=D"],
        "hydra.sweep.subdir=D: the 2 jobs would be in one directory",
    ),
    "checkpoints": ([*TINY, "hydra.run.dir=D/checkpoints"], "is a part of the run in D"),
    "continued elsewhere": (["resume=D", "hydra.run.dir=elsewhere"], "the run in D has hydra.run.dir=D"),
    "continued with a folder": (["resume=D", "hydra.output_subdir=conf"], "has hydra.output_subdir=.hydra"),
}  # fmt: skip


def snapshot(directory: Path) -> dict[str, str]:
    """Every file's content and every folder, by name."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(directory.rglob("*"))
    }


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Path:
    """D, S/0: the same completed run; ``other``: one that says it had another seed."""
    folder = tmp_path_factory.mktemp("originals")
    for name in ("D", "S/0", "other"):
        shutil.copytree(finished_run(tmp_path_factory), folder / name)
    for file in ("config", "overrides"):
        path = folder / "other" / ".hydra" / f"{file}.yaml"
        path.write_text(path.read_text().replace("seed: 0", "seed: 1") + "- seed=1\n" * (file == "overrides"))
    return folder


@pytest.fixture
def folder(originals, tmp_path, monkeypatch) -> Path:
    """The working directory, and the home."""
    shutil.copytree(originals, tmp_path, dirs_exist_ok=True)
    (tmp_path / "link").symlink_to("D")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["lipnet"])
    return tmp_path


def refused(folder: Path, arguments: list[str]) -> str:
    """The message; nothing may have changed anywhere."""
    before = snapshot(folder)
    outcome = launch(*arguments)
    assert outcome.code == 1, outcome.output
    assert outcome.output.startswith("lipnet: ")
    assert "Traceback" not in outcome.output
    assert snapshot(folder) == before
    return outcome.output


@pytest.mark.parametrize("what", REFUSED)
def test_a_completed_run_keeps_its_directory(folder, what):
    arguments, message = REFUSED[what]
    assert message in refused(folder, arguments)


def test_a_stopped_run_keeps_its_directory_and_is_offered(folder):
    (folder / "D" / "results.json").unlink()
    message = refused(folder, [*OTHER, "hydra.run.dir=D"])
    cure = f"choose another with hydra.run.dir=DIR, or continue that run: lipnet resume={folder / 'D'}"
    assert message == f"lipnet: hydra.run.dir=D: {BCOP}; {cure}\n"


def test_a_run_that_failed_before_a_checkpoint_keeps_its_directory(folder):
    (folder / "D" / "results.json").write_text('{"status": "failed"}')
    shutil.rmtree(folder / "D" / "checkpoints")
    assert BCOP in refused(folder, [*OTHER, "hydra.run.dir=D"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*OTHER, "hydra.run.dir=D"], f"{BCOP} (it is going on)"),
        ([*TINY, "hydra.run.dir=D"], "D: another process is running here"),
        (["resume=D"], "D: another process is running here"),
        (["rerun=D", "hydra.run.dir=D"], "D: another process is running here"),
    ],
    ids=["another", "the same", "continued", "again"],
)
def test_a_run_that_is_going_on_keeps_its_directory(folder, arguments, message):
    (folder / "D" / "results.json").unlink()
    with alone_in(folder / "D"):
        assert message in refused(folder, arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        [*TINY, "hydra.run.dir=D"], [*TINY, "hydra.run.dir=link/"], [*TINY, "hydra.run.dir=D", "resume=D"],
        ["resume=D"], ["resume=~/D", "attack.steps=9"], [*reversed(TINY), "hydra.run.dir=D", "threads=2"],
        ["rerun=D", "hydra.run.dir=D"], [*TINY, "hydra.run.dir=D", "model=small", "optimizer.lr=3e-2"],
    ],
    ids=range(8),
)  # fmt: skip
def test_a_completed_run_asked_for_again_changes_nothing(folder, arguments):
    before = snapshot(folder / "D")
    outcome = launch(*arguments)
    assert outcome.code == 0, outcome.output
    assert " is complete: nothing to continue; to evaluate it again: lipnet task=evaluate run=" in outcome.output
    assert snapshot(folder / "D") == before


def test_a_stopped_run_goes_on_by_the_same_command(folder):
    (folder / "D" / "results.json").unlink()
    outcome = launch(*TINY, "attack.names=[fgsm,pgd,ddn]", "hydra.run.dir=D")
    assert outcome.code == 0, outcome.output
    assert "continuing after epoch 3" in outcome.output


def test_an_evaluation_named_like_its_run_goes_elsewhere(folder):
    before = snapshot(folder / "D")
    outcome = launch(*TINY, "hydra.run.dir=D", "task=evaluate", "run=D", "attack.names=[]")
    assert outcome.code == 0, outcome.output
    assert snapshot(folder / "D") == before
    (evaluated,) = (folder / "outputs" / "evaluate").glob("*/*")
    assert (evaluated / "results.json").exists()


def test_a_sweep_leaves_a_job_s_directory_that_was_taken_meanwhile(folder, monkeypatch):
    """The command line has looked, and then another run was first."""
    from lipnet.cli import arguments as commandline

    monkeypatch.setattr(commandline, "occupied_by_jobs", lambda *_: [])
    (folder / "D" / "results.json").unlink()
    before = snapshot(folder / "D")
    outcome = launch("-m", *TINY, "conv=rko", "hydra.sweep.dir=.", "hydra.sweep.subdir=D")
    assert outcome.code == 1
    assert BCOP in outcome.output
    after = snapshot(folder / "D")
    assert {**after, "lipnet.log": ""} == {**before, "lipnet.log": ""}


# what becomes of D/.hydra/config.yaml -> what other_run says of a run with the same configuration
DAMAGE = {
    "missing": (lambda path: path.unlink(), "No such file"),
    "empty": (lambda path: path.write_text(""), "this key is missing"),
    "text": (lambda path: path.write_text("just words"), "cannot be read"),
    "bytes": (lambda path: path.write_bytes(b"\xff\xfe\x00"), "cannot be read"),
    "the environment": (lambda path: path.write_text("seed: ${oc.env:HOME}"), "may not stand in a file"),
    "an unknown key": (lambda path: path.write_text(path.read_text() + "epoch: 3\n"), "epoch: no such key"),
}


@pytest.mark.parametrize("what", DAMAGE)
@pytest.mark.parametrize("recorded", [False, True], ids=["stopped", "completed"])
def test_a_configuration_that_cannot_be_read(folder, make_config, what, recorded):
    damage, reason = DAMAGE[what]
    damage(folder / "D" / ".hydra" / "config.yaml")
    if not recorded:
        (folder / "D" / "results.json").unlink()
    found = other_run(folder / "D", make_config(*TINY))
    if recorded:  # results.json says that it is the same
        assert found is None
    else:
        assert found.startswith("holds files of a run whose configuration cannot be read (")
        assert reason in found


def test_a_configuration_of_an_earlier_version_is_recognised(folder, make_config):
    """Keys that came later have their defaults."""
    path = folder / "D" / ".hydra" / "config.yaml"
    content = OmegaConf.to_container(OmegaConf.load(path))
    for key in ("bell", "generator"):
        del content[key]
    del content["model"]["head"]
    path.write_text(OmegaConf.to_yaml(OmegaConf.create(content)))
    assert other_run(folder / "D", make_config(*TINY)) is None
    assert "conv=bcop, not rko" in other_run(folder / "D", make_config(*OTHER))


@pytest.mark.parametrize("names", [["notes.txt"], ["data/results.txt"], [".hydra/lock"], []])
def test_a_directory_with_other_files_is_free(tmp_path, make_config, names):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert other_run(tmp_path, make_config()) is None


@pytest.mark.parametrize("name", ["results.json", "metrics.csv", "certificates.csv", "checkpoints"])
def test_files_that_a_run_would_overwrite_are_not(tmp_path, make_config, name):
    (tmp_path / name).touch()
    assert "cannot be read" in other_run(tmp_path, make_config())


def test_keys_that_change_no_result_may_differ(folder, make_config):
    assert other_run(folder / "D", make_config(*TINY, "threads=3", "progress=on", "bell=true")) is None


def test_relative_paths_are_meant_where_they_are_typed(folder):
    """Hydra changes into the run directory."""
    before = snapshot(folder / "D")
    given = ("task=evaluate", "run=D", "attack.names=[]", "hydra.run.dir=again", "hydra.job.chdir=true")
    outcome = launch(*given)
    assert outcome.code == 0, outcome.output
    assert (folder / "again" / "results.json").exists()
    assert snapshot(folder / "D") == before
    given = ("dataset=mnist", "dataset.root=here", "dataset.download=false", "hydra.job.chdir=true")
    outcome = launch(*given, "hydra.run.dir=lost")
    assert "dataset.root=here: mnist is missing" in outcome.output
    assert not (folder / "lost" / "lost").exists()
