import pytest

from lipnet.results.collect import find_runs
from lipnet.results.groups import group_runs
from lipnet.results.progress_figures import score_against_seconds, training_curves
from lipnet.runs.files import write_csv


@pytest.fixture
def track(make_run, tmp_path):
    """``track(name, losses, finished=...)``: a run of as many epochs; certified accuracy is half of each."""

    def make(name, losses, finished=True, **options):
        run = make_run(name, **options)
        rows = [
            {"epoch": epoch, "train_loss": loss, "validation_loss": 2 * loss, "time_seconds": 3.0,
             "validation_certified_accuracy@36_255": loss / 2, "validation_certified_accuracy@0.1": 0.9}
            for epoch, loss in enumerate(losses, start=1)
        ]  # fmt: skip
        write_csv(run / "metrics.csv", rows)
        if not finished:
            (run / "results.json").unlink()

    return make


def named(folder):
    return [(group.labels["method"], group) for group in group_runs(find_runs([folder]))]


def lines(axes, style="-"):
    return {line.get_label(): list(zip(*line.get_data(), strict=True)) for line in axes.lines
            if line.get_linestyle() == style}  # fmt: skip


def test_curves_are_means_over_the_seeds_that_have_come_so_far(track, tmp_path):
    track("runs/a", [1.0, 0.5])
    track("runs/b", [0.8], finished=False, seed=1)
    loss, certified = training_curves(named(tmp_path / "runs"), "title").axes
    assert (loss.get_ylabel(), certified.get_ylabel()) == ("loss", "certified accuracy at 36/255")
    assert lines(loss)["bcop"] == [(1, pytest.approx(1.8)), (2, pytest.approx(1.0))]
    dashed = [line for line in loss.lines if line.get_linestyle() == "--" and len(line.get_xdata())]
    assert list(dashed[0].get_ydata()) == [pytest.approx(0.9), pytest.approx(0.5)]
    assert all(float(tick).is_integer() for tick in loss.get_xticks())


def test_seconds_add_up_and_every_run_has_a_line(track, tmp_path):
    track("runs/a", [1.0, 0.5])
    track("runs/b", [0.8], finished=False, seed=1)
    (axes,) = score_against_seconds(named(tmp_path / "runs"), "title").axes
    found = sorted(list(zip(*line.get_data(), strict=True)) for line in axes.lines)
    assert found == [[(3.0, 0.4)], [(3.0, 0.5), (6.0, 0.25)]]
    assert axes.get_ylabel() == "certified accuracy at 36/255 (validation)"


def test_a_column_with_what_is_no_number_is_left_out(track, tmp_path, make_run):
    write_csv(make_run("runs/a") / "metrics.csv", [{"epoch": 1, "train_loss": "nan", "validation_loss": 0.5}])
    (axes,) = training_curves(named(tmp_path / "runs"), "title").axes
    assert lines(axes)["bcop"] == [(1, 0.5)]


def test_what_is_measured_in_training_and_validation_has_a_panel(make_run, tmp_path):
    row = {"epoch": 1, "train_loss": 1.0, "train_critic_gap": 0.5, "validation_critic_gap": 0.25, "train_other": 3.0}
    write_csv(make_run("runs/a") / "metrics.csv", [row])
    panels = training_curves(named(tmp_path / "runs"), "title").axes
    assert [axes.get_ylabel() for axes in panels] == ["loss", "critic gap"]
    assert lines(panels[1])["bcop"] == [(1, 0.25)]


def test_without_tables_there_is_no_figure(make_run, tmp_path):
    make_run("runs/a")
    assert training_curves(named(tmp_path / "runs"), "title") is None
    assert score_against_seconds(named(tmp_path / "runs"), "title") is None
