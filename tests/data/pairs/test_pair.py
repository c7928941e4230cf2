import csv
import dataclasses
import math
from importlib import resources

import numpy
import pytest
import torch
from scipy.integrate import simpson
from scipy.stats import chi
from scipy.stats import t as student
from torch import Tensor

from lipnet.data.pairs import Pair, PairBatches, check_pair, load_pair, rays
from lipnet.data.pairs.pair import independent
from lipnet.data.transport import transport_cost
from lipnet.errors import UserError
from lipnet.options import registry
from lipnet.options.facts import inputs_and_outputs
from lipnet.options.registry import names_for
from lipnet.randomness import stream

# Every pair: options that it is tested with beside its default ones, small ones for speed; and how far a sample x of
# the first distribution moves against the potential's gradient to its partner in the second, from the potential's value
# f and the option: None where a partner is drawn with it or found in another way.
PAIRS = {
    "absolute_value": ([(), ("dimension=5", "distance=2.0", "seed=3")], lambda f, option: f),
    "three_cones": ([(), ("dimension=7", "radius=0.5")], lambda f, option: f),
    "cone": ([(), ("dimension=3", "radius=2.0")], lambda f, option: f),
    "translation": (
        [(), ("dimension=1", "distance=0.5"), ("seed=4",)], lambda f, option: torch.full_like(f, option.distance)
    ),
    "spheres": (
        [(), ("dimension=2", "radii=[3.0,0.5]")], lambda f, option: f - math.copysign(option.radii[1], float(f[0]))
    ),
    "scaled_gaussians": (
        [(), ("dimension=3", "scales=[2.0,0.5]")], lambda f, option: f * (1 - option.scales[1] / option.scales[0])
    ),
    "partial_mass": ([(), ("fraction=1.0", "dimension=2")], None),
    "nuisance": ([(), ("dimension=2",), ("dimension=12", "scale=0.1", "seed=2")], lambda f, option: f),
    "nearest_anchor": ([(), ("anchors=1", "shrink=0.25", "seed=5")], None),
    "discrete": ([(), ("atoms=1",), ("dimension=3", "atoms=40", "seed=1")], None),
    "two_images": ([(), ("first=7", "second=3")], None),
    "two_classes": ([(), ("classes=[1,0]", "atoms=20", "seed=2")], None),
    "minfunnel": ([(), ("dimension=2", "funnels=16"), ("dimension=1", "funnels=1"), ("degree=2.0", "seed=1")], None),
}  # fmt: skip
ROWS = [(name, options) for name, (variants, _) in PAIRS.items() for options in variants]

FINITE = ("discrete", "two_classes", "two_images", "nearest_anchor")


@pytest.fixture
def load(make_config, monkeypatch):
    """``load(name, options) -> (option, pair)``; minfunnel's true value from fewer samples."""
    monkeypatch.setattr(rays, "_TRUTH_SAMPLES", 2**14)

    def make(name: str, options: tuple[str, ...] = ()) -> tuple:
        option = make_config("task=wasserstein", f"dataset={name}", *(f"dataset.{text}" for text in options)).dataset
        return option, load_pair(option)

    return make


def standard_error(pair: Pair, first: Tensor, second: Tensor) -> float:
    assert pair.potential is not None
    error = math.sqrt(sum(float(pair.potential(part).var()) / len(part) for part in (first, second)))
    return math.hypot(error, pair.true_value_error or 0.0)


def gradient(function, points):
    points = points.clone().requires_grad_()
    return torch.autograd.grad(function(points).sum(), points)[0]


def couple(name, option, pair, count):
    """Samples of the first distribution, and for each its partner in the second distribution."""
    first, second = pair.samples("evaluation", count, 0)
    distance = PAIRS[name][1]
    if distance is not None:
        step = distance(pair.potential(first), option)
        return first, first - step.view(-1, *[1] * (first.dim() - 1)) * gradient(pair.potential, first)
    if name == "minfunnel":
        return rays.move_to_tips(second, *rays._funnels(option), option.degree), second
    if (
        name == "partial_mass"
    ):  # the second distribution's sampler is the first one's at distance 0, with the same numbers
        still = registry.load("dataset", name)(dataclasses.replace(option, distance=1e-300))
        return first, still.samples("evaluation", count, 0)[0]
    if name in ("discrete", "two_classes"):
        first, second = (torch.unique(pair.samples("evaluation", 4000, 0)[side], dim=0) for side in (0, 1))
        assert len(first) == len(second) == option.atoms
        return first, second  # some numbering: the cost of a coupling is not known, that of the transport is
    return first, second


