import io

import pytest
import torch
from PIL import Image

from lipnet.options.tasks import ATTACKS
from lipnet.tasks.robustness.attacking import Attacked
from lipnet.tasks.robustness.evaluation import Certification
from lipnet.tasks.robustness.figures import accuracy_against_radius, adversarial_examples

RADII = [0.0, 0.5, 0.0, 0.2, 0.2, 0.9]
ATTACKED = {"fgsm": {"0.3": 0.6, "36/255": 0.7}, "pgd": {"0.3": 0.4, "36/255": 0.6}}


@pytest.fixture
def found():
    def build(channels=1, radii=RADII, per_pair=1.0):
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(len(radii), channels, 4, 4, generator=generator)
        values = torch.tensor(radii, dtype=torch.float64)
        labels = torch.zeros(len(radii), dtype=torch.int64)
        margins = values.clone()
        margins[0] = -1.0
        return Certification(
            lipschitz=1.0, lower=0.9, bv2={}, predictions=labels, margins=margins, radii=values,
            radii_per_pair=per_pair * values, labels=labels, indices=labels,
            attacked={name: Attacked(points, 6, 1.0) for name, points in ATTACKED.items()},
            attacked_worst={},
            images=images, adversarial=(images + 0.1).clamp(0, 1), shown="pgd",
            deployments={"float64": values}, without_allowance=values,
        )  # fmt: skip

    return build


def _draw(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    with Image.open(buffer) as picture:
        return len(picture.convert("RGB").getcolors(2**20))


def _curve(axes, label):
    (line,) = (line for line in axes.lines if line.get_label().startswith(label))
    return list(zip(*line.get_data(), strict=True))


@pytest.mark.parametrize("radius", [0.0, 0.1, 0.2, 0.3, 0.5, 0.8, 0.9, 1.5])
def test_the_curve_is_certified_accuracy_at_every_radius(found, radius):
    certification = found()
    (axes,) = accuracy_against_radius(certification, "title").axes
    steps = _curve(axes, "certified")
    height = [y for x, y in steps if x <= radius][-1]
    assert height == pytest.approx(certification.certified_accuracy(radius))


def test_attacks_are_points(found):
    (axes,) = accuracy_against_radius(found(), "title").axes
    assert {(36 / 255, 0.6), (0.3, 0.4)} <= set(_curve(axes, "pgd"))
    assert {(36 / 255, 0.7), (0.3, 0.6)} <= set(_curve(axes, "fgsm"))
    assert _curve(axes, "clean") == [(0, 4 / 6)]  # margins > 0


def test_the_figure_says_what_it_shows(found):
    figure = accuracy_against_radius(found(), "digits, small, bcop")
    (axes,) = figure.axes
    assert axes.get_title() == "digits, small, bcop"
    assert "radius" in axes.get_xlabel()
    assert "accuracy" in axes.get_ylabel()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [label.split()[0] for label in labels] == ["certified:", "fgsm:", "pgd:", "clean:"]
    assert _draw(figure) > 10


def test_the_legend_lies_beside_the_data(found):
    figure = accuracy_against_radius(found(), "title")
    _draw(figure)
    assert figure.legends[0].get_window_extent().x0 >= figure.axes[0].get_window_extent().x1


@pytest.mark.parametrize(("factor", "curves"), [(1.0, 1), (1.0 + 1e-6, 1), (1.3, 2)])
def test_the_certificate_per_pair_has_a_curve_where_it_differs(found, factor, curves):
    (axes,) = accuracy_against_radius(found(per_pair=factor), "title").axes
    shown = [line for line in axes.lines if line.get_label().startswith("certified")]
    assert len(shown) == curves
    assert shown[-1].get_xdata()[-1] == pytest.approx(0.9 * (factor if curves == 2 else 1))


def test_any_attack_has_a_marker_of_its_own(found):
    certification = found()
    certification.attacked = {name: Attacked({"0.3": 0.5}, 4 if name == "boundary" else 6, 1.0) for name in ATTACKS}
    (axes,) = accuracy_against_radius(certification, "title").axes
    points = axes.lines[1:-1]
    assert len({(line.get_marker(), line.get_color()) for line in points}) == len(points) == len(ATTACKS)
    assert [line.get_label() for line in points if "first" in line.get_label()] == ["boundary: at most (first 4)"]


def test_a_network_that_certifies_nothing_has_a_figure(found):
    (axes,) = accuracy_against_radius(found(radii=[0.0, 0.0]), "title").axes
    assert _curve(axes, "certified") == [(0, 0)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 4, 8])
def test_adversarial_examples(found, channels, count):
    certification = found(channels)
    figure = adversarial_examples(certification, "0.3", count)
    shown = min(count, len(RADII))
    assert len(figure.axes) == 3 * shown
    assert "pgd within radius 0.3" in figure.get_suptitle()
    pictures = [axes.images[0].get_array() for axes in figure.axes]
    for column in range(shown):
        image = certification.images[column].permute(1, 2, 0).squeeze(-1).numpy()
        assert pictures[column].shape == image.shape
        assert (pictures[column] == image).all()
        assert pictures[2 * shown + column].min() >= 0
        assert pictures[2 * shown + column].max() <= 1


def test_no_difference_is_grey(found):
    certification = found()
    certification.adversarial = certification.images
    figure = adversarial_examples(certification, "0.3", 2)
    assert (figure.axes[-1].images[0].get_array() == 0.5).all()
    assert _draw(figure) > 10
