"""Configuration files that came from elsewhere: what they may not say."""

import pytest
from launching import finished_run, launch

from lipnet.cli.arguments import prepare
from lipnet.errors import UserError
from lipnet.options.trust import check_folder, read_overrides

PLAIN = {
    "keys": "seed: 3\nepochs: 5",
    "an interpolation": "seed: 3\nepochs: ${seed}",
    "the default radii": "eval_radii: ${oc.select:dataset.eval_radii,null}",
    "a date in a name": "hydra: {run: {dir: 'outputs/${now:%Y}'}}",
    "a launcher": "hydra: {launcher: {_target_: hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher}}",
    "logging": "hydra: {job_logging: {handlers: {a: {class: logging.StreamHandler, stream: ext://sys.stdout}}}}",
    "nothing": "",
}
REFUSED = {
    "a callback": ("hydra: {callbacks: {a: {_target_: os.system, command: ls}}}", "a._target_=os.system: only plugins"),
    "a model": ("model: {_target_: torch.nn.Linear}", "model._target_=torch.nn.Linear: only plugins"),
    "a list": ("eval_radii: [{_target_: os.system}]", "_target_=os.system: only plugins"),
    "a prefix of a plugin": ("hydra: {launcher: {_target_: hydra_plugins_of_mine.A}}", "only plugins"),
    "no text": ("model: {_target_: [os.system]}", "only plugins"),
    "a factory": ("hydra: {job_logging: {handlers: {a: {(): os.system}}}}", "a.()=os.system: only classes of logging"),
    "a class": ("hydra: {job_logging: {handlers: {a: {class: subprocess.Popen}}}}", "only classes of logging"),
    "an import": ("hydra: {job_logging: {x: ext://antigravity}}", "ext://antigravity: imports an object"),
    "the environment": ("seed: ${oc.env:HOME}", "seed=${oc.env:HOME}: ${oc.env:...} may not stand in a file"),
    "a nested one": ("seed: ${oc.select:${oc.env:HOME}}", "${oc.env:...} may not"),
    "an unknown resolver": ("seed: '${ shell : id}'", "${shell:...} may not"),
    "in a list": ("eval_radii: ['${oc.env:HOME}']", "${oc.env:...} may not"),
    "a tag": ("seed: !!python/object/apply:os.getcwd []", "it.yaml: cannot be read (could not determine a constructor"),
    "a circle": ("model: &a {b: *a}", "it.yaml: cannot be read ("),
    "no YAML": ("seed: [1", "it.yaml: cannot be read ("),
}


def _write(folder, text, name="it"):
    path = folder / "mine" / "experiment" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return folder / "mine"


@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN)
def test_plain_files_pass(tmp_path, text):
    assert list(check_folder(_write(tmp_path, text))) == []


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_files_that_could_run_code_are_refused(tmp_path, text, message):
    (problem,) = check_folder(_write(tmp_path, text))
    assert str(tmp_path) in problem
    assert message in problem


def test_every_problem_of_every_file_is_named(tmp_path):
    _write(tmp_path, "a: {_target_: b}\nseed: ${oc.env:HOME}", "one")
    folder = _write(tmp_path, "a: {_target_: b}", "two")
    assert len(list(check_folder(folder))) == 3


def test_a_folder_of_one_s_own_is_composed(tmp_path):
    folder = _write(tmp_path, "# @package _global_\nseed: 3\nmodel: {hidden: [6]}\n")
    arguments = ["--config-dir", str(folder), "experiment=it", "model=fc", "--cfg=job"]
    assert prepare(arguments) == arguments
    outcome = launch(*arguments)
    assert outcome.code == 0, outcome.output
    assert "seed: 3" in outcome.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config-dir", "nowhere"], "--config-dir nowhere: there is no such folder."),
        (["--config-dir", "mine", "experiment=it"], "epoch: no such key"),
        (["--config-path", "mine"], "--config-path: the program has its own configuration"),
        (["--config-name", "it"], "--config-name: the program has its own configuration"),
        (["--experimental-rerun", "it.pickle"], "--experimental-rerun: unpickles a file, which can run code"),
        (["hydra.job.name=../../evil"], "hydra.job.name=../../evil: leads out of the run directory"),
        (["hydra.output_subdir=../x"], "hydra.output_subdir=../x: leads out of the run directory"),
        (["-m", "seed=0,1", "hydra.sweep.subdir=/tmp/x"], "hydra.sweep.subdir=/tmp/x: leads out of the run directory"),
        (["hydra.searchpath=[file:///tmp]"], "hydra.searchpath: files there are not checked"),
    ],
)
def test_flags_that_would_read_something_else(tmp_path, monkeypatch, arguments, message):
    _write(tmp_path, "# @package _global_\nepoch: 3\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        prepare(arguments)
    (problem,) = error.value.problems
    assert problem.startswith(message)


@pytest.mark.parametrize(
    ("text", "overrides"), [("- model=fc\n- seed=3", ["model=fc", "seed=3"]), ("[]", []), ("", [])]
)
def test_saved_overrides_are_read(tmp_path, text, overrides):
    (tmp_path / "overrides.yaml").write_text(text)
    assert read_overrides(tmp_path / "overrides.yaml") == overrides


SAVED = {
    "Hydra's own": ("- hydra.run.dir=/tmp", "hydra.run.dir=/tmp: may not stand in a file"),
    "added": ("- +hydra.callbacks.a.b=c", "may not stand in a file"),
    "a plugin": ("- hydra/launcher=joblib", "may not stand in a file"),
    "a target": ("- +model._target_=os.system", "may not stand in a file"),
    "a target in a dict": ("- '+model={_target_:os.system}'", "may not stand in a file"),
    "the environment": ("- seed=${oc.env:HOME}", "${oc.env:...} may not stand in a file"),
    "a dict": ("seed: 3", "not a list of overrides"),
    "a text": ("seed=3", "not a list of overrides"),
    "numbers": ("- 3", "not a list of overrides"),
    "a tag": ("- !!python/object/apply:os.getcwd []", "cannot be read ("),
    "bytes": ("\x00", "cannot be read ("),
}


@pytest.mark.parametrize(("text", "message"), SAVED.values(), ids=SAVED)
def test_saved_overrides_that_are_refused(tmp_path, text, message):
    path = tmp_path / "overrides.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_overrides(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("saved", "message"),
    [("'{{{'", "{{{: not KEY=VALUE as Hydra reads it"), ("seed=1,2", "seed=1,2: several values make a sweep")],
)
def test_saved_overrides_that_hydra_cannot_read(tmp_path, saved, message):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text(f"- {saved}\n")
    with pytest.raises(UserError) as error:
        prepare([f"resume={tmp_path}"])
    assert str(error.value).startswith(message)


def test_a_run_from_elsewhere_chooses_no_callback(tmp_path, tmp_path_factory):
    run = finished_run(tmp_path_factory)
    (tmp_path / ".hydra").mkdir()
    text = (run / ".hydra" / "overrides.yaml").read_text()
    (tmp_path / ".hydra" / "overrides.yaml").write_text(f"{text}- +hydra.callbacks.a._target_=os.getcwd\n")
    outcome = launch(f"resume={tmp_path}")
    assert outcome.code == 1
    assert "+hydra.callbacks.a._target_=os.getcwd: may not stand in a file, only on the command line." in outcome.output
    assert "Traceback" not in outcome.output
