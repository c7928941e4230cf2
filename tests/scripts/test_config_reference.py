"""docs/configuration.md: complete, and what scripts/config_reference.py writes today."""

import re
import runpy

import pytest
import yaml
from launching import ROOT

from lipnet.options.folder import config_dir
from lipnet.options.registry import GROUPS

PAGE = (ROOT / "docs" / "configuration.md").read_text()
TOP = PAGE.partition("\n## Keys of every run\n")[2].partition("\n## ")[0]


def _rows(section: str) -> dict[str, str]:
    """Key -> default, of a section's table."""
    return dict(re.findall(r"^\| `([\w.]+)` \| `(.*?)` \| \S.*\|$", section, flags=re.MULTILINE))


def _flat(content: dict, prefix: str) -> dict[str, object]:
    return {prefix + key: value for key, value in content.items() if key not in ("defaults", "hydra", "name")}


def test_the_page_is_current():
    written = runpy.run_path(str(ROOT / "scripts" / "config_reference.py"))["page"]()
    assert written == PAGE, "run python scripts/config_reference.py"


@pytest.mark.parametrize(
    ("group", "option"), [(group, option) for group, options in GROUPS.items() for option in options]
)
def test_every_key_of_an_option_is_there_with_its_default(group, option):
    section = PAGE.partition(f"\n### `{group}={option}`\n")[2].partition("\n##")[0]
    content = _flat(yaml.safe_load((config_dir() / group / f"{option}.yaml").read_text()), f"{group}.")
    rows = _rows(section)
    assert rows.keys() == content.keys()
    assert {key: yaml.safe_load(value) for key, value in rows.items()} == content
    assert "python train.py" in section


def test_every_key_of_a_run_is_there_with_its_default():
    content = _flat(yaml.safe_load((config_dir() / "config.yaml").read_text()), "")
    nodes = {key for key, value in content.items() if isinstance(value, dict)}
    wanted = {key: value for key, value in content.items() if key not in nodes}
    for node in nodes:
        wanted |= _flat(content[node], f"{node}.")
    assert {key: yaml.safe_load(value) for key, value in _rows(TOP).items()} == wanted


def test_every_recipe_is_there():
    files = {
        path.relative_to(config_dir()).with_suffix("").as_posix() for path in config_dir().glob("experiment/**/*.yaml")
    }
    assert files == {
        f"experiment/{name}" for name in re.findall(r"^\| `([\w/]+)` \| \S", PAGE, re.MULTILINE) if "/" in name
    }
