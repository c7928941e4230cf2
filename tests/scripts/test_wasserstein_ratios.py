import csv
import sys

import numpy
import pytest
from launching import ROOT

from lipnet.errors import UserError
from lipnet.results.collect import find_runs

sys.path.insert(0, str(ROOT / "scripts"))
from wasserstein_ratios import _error, _gap, best_critics, compare, main, read_critics

SAMPLES = 4000


@pytest.fixture
def make_critic(make_run):
    """``make_critic(method, activation, lr, gap, seed)``: a made-up run of a critic, a multiple of a common one."""

    def make(method, activation="maxmin", rate=1e-3, gap=2.0, seed=0, digest="a", selected=None, name=None):
        estimate = {"estimate": gap, "certified_lower_bound": gap - 0.1, "samples_sha256": digest}
        directory = make_run(
            name or f"{method}-{activation}-{rate}-{seed}",
            {"conv.name": method, "activation": {"name": activation}, "optimizer.lr": rate, "dataset.name": "gan"},
            seed, clean_accuracy=None, certified_accuracy=None, attacked_accuracy=None,
            wasserstein=estimate, best_epoch=2,
        )  # fmt: skip
        (directory / "metrics.csv").write_text(f"epoch,validation_estimate\n1,9\n2,{selected or gap}\n")
        common = numpy.random.default_rng(seed).normal(size=(2, SAMPLES))
        own = numpy.random.default_rng(sum(method.encode())).normal(size=(2, SAMPLES))
        values = common + 0.01 * own + numpy.array([[gap], [0]])
        with open(directory / "critic_values.csv", "w", newline="") as file:
            csv.writer(file).writerows([("first", "second"), *values.T.tolist()])
        return directory

    return make


def best_below(folder):
    return best_critics(read_critics(find_runs([folder]))[0])


def test_differences_are_paired(make_critic, tmp_path):
    """Both critics' values vary by 1, their differences by hundredths: the error is that of the differences."""
    make_critic("bcop", gap=2.2)
    make_critic("ossn", gap=2.0)
    best = best_below(tmp_path)
    found = compare(best["bcop", "maxmin"], best["ossn", "maxmin"])
    assert found.difference == pytest.approx(0.2, abs=4 * found.difference_error)
    assert found.difference_error < 0.001 < (2 / SAMPLES) ** 0.5
    assert found.ratio == pytest.approx(1.1, abs=0.01)
    assert found.seeds == 1


def test_the_ratio_s_error_is_the_spread_of_ratios():
    """Against ratios of fresh samples, drawn a thousand times."""
    random = numpy.random.default_rng(0)
    ratios, errors = [], []
    for _ in range(1000):
        common = random.normal(size=(2, 200))
        one = common + random.normal(size=(2, 200)) / 2 + numpy.array([[3], [0]])
        other = common + random.normal(size=(2, 200)) / 2 + numpy.array([[2], [0]])
        ratios.append(_gap(one) / _gap(other))
        errors.append(_error(one - ratios[-1] * other) / _gap(other))
    assert numpy.mean(errors) == pytest.approx(numpy.std(ratios), rel=0.1)


