import pytest

from lipnet.runs.latest import link_latest


def test_latest_points_to_the_last_run(tmp_path):
    for name in ("task/first", "second"):
        (tmp_path / "outputs" / name).mkdir(parents=True)
        link_latest(tmp_path / "outputs" / name, tmp_path / "outputs")
        assert (tmp_path / "outputs" / "latest").readlink().as_posix() == name
    assert {path.name for path in (tmp_path / "outputs").iterdir()} == {"task", "second", "latest"}


@pytest.mark.parametrize("place", ["elsewhere", "outputs"])
def test_latest_is_about_runs_in_outputs(tmp_path, place):
    (tmp_path / place).mkdir()
    link_latest(tmp_path / place, tmp_path / "outputs")
    assert not (tmp_path / "outputs" / "latest").exists()


def test_a_folder_called_latest_is_left_alone(tmp_path):
    (tmp_path / "latest" / "mine").mkdir(parents=True)
    (tmp_path / "run").mkdir()
    link_latest(tmp_path / "run", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"latest", "run"}
    assert (tmp_path / "latest" / "mine").is_dir()
