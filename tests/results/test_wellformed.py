import copy

import pytest

from lipnet.results.wellformed import check

CLASSIFIER = {
    "versions": {"torch": "2.6.0"}, "clean_accuracy": 0.9, "certified_accuracy": {"0.3": 0.5},
    "attacked_accuracy": {"pgd": {"0.3": 0.6}}, "lipschitz_lower_bound": None, "train_seconds": 5, "unread": "x",
}  # fmt: skip
CRITIC = {
    "wasserstein": {
        "estimate": 1.0, "estimate_over_true": 0.5, "gradient": {"first": {"cosine": 0.5}},
        "published": {"true_value": 2.0, "sort_out": 1.0, "wgan_gp": 3.0, "wgan_lp": 2.0, "sn_gan": 4.0},
    }
}  # fmt: skip
WHOLE = {
    "classifier": CLASSIFIER,
    "critic": CRITIC,
    "generator": {"gan": {"transport_of_generated": 1.0}},
    "nothing": {},
}
WRONG = {  # where in the results, what stands there, what is said
    "text": ("clean_accuracy", "0.9", "clean_accuracy is no number"),
    "true": ("clean_accuracy", True, "clean_accuracy is no number"),
    "in per cent": ("certified_accuracy.0.3", 50.0, r"certified_accuracy\.0\.3=50\.0 is not from 0 to 1"),
    "NaN": ("attacked_accuracy.pgd.0.3", float("nan"), r"attacked_accuracy\.pgd\.0\.3=nan is not from 0 to 1"),
    "a list": ("certified_accuracy", [0.5], "certified_accuracy is no table"),
    "infinite": ("train_seconds", float("inf"), "train_seconds=inf is not from -1e"),
    "a text for a table": ("wasserstein.gradient", "steep", "gradient is no table"),
    "a missing estimate": ("wasserstein.published.sn_gan", None, "wasserstein lacks sn_gan"),
    "an estimate of zero": ("wasserstein.published.true_value", 0.0, "wasserstein lacks true_value"),
    "no number": ("wasserstein.estimate", [], r"wasserstein\.estimate is no number"),
}


@pytest.mark.parametrize("results", WHOLE)
def test_what_lipnet_writes_is_taken(results):
    check(WHOLE[results])


@pytest.mark.parametrize("case", WRONG)
def test_what_it_does_not_write_is_refused(case):
    place, value, message = WRONG[case]
    content = copy.deepcopy(CLASSIFIER | CRITIC)
    *above, last = place.replace("0.3", "RADIUS").split(".")
    table = content
    for key in above:
        table = table[key]
    table[last.replace("RADIUS", "0.3")] = value
    with pytest.raises(ValueError, match=message):
        check(content)


def test_a_ratio_belongs_to_published_estimates():
    content = copy.deepcopy(CRITIC)
    del content["wasserstein"]["estimate_over_true"]
    with pytest.raises(ValueError, match="wasserstein lacks estimate_over_true"):
        check(content)
