import math

import pytest

from lipnet.results.measures import Measure, measures, statistic

CERTIFIED = Measure("certified_accuracy", 36 / 255)
TITLES = [  # measure, as a key, as a title, as a title where the network is evaluated in float64
    (CERTIFIED, "certified_accuracy@36/255", "certified@36/255", "certified_float64@36/255"),
    (Measure("pgd_accuracy", 0.5), "pgd_accuracy@0.5", "pgd@0.5", "pgd@0.5"),
    (Measure("clean_accuracy"), "clean_accuracy", "clean", "clean"),
    (Measure("lipschitz_upper_bound"), "lipschitz_upper_bound", "L_upper", "L_upper"),
    (Measure("set_size", 36 / 255), "set_size@36/255", "set_size@36/255", "set_size@36/255"),
    (Measure("published_sort_out"), "published_sort_out", "SO/true", "SO/true"),
]


@pytest.mark.parametrize(("measure", "key", "title", "with_arithmetic"), TITLES, ids=str)
def test_titles(measure, key, title, with_arithmetic):
    written = {36 / 255: "36/255"}
    found = measure.key(written), measure.short(written), measure.short(written, "float64")
    assert found == (key, title, with_arithmetic)


def test_columns_stand_in_their_order():
    names = [
        "train_seconds", "pgd_accuracy", "certified_float32_accuracy", "clean_accuracy", "certified_accuracy",
        "estimate", "certified_per_pair_accuracy", "fgsm_accuracy", "mean_certified_radius",
    ]  # fmt: skip
    ordered = sorted((Measure(name, 0.1) for name in names), key=lambda measure: measure.order)
    assert [measure.name for measure in ordered] == [
        "clean_accuracy", "certified_accuracy", "certified_float32_accuracy", "certified_per_pair_accuracy",
        "fgsm_accuracy", "pgd_accuracy", "estimate", "mean_certified_radius", "train_seconds",
    ]  # fmt: skip
    assert Measure("certified_accuracy", 0.1).order < Measure("certified_accuracy", 0.3).order


@pytest.mark.parametrize(
    ("name", "attacked"),
    [("pgd_accuracy", True), ("clean_accuracy", False), ("certified_accuracy", False), ("estimate", False)],
)
def test_what_attacks_left(name, attacked):
    assert Measure(name).is_attacked is attacked


def test_statistics_by_hand():
    assert statistic([1.0, 2.0, 6.0]) == (3.0, pytest.approx(math.sqrt(14 / 3)), 3)
    assert statistic(iter([0.5])) == (0.5, 0.0, 1)


def test_the_numbers_of_a_classifier():
    found = measures(
        {
            "clean_accuracy": 0.9, "train_seconds": 5, "lipschitz_lower_bound": None,
            "certified_accuracy": {"36/255": 0.75}, "certified_accuracy_per_pair": {"36/255": 0.75},
            "certified_accuracy_by_arithmetic": {"float64": {"36/255": 0.75}, "float32": {"36/255": 0.5}},
            "attacked_accuracy": {"pgd": {"36/255": 0.8}}, "certify_dtype": "float64", "unread": 1,
            "bv2_bound": {"1": 30.0, "2": 20.0},
        }
    )  # fmt: skip
    assert found == {
        Measure("clean_accuracy"): 0.9, Measure("train_seconds"): 5.0, CERTIFIED: 0.75,
        Measure("certified_float32_accuracy", 36 / 255): 0.5, Measure("pgd_accuracy", 36 / 255): 0.8,
        Measure("bv2_bound_1"): 30.0, Measure("bv2_bound_2"): 20.0,
    }  # fmt: skip


def test_the_numbers_of_conformal_sets():
    sets = {
        "alpha": 0.1,
        "coverage": {"0": 0.9, "0.3": 0.95},
        "set_size": {"0": 1.5},
        "attacked_coverage": {"0.3": 0.92},
    }
    assert measures({"conformal": sets}) == {
        Measure("coverage", 0.0): 0.9, Measure("coverage", 0.3): 0.95, Measure("set_size", 0.0): 1.5,
        Measure("attacked_coverage", 0.3): 0.92,
    }  # fmt: skip


def test_the_numbers_of_a_distance():
    distance = {
        "estimate": 1.8, "true_value": None, "gradient": {"first": {"cosine": 0.9}},
        "published": {"true_value": 2.0, "sort_out": 1.0, "wgan_gp": 3.0, "wgan_lp": 2.0, "sn_gan": 4.0},
    }  # fmt: skip
    assert measures({"wasserstein": distance}) == {
        Measure("estimate"): 1.8, Measure("cosine"): 0.9, Measure("published_sort_out"): 0.5,
        Measure("published_wgan_gp"): 1.5, Measure("published_wgan_lp"): 1.0, Measure("published_sn_gan"): 2.0,
    }  # fmt: skip


def test_the_numbers_of_a_generator():
    assert measures({"gan": {"samples": 100, "transport_of_generated": 3.0}}) == {
        Measure("transport_of_generated"): 3.0
    }
