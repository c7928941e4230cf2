import pytest
from PIL import Image

from lipnet.results.__main__ import main
from lipnet.results.collect import find_runs
from lipnet.results.groups import group_runs
from lipnet.results.run_figures import FIGURES, by_network
from lipnet.runs.files import write_csv


@pytest.fixture
def folder(make_run, tmp_path):
    """Two seeds of one method whose radii, singular values and gradients are known, and a run of another."""
    proved = {
        "certified_accuracy_per_pair": {"0.3": 0.82, "1.58": 0.42}, "certify_dtype": "float64",
        "certified_accuracy_by_arithmetic": {"float64": {"0.3": 0.8, "1.58": 0.4}, "float32": {"0.3": 0.7}},
    }  # fmt: skip
    for seed, radii in enumerate(([0.0, 0.5, 1.0, 1.0], [0.0, 0.0, 0.5, 1.0])):
        _leave(make_run(f"runs/{seed}", seed=seed, **proved), radii, 1.0 + seed, 0.5)
    _leave(make_run("runs/rko", {"conv.name": "rko", "optimizer.lr": 0.01}), [0.25] * 4, 0.5, 0.001)
    return tmp_path / "runs"


def _leave(run, radii, value, relative):
    write_csv(run / "certificates.csv", [{"index": 0, "certified_radius": radius} for radius in radii])
    write_csv(run / "singular_values.csv", [{"quantile": q / 100, "1_Conv2d": value * q / 100} for q in range(101)])
    per_example = [
        {"epoch": epoch, "quantile": q / 20, "inputs/margin": value * epoch * q / 20, "weights/1_Conv2d": relative}
        for epoch in (1, 2)
        for q in range(21)
    ]
    write_csv(run / "per_example.csv", per_example)
    norms = [{"layer": name, "relative": value} for name, value in (("input", relative), ("1_Conv2d", 1.0))]
    write_csv(run / "gradient_norms.csv", norms)
    write_csv(run / "metrics.csv", [{"epoch": 1, "train_loss": value, "time_seconds": 2.0, "validation_estimate": 1.0}])


def draw(name, folder):
    groups = group_runs(find_runs([folder]))
    return FIGURES[name]([(group.labels["method"], group) for group in groups], "title")


def curve(axes, label):
    (line,) = (line for line in axes.lines if line.get_label() == label)
    return list(zip(*line.get_data(), strict=True))


def test_certified_accuracy_is_the_mean_over_seeds(folder):
    (axes,) = draw("certified_accuracy", folder).axes
    points = dict(curve(axes, "bcop"))
    assert points[0.0] == pytest.approx((3 / 4 + 2 / 4) / 2)
    assert points[0.5] == pytest.approx((2 / 4 + 1 / 4) / 2)
    assert points[1.0] == 0
    attacked = {
        tuple(map(float, (*line.get_xdata(), *line.get_ydata()))) for line in axes.lines if len(line.get_xdata()) == 1
    }
    assert attacked == {(0.3, 0.85), (1.58, 0.7)}


def test_a_figure_does_not_compare_classifiers_and_gans(folder, make_run):
    make_run("runs/gan", {"task": {"name": "gan"}}, gan={"transport_of_generated": 3.0})
    networks = by_network(group_runs(find_runs([folder])))
    found = {network: sorted(group.labels["method"] for group in same) for network, same in networks.items()}
    assert found == {("mnist", "small"): ["bcop", "rko"], ("mnist", "small gan"): ["bcop"]}


def test_singular_values_have_a_panel_for_each_method(folder):
    panels = draw("singular_values", folder).axes
    assert [axes.get_title() for axes in panels] == ["bcop", "rko"]
    ranges = [max(max(line.get_ydata()) for line in axes.lines if line.get_color() == "C0") for axes in panels]
    assert ranges == [pytest.approx(1.5), pytest.approx(0.5)]


def test_gradient_norms(folder):
    (axes,) = draw("gradient_norms", folder).axes
    assert curve(axes, "bcop") == [(0, 0.5), (1, 1.0)]
    assert axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["image", "conv 1"]


def test_gradients_of_single_examples_are_those_of_the_last_epoch(folder):
    """A bar for each method at the input, with what is proved where it is near; a panel for each method's layers."""
    at_input, *through = draw("per_example", folder).axes
    assert [text.get_text() for text in at_input.get_xticklabels()] == ["bcop", "rko"]
    whole = [
        list(line.get_ydata()) for line in at_input.lines if line.get_linewidth() == 1 and line.get_color() == "C0"
    ]
    assert whole == [pytest.approx([0, 2 * 1.5]), pytest.approx([0, 2 * 0.5])]
    dashed = [list(line.get_ydata()) for line in at_input.lines if line.get_linestyle() == "--"]
    assert dashed == [pytest.approx([1.0000005 * 2**0.5] * 2)] * 2
    assert [axes.get_title().split("\n")[0] for axes in through] == ["bcop", "rko"]
    assert [text.get_text() for axes in through for text in axes.get_xticklabels()] == ["conv 1"] * 2
    assert [axes.get_yscale() for axes in through] == ["log"] * 2
    assert through[0].get_ylim() == through[1].get_ylim()


def test_the_command_writes_what_the_runs_left_data_for(folder, make_run, tmp_path, capsys):
    make_run("runs/other", {"dataset.name": "cifar10"})
    main([str(folder), "--figures", str(tmp_path / "figures")])
    files = sorted((tmp_path / "figures").iterdir())
    left_data = sorted(FIGURES.keys() - {"bounds_against_key"})  # which only networks of splines have
    assert [path.name for path in files] == [f"{name}_mnist_small.png" for name in left_data]
    for path in files:
        with Image.open(path) as picture:
            assert len(picture.convert("RGB").getcolors(2**20)) > 10
    assert all(str(path) in capsys.readouterr().err for path in files[:1])
