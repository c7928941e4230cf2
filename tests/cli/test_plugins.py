import json
import os
import shlex

import pytest
import yaml
from launching import TINY, launch

from lipnet import load_run
from lipnet.cli.arguments import prepare
from lipnet.errors import UserError
from lipnet.options import plugins

PLUGIN = "plugins=[my_layer]"


def test_keys_of_a_plugin_are_checked_with_near_names(own_module):
    own_module("my_layer")
    given = [PLUGIN, "activation=clamp", "activation.slop=1", "activation.limit=-1"]
    with pytest.raises(UserError) as refused:
        prepare(given)
    first, second = refused.value.problems
    assert "activation.slop: no such key, nothing would read it; did you mean activation.slope?" in first
    assert second == "activation.limit=-1: must be a finite number > 0."
    with pytest.raises(UserError, match="activation=clam: no such option; did you mean clamp"):
        prepare([PLUGIN, "activation=clam"])
    with pytest.raises(UserError, match=r"activation.limit=0: must be .* > 0"):
        prepare(["-m", PLUGIN, "activation=relu,clamp", "activation.limit=1,0"])


@pytest.mark.parametrize("text", ["plugins=my_layer", "plugins=[a],[b]", "plugins=[1]", "plugins={a:b}", "plugins=["])
def test_what_is_no_list_of_modules_is_refused(text, own_module):
    with pytest.raises(UserError, match=r"not a list of modules; write plugins=\[my_module\]"):
        prepare([text])


def test_no_file_names_a_plugin(own_module, tmp_path):
    own_module("my_layer")
    for key, text in (("plugins", "# @package _global_\nplugins: [my_layer]\n"), ("sweep.x", "a: {plugins: [m]}\n")):
        file = tmp_path / "own" / "experiment" / f"{key}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    with pytest.raises(UserError, match="imports modules, so it may not stand in a file"):
        prepare(["--config-dir", "own", "experiment=plugins"])
    assert plugins.loaded_plugins() == {}


def test_help_and_info_show_them(own_module):
    own_module("my_layer")
    shown = launch(PLUGIN, "activation=clamp", "--help")
    assert shown.code == 0
    assert "clamp" in shown.output
    assert "slope: 0.5" in shown.output
    assert "my_layer  plugins=[my_layer]" in launch(PLUGIN, "--info").output


def test_a_run_remembers_its_plugins_and_imports_none_of_them_by_itself(own_module, monkeypatch, tmp_path):
    """Every command that starts from it asks for them, and works once they are named."""
    path = own_module("my_layer")
    done = launch(PLUGIN, "activation=clamp", "activation.slope=0.25", *TINY, "hydra.run.dir=first")
    assert done.code == 0, done.output
    saved = yaml.safe_load((tmp_path / "first" / ".hydra" / "config.yaml").read_text())
    assert saved["plugins"] == ["my_layer"]
    assert saved["activation"] == {"name": "clamp", "limit": 1.0, "slope": 0.25}
    assert shlex.quote(PLUGIN) in next(line for line in done.output.splitlines() if "task=evaluate" in line)

    named = {
        "evaluate": ["task=evaluate", "run=first", "attack.names=[]"], "resume": ["resume=first"],
        "rerun": ["rerun=first", "epochs=1"], "export": ["task=export", "run=first", "task.onnx=false"],
    }  # fmt: skip
    with monkeypatch.context() as forgetting:  # as another process, which has not loaded it
        forgetting.setattr(plugins, "_LOADED", {})
        forgetting.setenv(plugins.VARIABLE, "")
        known = dict(plugins.GROUPS["activation"])
        del plugins.GROUPS["activation"]["clamp"]
        for words in named.values():
            missing = launch(*words)
            assert missing.code == 1
            assert missing.output.count("\n") == 1
            assert "plugins=[my_layer]: this run used it" in missing.output
        with pytest.raises(UserError, match="this run used it"):
            load_run("first")
        plugins.GROUPS["activation"].update(known)
    for words in named.values():
        again = launch(*words, PLUGIN, f"hydra.run.dir=again-{words[0].partition('=')[2]}", "progress=off")
        assert again.code == (1 if words[0].startswith("resume") else 0), again.output  # it has a directory
    assert launch("resume=first", PLUGIN).code == 0
    exported = (tmp_path / "again-export" / "network.py").read_text()
    assert "class LeakyClamp" in exported
    assert json.loads((tmp_path / "again-export" / "certificate.json").read_text())["lipschitz_upper_bound"] < 1.001
    path.unlink()


def test_torchrun_is_given_the_same_words(own_module):
    own_module("my_layer")
    argv = prepare([PLUGIN, "activation=clamp"])
    assert argv == [PLUGIN, "activation=clamp"]
    assert os.environ[plugins.VARIABLE] == "my_layer"
