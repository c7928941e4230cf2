import os
import re
from types import SimpleNamespace

import pytest
from own_modules import CLAMP

from lipnet.errors import UserError
from lipnet.options import plugins
from lipnet.options.defaults import completed, content_of
from lipnet.options.plugins import load_plugins, loaded_plugins, missing_plugins
from lipnet.options.registry import GROUPS
from lipnet.options.tasks import ATTACKS

KEYS = """
from dataclasses import dataclass
from lipnet.options import *

@dataclass(frozen=True)
class Mine(Named):
    size: int = checked(whole(1){default})

register("{group}", "mine", Mine, "torch.nn:Identity"{facts})
"""


def keys(default="", group="activation", facts=""):
    return KEYS.format(default=default, group=group, facts=facts)


def test_a_plugin_registers_options_that_everything_knows(own_module):
    own_module("my_layer")
    load_plugins(["my_layer"])
    option = GROUPS["activation"]["clamp"]
    assert (option.plugin, loaded_plugins()) == ("my_layer", {"my_layer": "plugins=[my_layer]"})
    assert content_of(option) == {"name": "clamp", "limit": 1.0, "slope": 0.5}
    assert completed({"activation": {"name": "clamp", "slope": 0.25}})["activation"] == content_of(option) | {
        "slope": 0.25
    }
    assert option.load().__name__ == "LeakyClamp"


def test_plugins_are_named_by_the_variable_too_and_told_to_other_processes(own_module, monkeypatch):
    own_module("first")
    own_module("my_package.__init__", "import my_package.second")
    own_module("my_package.second", keys(", 2"))
    monkeypatch.setenv(plugins.VARIABLE, " first ,")
    load_plugins(["my_package"])
    load_plugins(["my_package"])  # nothing is registered twice
    assert list(loaded_plugins()) == ["first", "my_package"]
    assert GROUPS["activation"]["mine"].plugin == "my_package"  # whichever of its modules registers
    assert os.environ[plugins.VARIABLE] == "first,my_package"


def test_an_installed_package_brings_its_plugin(own_module, monkeypatch):
    own_module("installed_one")
    entry = SimpleNamespace(value="installed_one", dist=SimpleNamespace(name="a-package"))
    monkeypatch.setattr(plugins.metadata, "entry_points", lambda group: [entry] if group == "lipnet.plugins" else [])
    load_plugins()
    assert loaded_plugins() == {"installed_one": "the installed package a-package"}
    assert os.environ[plugins.VARIABLE] == ""


def test_a_module_that_a_program_imports_itself_is_a_plugin(own_module):
    own_module("by_hand")
    os.sys.path.insert(0, os.getcwd())
    __import__("by_hand")
    assert loaded_plugins() == {"by_hand": "import"}
    assert list(missing_plugins({"plugins": ["by_hand"]})) == []


def test_an_option_may_be_like_another_or_have_a_file(own_module):
    path = own_module("mine", keys(group="dataset", facts=", like='cone'").replace("Mine(Named)", "Mine(Pair)"))
    with pytest.raises(UserError, match="dataset=mine: size has no default"):
        load_plugins(["mine"])
    path.with_name("mine.yaml").write_text("size: 3\nseed: 5\n")
    own_module("again", path.read_text().replace("like='cone'", "like='cone', file='mine.yaml', data='pair'"))
    load_plugins(["again"])
    content = content_of(GROUPS["dataset"]["mine"])
    assert (content["size"], content["seed"], content["steps_per_epoch"]) == (3, 5, 100)
    assert {"override /loss@_global_.loss": "kantorovich"} in content["defaults"]
    assert "dimension" not in content


ATTACK = "from lipnet.options import register_attack\nregister_attack({name!r}, lambda model, images, labels: images)"
# name of the module, its text, what is said
REFUSED = {
    "syntax": ("broken", "def (", "broken cannot be imported: SyntaxError"),
    "error": ("broken", "\nraise RuntimeError('no\\n  licence')", r"RuntimeError: no licence \(.*broken.py, line 2\)"),
    "missing import": ("broken", "import no_such_package", "No module named 'no_such_package'"),
    "exit": ("broken", "raise SystemExit(3)", "broken cannot be imported: SystemExit: 3"),
    "no module": ("my_layr", None, "there is no module my_layr in .* or among the installed ones; my_layer is there"),
    "far from any": ("qqq", None, "its folder must be the current one, or in PYTHONPATH"),
    "file": ("my_layer.py", None, r"'my_layer.py' is not the name of a module; write plugins=\[my_layer\]"),
    "path": ("../x y", None, "is not the name of a module."),
    "registered twice": ("twice", CLAMP + "\nregister('activation', 'clamp', Clamp, LeakyClamp)", "by twice"),
    "lipnet's own name": (
        "own",
        CLAMP.replace('"clamp"', '"relu"'),
        "activation=relu is registered already, by lipnet",
    ),
    "no group": ("own", CLAMP.replace('"activation"', '"activations"'), "no group 'activations'"),
    "no default": ("own", keys(), "activation=mine: size has no default; write size = checked"),
    "default out of range": ("own", keys(", 0"), "the default size=0: must be a whole number >= 1"),
    "no check": ("own", keys(", 1").replace("checked(whole(1), 1)", "1"), "size has no check"),
    "no dataclass": ("own", keys(", 1").replace("@dataclass(frozen=True)", ""), "Mine, are no dataclass that derives"),
    "not named": ("own", keys(", 1").replace("Mine(Named)", "Mine"), "derives from Named"),
    "like nothing": ("own", keys(", 1", facts=", like='softsign'"), "like='softsign' is no option of activation"),
    "no such file": ("own", keys(", 1", facts=", file='x.yaml'"), "its defaults cannot be read .*x.yaml"),
    "another fact": ("own", keys(", 1", facts=", shap=(3,)"), "unexpected keyword argument 'shap'"),
    "attack of a taken name": ("own", ATTACK.format(name="pgd"), "the attack pgd is registered already, by lipnet"),
}


@pytest.mark.parametrize(("name", "text", "said"), REFUSED.values(), ids=REFUSED)
def test_a_plugin_that_cannot_be_used_is_one_message_and_leaves_nothing(name, text, said, own_module):
    own_module("my_layer")
    if text is not None:
        own_module(name, text)
    before = {group: list(options) for group, options in GROUPS.items()}, list(ATTACKS)
    with pytest.raises(UserError, match=said) as refused:
        load_plugins([name])
    assert len(refused.value.problems) == 1
    assert "\n" not in str(refused.value)
    assert ({group: list(options) for group, options in GROUPS.items()}, list(ATTACKS)) == before
    assert loaded_plugins() == {}


def test_a_plugin_that_is_missing_is_told_in_one_line(own_module):
    own_module("my_layer")
    (problem,) = missing_plugins({"plugins": ["my_layer", "other"]})
    assert "add plugins=[my_layer,other] to the command" in problem
    load_plugins(["my_layer"])
    (problem,) = missing_plugins({"plugins": ["my_layer", "other"]})
    assert re.match(r"plugins=\[other\]: this run used it", problem)
    assert list(missing_plugins({"plugins": None})) == list(missing_plugins({})) == []