# Where a sweep puts its jobs, and where a script put them before.
LAYOUTS = ["{method}-maxmin-0.001/seed-{seed}", "seed-{seed}_lr-1e-3_activation-maxmin_conv-{method}_0123abcd"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_critics_are_known_by_their_configurations_wherever_they_are(make_critic, tmp_path, layout):
    for method in ("bcop", "rko"):
        for seed in range(2):
            make_critic(method, seed=seed, name=layout.format(method=method, seed=seed))
    found = best_below(tmp_path)
    assert {key: list(critics.by_seed) for key, critics in found.items()} == {
        ("bcop", "maxmin"): ["0", "1"],
        ("rko", "maxmin"): ["0", "1"],
    }


def test_the_learning_rate_is_chosen_by_the_selection_samples(make_critic, tmp_path):
    make_critic("bcop", rate=1e-2, gap=3.0, selected=1.0)
    make_critic("bcop", rate=1e-3, gap=2.0, selected=1.5)
    (critics,) = best_below(tmp_path).values()
    assert (critics.rate, critics.mean("estimate")) == ("0.001", 2.0)


def test_other_samples_are_not_compared(make_critic, tmp_path):
    make_critic("bcop", digest="a")
    make_critic("rko", digest="b")
    best = best_below(tmp_path)
    with pytest.raises(UserError, match="not evaluated on the same samples"):
        compare(best["bcop", "maxmin"], best["rko", "maxmin"])


def test_the_command_prints_both_tables_beside_the_paper_s_ratios(make_critic, tmp_path, capsys):
    for method, gap in (("bcop", 2.2), ("rko", 2.0)):
        for seed in (0, 1):
            make_critic(method, gap=gap, seed=seed)
    make_critic("bcop", "relu", gap=1.8)
    main([str(tmp_path)])
    text = capsys.readouterr().out
    assert "bcop    maxmin      0.001  2      2.2000    2.1000    1.0000005  120" in text
    (line,) = [line for line in text.splitlines() if line.startswith("bcop / rko, maxmin")]
    assert line.split()[-2:] == ["1.078", "1.106"]
    assert line.split()[5].startswith("1.10")
    assert "maxmin / relu, bcop" in text
    assert "rko, relu" not in text


def test_mistakes_are_one_message(make_run, tmp_path, capsys):
    make_run("classifier")
    assert main([str(tmp_path)]) == 1
    assert "no finished run of task=wasserstein" in capsys.readouterr().err


def rewritten(name, change):
    """A damage: the file's bytes become others."""
    return lambda run: (run / name).write_bytes(change((run / name).read_bytes()))


VALUES = "critic_values.csv"
# What is wrong with one run -> what is said of it; the others are shown.
DAMAGE = {
    "no values": (lambda run: (run / VALUES).unlink(), f"{VALUES} is missing; task=evaluate run=DIR writes it again"),
    "empty": (rewritten(VALUES, lambda content: b""), f"{VALUES} is empty"),
    "the header alone": (rewritten(VALUES, lambda content: content[:14]), f"{VALUES} is empty"),
    "NUL-filled": (rewritten(VALUES, lambda content: bytes(len(content))), VALUES),
    "UTF-16": (rewritten(VALUES, lambda content: content.decode().encode("utf-16")), f"{VALUES} cannot be read ("),
    "Latin-1": (rewritten(VALUES, lambda content: content + b"\xe9,1\n"), f"{VALUES} cannot be read ("),
    "a row cut": (rewritten(VALUES, lambda content: content + b"0.5"), f"{VALUES}: second=None is no finite number"),
    "a text": (rewritten(VALUES, lambda content: content + b"a,b"), f"{VALUES}: first='a' is no finite number"),
    "NaN": (rewritten(VALUES, lambda content: content + b"nan,1"), f"{VALUES}: first='nan' is no finite number"),
    "other columns": (rewritten(VALUES, lambda content: content[1:]), f"{VALUES}: first=None is no finite number"),
    "no epochs": (lambda run: (run / "metrics.csv").unlink(), "metrics.csv has no epoch 2, its best"),
    "an epoch without": (rewritten("metrics.csv", lambda content: b"epoch\n1\n2\n"), "validation_estimate=None is no"),
    "odd metrics": (rewritten("metrics.csv", lambda content: b"\xff\xfe"), "metrics.csv cannot be read ("),
    "empty results": (rewritten("results.json", lambda content: b""), "results.json cannot be read"),
    "NUL-filled results": (rewritten("results.json", lambda content: bytes(99)), "results.json cannot be read"),
    "no estimate": (
        rewritten("results.json", lambda content: content.replace(b'"estimate"', b'"other"')), "has no estimate"
    ),
    "no bound": (
        rewritten("results.json", lambda content: content.replace(b'"lipschitz_upper_bound"', b'"other"')),
        "results.json has no lipschitz_upper_bound",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_run_is_named_and_the_others_are_shown(make_critic, tmp_path, capsys, what):
    damage, said = DAMAGE[what]
    make_critic("bcop", gap=2.2)
    make_critic("rko", gap=2.0)
    damage(make_critic("rko", gap=2.1, seed=1))
    assert main([str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "1 run is not in the table:" in text
    (line,) = [line for line in text.splitlines() if line.startswith(f"  {tmp_path / 'rko-maxmin-0.001-1'}: ")]
    assert said in line
    assert "bcop / rko, maxmin  1" in text


# What two kinds of critics cannot be compared for -> what is said in place of their ratio.
INCOMPARABLE = {
    "other samples": ({"digest": "b"}, lambda run: None, "were not evaluated on the same samples"),
    "another seed": ({"seed": 1}, lambda run: None, "share no seed"),
    "fewer samples": (
        {},
        rewritten(VALUES, lambda content: content[: content.rindex(b"\n", 0, -2)]),
        "differ in length",
    ),
    "nothing": ({}, rewritten(VALUES, lambda content: b"first,second\n" + b"1,1\n" * SAMPLES), "tells nothing apart"),
}


@pytest.mark.parametrize("what", INCOMPARABLE)
def test_one_comparison_that_cannot_be_made_leaves_the_others(make_critic, tmp_path, capsys, what):
    options, damage, said = INCOMPARABLE[what]
    make_critic("bcop", gap=2.2)
    make_critic("ossn", gap=1.9)
    damage(make_critic("rko", **options))
    assert main([str(tmp_path)]) == 0
    text = capsys.readouterr().out
    (line,) = [line for line in text.splitlines() if line.startswith("bcop / rko, maxmin is left out: ")]
    assert said in line
    assert "bcop / ossn, maxmin  1" in text
