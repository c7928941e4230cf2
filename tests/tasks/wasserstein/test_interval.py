import math

import pytest
import torch
from scipy import stats

from lipnet.tasks.wasserstein.interval import bernstein_margin, mean_interval


def normal(count, random):
    return torch.randn(count, generator=random, dtype=torch.float64)


def exponential(count, random):
    return -torch.rand(count, generator=random, dtype=torch.float64).log()


SKEWED = {  # a distribution, its mean
    "exponential": (exponential, 1.0),
    "its mirror image": (lambda count, random: -exponential(count, random), -1.0),
    "chi-squared": (lambda count, random: normal(count, random) ** 2, 1.0),
    "lognormal": (lambda count, random: normal(count, random).exp(), math.exp(0.5)),
}


def drawn(draw, count, seed=0):
    return draw(count, torch.Generator().manual_seed(seed))


def student(values, confidence, others=None):
    """Student's interval, and Welch's, as scipy has them."""
    found = stats.ttest_1samp(values, 0) if others is None else stats.ttest_ind(values, others, equal_var=False)
    return found.confidence_interval(confidence)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("counts", [(2,), (3,), (40,), (5, 40), (40, 40)])
def test_of_values_without_skewness_it_is_students_interval(confidence, counts):
    samples = [torch.linspace(-1, 2, count).double() * count for count in counts]
    found = mean_interval(samples[0], confidence, *samples[1:])
    assert (found.low, found.high) == pytest.approx(student(samples[0], confidence, *samples[1:]), rel=1e-9)
    assert found.estimate == pytest.approx((found.low + found.high) / 2, rel=1e-9)


def test_the_corrected_ends_are_the_expansion():
    """Hall 1992, section 2.6, for Student's statistic of 50 skewed values; scipy's moments are the oracle."""
    values = drawn(exponential, 50)
    skewness = stats.skew(values, bias=False) / math.sqrt(50)
    error, t = float(values.std()) / math.sqrt(50), stats.t.ppf(0.975, 49)
    reach = t + 5 * skewness**2 * (4 * t**3 - t) / 72 + skewness * (2 * t**2 + 1) / 6
    found = mean_interval(values, 0.95)
    assert found.high == pytest.approx(float(values.mean()) + error * reach, rel=1e-9)
    assert found.low == pytest.approx(float(values.mean()) - error * t, rel=1e-9)


@pytest.mark.parametrize("count", [50, 200])
@pytest.mark.parametrize("name", SKEWED)
def test_it_covers_the_mean_of_skewed_values(name, count):
    draw, mean = SKEWED[name]
    held = 0
    for seed in range(2000):
        found = mean_interval(drawn(draw, count, seed), 0.95)
        held += found.low <= mean <= found.high
    assert 0.94 <= held / 2000 <= 0.97


def test_it_covers_the_difference_of_means_of_skewed_values():
    held, students = 0, 0
    for seed in range(2000):
        random = torch.Generator().manual_seed(seed)
        values, others = normal(50, random).exp(), normal(50, random)
        found, (low, high) = mean_interval(values, 0.95, others), student(values, 0.95, others)
        held += found.low <= math.exp(0.5) <= found.high
        students += low <= math.exp(0.5) <= high
    assert students / 2000 < 0.935  # as it was, and worse without Student's quantile
    assert 0.94 <= held / 2000 <= 0.97


def test_of_normal_values_it_is_as_wide_as_students():
    width, students = 0.0, 0.0
    for seed in range(500):
        values = drawn(normal, 50, seed)
        found, (low, high) = mean_interval(values, 0.95), student(values, 0.95)
        width += found.high - found.low
        students += high - low
    assert width <= 1.002 * students


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.9999])
@pytest.mark.parametrize("name", SKEWED)
def test_it_is_never_inside_students_interval(name, confidence):
    for count in (3, 5, 50, 1000):
        for seed in range(20):
            values = drawn(SKEWED[name][0], count, seed)
            found, (low, high) = mean_interval(values, confidence), student(values, confidence)
            assert found.low <= low + 1e-9 * abs(low)
            assert found.high >= high - 1e-9 * abs(high)


