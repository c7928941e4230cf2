from importlib import metadata

import pytest

from lipnet.cli import info


def test_everything_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("LIPNET_DATA", str(tmp_path))
    text = info.installation_report()
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


@pytest.fixture
def not_installed(monkeypatch):
    """As in a checkout that is run with ``python train.py`` and was never installed."""
    found = metadata.Distribution.from_name

    def from_name(name):
        if name == "lipnet":
            raise metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(metadata.Distribution, "from_name", from_name)


def test_a_checkout_tells_the_same_extras_without_an_installation(request):
    installed = info._wanted()
    request.getfixturevalue("not_installed")
    names = {extra: {part.name for part in parts} for extra, parts in info._wanted().items()}
    assert names == {extra: {part.name for part in parts} for extra, parts in installed.items()}


def test_everything_is_told_without_an_installation(not_installed):
    text = info.installation_report()
    assert text.startswith("versions\n  lipnet")
    assert "\nextras\n" in text


def test_an_extra_of_extras_is_what_these_ask_for(monkeypatch):
    monkeypatch.setattr(info, "_installed", lambda package: None if package == "submitit" else "1")
    extras = dict(info._extras())
    assert extras["joblib"] == "hydra-joblib-launcher 1"
    assert extras["sweeps"] == "not installed: pip install 'lipnet[sweeps]'"


def test_a_copied_package_has_no_extras_to_tell(tmp_path):
    assert info._declared(tmp_path / "setup.cfg") == {}
