import pytest

from lipnet.results.collect import find_runs
from lipnet.results.groups import group_runs
from lipnet.results.swept_figure import bounds_against_key, clean_against_certified, score_against_key


def draw(folder):
    return score_against_key([("", group) for group in group_runs(find_runs([folder]))], "title")


def lines(axes):
    """label -> points of the score; those of clean accuracy have no label."""
    return {
        container.get_label(): list(zip(*container[0].get_data(), strict=True))
        for container in axes.containers
        if not container.get_label().startswith("_")
    }


def sweep(make_run, **choices):
    """Learning rates 0.1 and 1 for each method, whose certified accuracy says which run it was; two seeds of one."""
    for method, offset in choices.items():
        for rate in (0.1, 1.0):
            changes = {"conv.name": method, "optimizer.lr": rate}
            accuracy = {"0.3": 0.8, "1.58": offset + rate / 10}
            make_run(f"runs/{method}{rate}", changes, certified_accuracy=accuracy)
    make_run("runs/again", {"optimizer.lr": 1.0}, seed=1, certified_accuracy={"0.3": 0.8, "1.58": 0.3})


def test_a_line_for_each_method_through_means_over_seeds(make_run, tmp_path):
    sweep(make_run, bcop=0.0, rko=0.5)
    (axes,) = draw(tmp_path / "runs").axes
    assert lines(axes) == {
        "bcop": [(0.1, pytest.approx(0.01)), (1.0, pytest.approx(0.2))],
        "rko": [(0.1, pytest.approx(0.51)), (1.0, pytest.approx(0.6))],
    }
    assert (axes.get_xlabel(), axes.get_xscale()) == ("optimizer.lr", "linear")
    assert "at 1.58" in axes.get_ylabel()


def test_keys_that_move_together_share_a_panel_and_a_grid_has_one_each(make_run, tmp_path):
    for rate in (0.001, 0.1):
        for epochs in (1, 2):
            changes = {"optimizer.lr": rate, "epochs": epochs, "batch_size": 10 * epochs}
            make_run(f"runs/{rate}-{epochs}", changes)
    panels = draw(tmp_path / "runs").axes
    assert [axes.get_xlabel() for axes in panels] == ["batch_size", "optimizer.lr"]
    assert sorted(lines(panels[0])) == ["bcop optimizer.lr=0.001", "bcop optimizer.lr=0.1"]
    assert panels[1].get_xscale() == "log"


def test_a_random_search_gives_points(make_run, tmp_path):
    for number, epsilon in enumerate((1.5, 0.5, "36/255", 1.0)):
        make_run(f"runs/{number}", {"optimizer.lr": 0.1 * (number + 1), "loss.epsilon": epsilon})
    first, second = draw(tmp_path / "runs").axes
    assert {label: len(points) for label, points in lines(first).items()} == {"bcop": 4}
    assert {first.get_xlabel(), second.get_xlabel()} == {"optimizer.lr", "loss.epsilon"}


@pytest.mark.parametrize("changes", [{}, {"attack.names": "[pgd]"}], ids=["nothing", "a text"])
def test_without_swept_numbers_there_is_no_figure(make_run, tmp_path, changes):
    make_run("runs/a")
    make_run("runs/b", changes, seed=1)
    assert draw(tmp_path / "runs") is None


def test_of_many_lines_the_highest_are_drawn(make_run, tmp_path):
    for padding in range(12):
        for rate in (0.1, 1.0):
            accuracy = {"1.58": padding / 20}
            changes = {"optimizer.lr": rate, "conv.padding_mode": f"p{padding}"}
            make_run(f"runs/{padding}-{rate}", changes, certified_accuracy=accuracy)
    (axes,) = draw(tmp_path / "runs").axes
    assert {label.rpartition("=")[2] for label in lines(axes)} == {f"p{padding}" for padding in range(2, 12)}
    assert axes.get_xlabel() == "optimizer.lr (10 of 12 lines)"


