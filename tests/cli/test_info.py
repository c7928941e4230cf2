from importlib import metadata

import pytest

from lipnet.cli import info


def test_everything_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("LIPNET_DATA", str(tmp_path))
    text = info.describe()
    lines = {line[2:].split("  ")[0]: line for line in text.splitlines() if line.startswith("  ")}
    assert lines["torch"].split()[1] == metadata.version("torch")
    assert f"data in {tmp_path}" in text
    assert "1,437 training and 360 test images" in lines["digits"]
    assert "not there" in lines["mnist"]
    assert lines["cores"].split()[1].isdigit()


@pytest.mark.parametrize("missing", [True, False])
def test_extras_by_what_is_installed(monkeypatch, missing):
    monkeypatch.setattr(info, "_installed", lambda package: None if missing else "1.2")
    extras = dict(info._extras())
    assert {"foolbox", "ot"} <= set(extras)
    assert not {"test", "dev"} & set(extras)
    assert extras["ot"] == ("not installed: pip install 'lipnet[ot]'" if missing else "POT 1.2")