@pytest.mark.parametrize(("name", "options"), ROWS)
def test_the_truth_is_the_exact_transport_cost_of_a_coupling(name, options, load):
    option, pair = load(name, options)
    first, second = couple(name, option, pair, 150)
    cost = transport_cost(first, second)
    lengths = (first - second).flatten(1).norm(dim=1)
    if name not in ("discrete", "two_classes"):
        assert cost == pytest.approx(float(lengths.mean()), rel=1e-9)
    gap = float(pair.potential(first).mean() - pair.potential(second).mean())
    assert gap == pytest.approx(cost, rel=1e-9)  # the potential proves that nothing is cheaper
    spread = 0.0 if len(first) == 1 else float(lengths.std()) / math.sqrt(len(lengths))
    exact = name in ("discrete", "two_classes", "two_images") or spread < 1e-6
    tolerance = 1e-9 if exact else 4.5 * math.hypot(spread, pair.true_value_error or 0.0)
    assert cost == pytest.approx(pair.true_value, rel=1e-9, abs=tolerance)


@pytest.mark.parametrize(("name", "options"), [row for row in ROWS if row[0] not in FINITE])
def test_partners_follow_the_second_law(name, options, load):
    """Means of coordinates, norms and potential, against independent samples of the second distribution."""
    option, pair = load(name, options)
    partners = couple(name, option, pair, 3000)[1]
    samples = pair.samples("selection", 3000, 1)[1]
    for statistic in (lambda x: x[:, 0], lambda x: x[:, -1], lambda x: x.norm(dim=1), pair.potential):
        found, wanted = statistic(partners), statistic(samples)
        error = math.sqrt(float(found.var() + wanted.var()) / 3000)
        assert abs(float(found.mean() - wanted.mean())) <= 4.5 * error + 1e-9


@pytest.mark.parametrize(("name", "options"), ROWS)
def test_the_potential_has_the_stated_gap(name, options, load):
    _, pair = load(name, options)
    first, second = pair.samples("evaluation", 600 if name == "nearest_anchor" else 4000, 3)
    gap = float(pair.potential(first).mean() - pair.potential(second).mean())
    assert abs(gap - pair.true_value) <= 4.5 * standard_error(pair, first, second) + 1e-9 * pair.true_value


@pytest.mark.parametrize(("name", "options"), ROWS)
def test_the_potential_is_1_lipschitz(name, options, load):
    option, pair = load(name, options)
    shape = inputs_and_outputs(option)[0]
    random = stream(11, "points of a test")
    points = torch.randn(400, *shape, generator=random, dtype=torch.float64)
    samples = torch.cat(pair.samples("evaluation", 100, 0))
    for near, far in ((points, points.flip(0)), (samples, samples.flip(0)), (points, points + 1e-3 * points.flip(0))):
        change = (pair.potential(near) - pair.potential(far)).abs()
        assert bool((change <= (near - far).flatten(1).norm(dim=1) * (1 + 1e-9) + 1e-12).all())


@pytest.mark.parametrize(("name", "options"), ROWS)
def test_samples_are_float64_of_the_stated_shape_and_depend_on_seed_and_part_alone(name, options, load):
    option, pair = load(name, options)
    shape = inputs_and_outputs(option)[0]
    for part in ("selection", "evaluation", "range"):
        first, second = pair.samples(part, 6, 1)
        assert first.dtype == second.dtype == torch.float64
        assert first.shape == second.shape == (6, *shape)
        assert all(map(torch.equal, (first, second), pair.samples(part, 6, 1)))
    if name not in ("two_images", "discrete"):
        assert not torch.equal(pair.samples("selection", 6, 1)[0], pair.samples("evaluation", 6, 1)[0])


def test_every_pair_is_loaded_and_tested():
    assert set(names_for("dataset", "pair")) == {*PAIRS, "gan", "samples"}  # which have tests of their own


@pytest.mark.parametrize(("dimension", "scales"), [(1, [1.0, 3.0]), (3, [0.5, 0.2]), (784, [1.0, 1.5])])
def test_scaled_gaussians_by_quadrature_of_the_radii(load, dimension, scales):
    """Radial distributions: the distance is ``int |F1 - F2|`` of the radii's distribution functions."""
    _, pair = load("scaled_gaussians", (f"dimension={dimension}", f"scales=[{scales[0]},{scales[1]}]"))
    ends = [scale * chi.ppf(q, dimension) for scale in scales for q in (1e-12, 1 - 1e-12)]
    radii = numpy.linspace(min(ends), max(ends), 20_001)
    value = simpson(numpy.abs(chi.cdf(radii / scales[0], dimension) - chi.cdf(radii / scales[1], dimension)), x=radii)
    assert pair.true_value == pytest.approx(value, rel=1e-7)


def test_no_image_is_in_two_parts(load):
    """Digits, trained on, selected by and evaluated on, and the anchors: all different."""
    _, pair = load("nearest_anchor", ("evaluation_samples=600", "selection_samples=300"))
    evaluation, selection = (
        pair.samples(part, count, 0)[1] for part, count in (("evaluation", 600), ("selection", 300))
    )
    training = pair.draw("training", 4000, stream(0, "training samples"))[1]
    parts = [{tuple(image.flatten().tolist()) for image in part} for part in (evaluation, selection, training)]
    assert [len(part) for part in parts[:2]] == [600, 300]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]