def trade_offs(folder):
    named = [(str(number), group) for number, group in enumerate(group_runs(find_runs([folder])))]
    figure = clean_against_certified(named, "title")
    return figure, [[text.get_text() for text in axes.texts] for axes in figure.axes]


def test_what_one_swept_number_trades_is_a_line_marked_with_it(make_run, tmp_path):
    sweep(make_run, bcop=0.0, rko=0.5)
    figure, texts = trade_offs(tmp_path / "runs")
    assert texts == [["0.1", "1", "0.1", "1"]] * 2
    assert [axes.get_ylabel() for axes in figure.axes] == ["certified accuracy at 0.3", "certified accuracy at 1.58"]
    assert sorted(lines(figure.axes[0])) == ["bcop", "rko"]
    assert figure.legends[0].get_title().get_text() == "numbers: optimizer.lr"


def test_other_configurations_are_points_of_their_own(make_run, tmp_path):
    for number in range(4):
        make_run(f"runs/{number}", {"optimizer.lr": 0.1 * (number + 1), "loss.epsilon": (1.5, 0.5, 2.5, 1.0)[number]})
    figure, texts = trade_offs(tmp_path / "runs")
    assert {len(points) for points in lines(figure.axes[0]).values()} == {1}
    assert set(map(tuple, texts)) == {("",) * 4}


def test_no_configuration_is_left_out_for_want_of_a_line(make_run, tmp_path):
    sweep(make_run, bcop=0.0)
    make_run("runs/alone", {"conv.name": "rko"}, certified_accuracy={"0.3": 0.8, "1.58": 0.4})
    figure, texts = trade_offs(tmp_path / "runs")
    assert len(lines(figure.axes[0])) == 3
    assert texts == [["", "", ""]] * 2


# weight -> BV2 bound, bound by layers, measured gain
BOUNDS = {"1e-05": (1000.0, 200.0, 90.0), "0.0001": (300.0, 90.0, 60.0), "0.001": (100.0, 40.0, 30.0)}


def bounds(make_run, weights, folder="runs", variation=True):
    for weight in weights:
        bv2, upper, lower = BOUNDS.get(weight, (1.0, 1.0, 1.0))
        for seed in (0, 1):
            found = {"1": 2 * bv2, "2": bv2 + seed, "inf": 3 * bv2} if variation else None
            make_run(
                f"{folder}/{weight}-{seed}", {"activation": {"name": "spline", "bv2": float(weight)}}, seed,
                bv2_bound=found, lipschitz_upper_bound=upper, lipschitz_lower_bound=lower,
            )  # fmt: skip


def trade_off(folder):
    return bounds_against_key([("", group) for group in group_runs(find_runs([folder]))], "title")


def test_bounds_on_the_slope_against_the_weight_of_their_penalty(make_run, tmp_path):
    bounds(make_run, BOUNDS)
    accuracies, gains = trade_off(tmp_path / "runs").axes
    assert lines(accuracies) == {"clean accuracy": [(float(weight), pytest.approx(0.9)) for weight in BOUNDS]}
    columns = list(zip(*BOUNDS.values(), strict=True))
    names = ("BV2 bound, p = 2", "bound by layers", "measured at test examples")
    for name, column, shift in zip(names, columns, (0.5, 0, 0), strict=True):
        assert lines(gains)[name] == [
            (float(weight), value + shift) for weight, value in zip(BOUNDS, column, strict=True)
        ]
    assert (gains.get_xscale(), gains.get_yscale(), gains.get_xlabel()) == ("log", "log", "activation.bv2")


@pytest.mark.parametrize(
    ("weights", "variation"), [(BOUNDS, False), (["0.001"], True), (["0.0", "0.001"], True)],
    ids=["no splines", "one weight", "a weight of 0, where a logarithm has no place"],
)  # fmt: skip
def test_without_bounds_or_weights_nothing_is_drawn(weights, variation, make_run, tmp_path):
    bounds(make_run, weights, variation=variation)
    assert trade_off(tmp_path / "runs") is None