@pytest.mark.parametrize("factor", [-3.0, 1e-200, 1e250])
def test_it_moves_and_scales_with_the_values(factor):
    values, others = drawn(exponential, 50), drawn(normal, 60)
    for sides in ((values,), (values, others), (others, values)):
        small = mean_interval(sides[0], 0.95, *sides[1:])
        large = mean_interval(factor * sides[0], 0.95, *(factor * side for side in sides[1:]))
        ends = sorted((factor * small.low, factor * small.high))
        assert (large.low / abs(factor), large.high / abs(factor)) == pytest.approx(
            [end / abs(factor) for end in ends], rel=1e-9
        )
    moved, still = mean_interval(values + 7, 0.95), mean_interval(values, 0.95)
    assert moved == pytest.approx([end + 7 for end in still], rel=1e-12)


@pytest.mark.parametrize(
    ("values", "others", "low", "high"),
    [
        ([], None, -math.inf, math.inf),
        ([1.0], None, -math.inf, math.inf),
        ([1.0, 2.0], [1.0], -math.inf, math.inf),
        ([1.0, 2.0, math.nan], None, -math.inf, math.inf),
        ([1.0, 2.0, math.inf], None, -math.inf, math.inf),
        ([1.0, 2.0], [0.0, -math.inf], -math.inf, math.inf),
        ([2.5, 2.5], None, 2.5, 2.5),
        ([2.5] * 9, [1.5] * 4, 1.0, 1.0),
    ],
)
def test_values_that_prove_nothing_or_are_all_equal(values, others, low, high):
    found = mean_interval(torch.tensor(values), 0.95, None if others is None else torch.tensor(others))
    assert (found.low, found.high) == (low, high)


def test_bernstein_margin_is_the_theorem():
    """Maurer & Pontil 2009, theorem 4, for values in [0, 1], scaled to an interval of width 3."""
    values = 3 * torch.rand(50, dtype=torch.float64)
    scaled = values / 3
    variance = sum((float(a) - float(b)) ** 2 for a in scaled for b in scaled) / (2 * 50 * 49)
    term = math.log(2 / 0.01)
    expected = math.sqrt(2 * variance * term / 50) + 7 * term / (3 * 49)
    assert bernstein_margin(values, 3.0, 0.01) == pytest.approx(3 * expected, rel=1e-12)


@pytest.mark.parametrize("count", [5, 30, 500])
@pytest.mark.parametrize("rate", [0.02, 0.5])
def test_bernstein_margin_covers(rate, count):
    """Bernoulli values, many skewed ones among them: the mean is missed at most as often as allowed."""
    delta, trials = 0.1, 2000
    values = (torch.rand(trials, count) < rate).double()
    missed = sum(float(row.mean()) - bernstein_margin(row, 1.0, delta) > rate for row in values)
    missed += sum(float(row.mean()) + bernstein_margin(row, 1.0, delta) < rate for row in values)
    assert missed / (2 * trials) <= delta


def test_bernstein_margin_of_values_that_are_off_is_on_the_safe_side():
    """What is proved from values that rounding has moved is never more than what the true ones prove."""
    for count in (2, 5, 200):
        true = torch.rand(count, dtype=torch.float64)
        for moved in (true + 0.01, true + 0.01 * torch.randn(count).sign(), true + 0.02 * (torch.rand(count) - 0.5)):
            proved = float(moved.mean()) - bernstein_margin(moved, 1.0, 0.05, 0.01)
            assert proved <= float(true.mean()) - bernstein_margin(true, 1.0, 0.05) + 1e-12


def test_equal_values_leave_the_range_term():
    assert bernstein_margin(torch.ones(101), 2.0, 0.05) == pytest.approx(7 * 2 * math.log(40) / 300)