@pytest.mark.parametrize("name", ["discrete", "two_classes"])
def test_a_batch_of_all_atoms_is_all_of_them(name, load):
    option, pair = load(name, ("atoms=20",))
    atoms = couple(name, option, pair, 0)
    for batch, points in zip(pair.draw("training", 20, stream(1, "training samples")), atoms, strict=True):
        assert torch.equal(torch.unique(batch, dim=0), points)
    assert len(pair.draw("training", 21, stream(1, "training samples"))[0]) == 21
    evaluation = pair.samples("evaluation", 20, 0)[0]  # independent: some twice
    assert len(torch.unique(evaluation, dim=0)) < 20


def test_minfunnel_draws_the_benchmark_s_numbers(load):
    """The order in which the benchmark's code draws from torch's global generator."""
    option, _ = load("minfunnel", ("dimension=16", "funnels=16"))
    torch.manual_seed(987)
    torch.randn(16, 16), torch.randn(16)
    centres = 2.5 * (2 * torch.rand(16, 16) - 1)
    offsets = 0.1 * torch.randn(16)
    found = rays._funnels(option)
    assert torch.equal(found[0], centres.double())
    assert torch.equal(found[1], offsets.double())


@pytest.mark.parametrize(("dimension", "funnels"), [(2, 4), (2, 256), (16, 16), (128, 4)])
def test_minfunnel_has_the_published_truth(load, dimension, funnels):
    """Published from 4,096 samples: within 1 to 2 per cent."""
    _, pair = load("minfunnel", (f"dimension={dimension}", f"funnels={funnels}"))
    assert pair.true_value == pytest.approx(pair.published["true_value"], rel=0.03)


def test_published_figures():
    with resources.files("lipnet.data.pairs").joinpath("minfunnel.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["dimension"], row["funnels"]) for row in rows} == {
        (str(d), str(n)) for d in (2, 4, 8, 16, 32, 64, 128) for n in (4, 16, 64, 256)
    }
    errors = [abs(float(row["sort_out"]) / float(row["true_value"]) - 1) for row in rows]
    assert sum(errors) / len(errors) == pytest.approx(0.327, abs=1e-3)  # the mean that goes with them


@pytest.mark.parametrize("change", [("degree=2.0",), ("seed=1",), ("dimension=3",)])
def test_other_funnels_are_not_published(load, change):
    assert load("minfunnel", change)[1].published is None


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("two_images", ("first=3", "second=3"), ["dataset.first=3", "dataset.second=3", "same image"]),
        ("two_images", ("second=1437",), ["dataset.second=1437", "1,437", "0 to 1436"]),
        ("two_classes", ("classes=[3,12]", "atoms=9"), ["dataset.classes=[3, 12]", "classes 0 to 9"]),
        ("two_classes", ("atoms=170",), ["dataset.atoms=170", "training images of class"]),
        ("nearest_anchor", ("evaluation_samples=1700",), ["dataset.evaluation_samples=1700", "1,781"]),
    ],
)
def test_what_cannot_be(load, name, options, words):
    with pytest.raises(UserError) as error:
        load(name, options)
    assert [word for word in words if word not in str(error.value)] == []


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 4), ["second", "(4,)", "(3,)"]),
        (torch.zeros(2, 1, 3), torch.zeros(2, 3), ["first", "(1, 3)"]),
        (torch.full((2, 3), math.nan), torch.zeros(2, 3), ["first", "not finite"]),
    ],
)
def test_samplers_that_do_not_fit(first, second, words):
    pair = Pair(draw=independent(lambda count, random: first, lambda count, random: second))
    with pytest.raises(UserError) as error:
        check_pair(pair, (3,))
    assert [word for word in words if word not in str(error.value)] == []


@pytest.mark.parametrize("degrees", [0.7, 1.0, 2.0, 5.0])
def test_a_law_needs_a_first_moment(degrees):
    """Student's distributions have moments below their degrees of freedom; 1 is Cauchy's."""

    def draw(count: int, random: torch.Generator) -> Tensor:
        quantiles = torch.rand(count, 3, generator=random, dtype=torch.float64)
        return torch.from_numpy(student.ppf(quantiles.numpy(), degrees))

    pair = Pair(draw=independent(lambda count, random: torch.zeros(count, 3, dtype=torch.float64), draw))
    if degrees > 1:
        return check_pair(pair, (3,))
    with pytest.raises(
        UserError, match=r"the second distribution of this pair seems to have no first moment: the tail index of"
    ):
        check_pair(pair, (3,))


def test_an_epoch_can_be_entered_anywhere(load):
    _, pair = load("translation")
    batches = PairBatches(pair, examples=5 * 8, device=torch.device("cpu"))
    assert len(batches) == 40
    everything, rest = (list(batches.training_batches(8, 1, 2, first=first)) for first in (0, 3))
    assert len(everything) == 5
    for (inputs, weights), (again, _) in zip(everything[3:], rest, strict=True):
        assert torch.equal(inputs, again)
        assert inputs.dtype == torch.float32
        assert weights.tolist() == [1.0] * 8 + [-1.0] * 8
    assert not torch.equal(everything[0][0], next(batches.training_batches(8, 1, 3))[0])
    assert not torch.equal(everything[0][0], everything[1][0])
