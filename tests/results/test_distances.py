import pytest

from lipnet.results.collect import find_runs
from lipnet.results.distances import distance_notes
from lipnet.results.groups import group_runs
from lipnet.results.measures import Measure

PUBLISHED = {"true_value": 2.0, "sort_out": 1.2, "wgan_gp": 2.2, "wgan_lp": 2.0, "sn_gan": 0.5}


@pytest.fixture
def make_distance(make_run):
    """``make_distance("name", funnels, seed, estimate=...)``: a run of a true value 2."""

    def make(name, funnels=4, seed=0, **found):
        distance = {
            "true_value": 2.0, "estimate": 1.8, "ci_low": 1.7, "ci_high": 1.9, "confidence": 0.95,
            "certified_lower_bound": 1.6, "published": PUBLISHED,
        } | found  # fmt: skip
        distance["estimate_over_true"] = distance["estimate"] / 2
        changes = {"dataset.name": "minfunnel", "dataset.funnels": funnels, "model.name": "fc"}
        return make_run(name, changes, seed=seed, clean_accuracy=None, wasserstein=distance)

    return make


def test_what_is_published_and_the_cosine_are_measures(make_distance):
    gradient = {"first": {"cosine": 0.75}, "second": {"cosine": 0.5}}
    (run,) = find_runs([make_distance("a", gradient=gradient)])
    assert run.measures[Measure("cosine")] == 0.75
    found = {measure.short({}): value for measure, value in run.measures.items()}
    assert (found["SO/true"], found["GP/true"], found["LP/true"], found["SN/true"]) == (0.6, 1.1, 1.0, 0.25)
    (other,) = find_runs([make_distance("b", published={}, gradient={"first": {}})])
    assert not {"cosine", "published_sort_out"} & {measure.name for measure in other.measures}


def notes(tmp_path):
    return list(distance_notes(group_runs(find_runs([tmp_path]))))


def test_errors_are_taken_over_pairs_and_over_the_mean_of_seeds(make_distance, tmp_path):
    make_distance("a/0", estimate=1.7)
    make_distance("a/1", seed=1, estimate=1.9)
    make_distance("b", funnels=16, estimate=1.0)
    line = notes(tmp_path)[1]
    # 0.1 from the mean of 0.85 and 0.95, and 0.5; SO's error is 0.4 on both
    assert "fc bjorck, 2 published pairs: mean |estimate / true value - 1| 0.300" in line
    assert "(SO 0.400, GP 0.100, LP 0.000, SN 0.750); nearer than SO on 1." in line


def test_bounds_above_the_truth_are_counted(make_distance, tmp_path):
    make_distance("a", ci_low=2.01)
    make_distance("b", seed=1, ci_low=2.01, certified_lower_bound=2.005)
    make_distance("c", seed=2, ci_low=2.01, true_value_error=0.006)  # within two standard errors of the truth
    make_distance("d", seed=3)
    line = notes(tmp_path)[0]
    assert "of 4 runs: certified_lower_bound 1 (expected 0.2 at most), ci_low 2 (expected 0.1 at most)" in line


def test_runs_without_a_distance_have_no_note(make_run, tmp_path):
    make_run("a")
    assert notes(tmp_path) == []
