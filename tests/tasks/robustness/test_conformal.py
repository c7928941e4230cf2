import math

import pytest
import torch
from torch import nn

from lipnet.data.images import Split, Splits
from lipnet.errors import CertificateViolation, UserError
from lipnet.layers import Normalize
from lipnet.tasks.robustness import conformal
from lipnet.tasks.robustness.conformal import calibration_and_measured, evaluate_conformal
from lipnet.tasks.robustness.figures import conformal_sets_against_radius

COUNT = 40
RADII = ("0.02", "0.1")
ROWS = torch.linalg.qr(torch.randn(16, 3, generator=torch.Generator().manual_seed(2)).double()).Q.mT.float()


def _network():
    """Three logits of orthonormal rows, their boundaries near grey: each pair has the constant sqrt(2)."""
    linear = nn.Linear(16, 3)
    linear.weight.data, linear.bias.data = ROWS.clone(), -ROWS @ torch.full((16,), 0.5)
    return nn.Sequential(Normalize([0.0], [1.0]), nn.Flatten(), linear).eval()


def _split(seed, count=COUNT):
    """Grey images far from 0 and 1; every fifth label is another one than the network says."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(100, 156, (count, 1, 4, 4), generator=generator, dtype=torch.uint8)
    with torch.no_grad():
        labels = _network()(images.float() / 255).argmax(1)
    labels[::5] = (labels[::5] + 1) % 3
    return Split(images, labels, 255, torch.arange(count))


def _splits(validation=COUNT, test=COUNT):
    return Splits(_split(0), _split(1, validation), _split(2, test))


def _signed_radii(images):
    """Of each class, by the formula, in float64."""
    z = (images.double().flatten(1) - 0.5) @ ROWS.double().mT
    return torch.stack(
        [(z[:, k, None] - z[:, [j for j in range(3) if j != k]]).amin(1) for k in range(3)], 1
    ) / math.sqrt(2)


@pytest.fixture
def config(make_config):
    def build(*overrides):
        common = ("progress=off", "attack.steps=20", "attack.restarts=2", f"eval_radii=[{','.join(RADII)}]")
        return make_config(*common, "conformal.alpha=0.25", *overrides)

    return build


def test_by_hand(config):
    """Coverage, sizes and threshold; and that a linear network loses under attack what the radius takes, exactly."""
    calibration, measured = _split(1), _split(2)
    found = evaluate_conformal(_network(), calibration, measured, config())
    results = found.results()
    of_label = _signed_radii(calibration.pixels()).gather(1, calibration.labels[:, None])[:, 0]
    threshold = float(of_label.sort().values[9])  # floor(0.25 · 41) = 10
    assert found.threshold == pytest.approx(threshold, abs=1e-6)
    radii = _signed_radii(measured.pixels())
    own = radii.gather(1, measured.labels[:, None])[:, 0]
    for written in ("0", *RADII):
        sets = radii >= threshold - float(written) - 1e-6
        assert results["set_size"][written] == float(sets.sum(1).double().mean())
        assert results["coverage"][written] == float((own >= threshold - float(written) - 1e-6).double().mean())
    proved = float((own >= threshold - 1e-6).double().mean())
    assert results["certified_coverage"] == proved
    assert (results["alpha"], results["calibration_examples"], results["examples"]) == (0.25, COUNT, COUNT)
    assert results["attacked_examples"] == COUNT
    for written in RADII:
        assert results["attacked_coverage"][written] == proved  # rivals are met head-on, far from the box
        without = float((own >= threshold + float(written)).double().mean())
        assert results["attacked_coverage_of_plain"][written] == pytest.approx(without, abs=1.5 / COUNT)
        assert results["attacked_set_size"][written] >= 1
    assert results["attacked_coverage_of_plain"]["0.1"] < proved <= results["coverage"]["0.02"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_is_proved_no_attack_takes(config, dtype):
    found = evaluate_conformal(_network(), _split(1), _split(2), config(f"certify_dtype={dtype}")).results()
    assert min(found["attacked_coverage"].values()) >= found["certified_coverage"] > 0.5
    for radius in RADII:
        assert found["attacked_coverage"][radius] <= found["coverage"][radius]


def test_a_few_are_attacked_and_none_without_attacks(config):
    few = evaluate_conformal(_network(), _split(1), _split(2), config("attack.examples=7")).results()
    assert (few["attacked_examples"], few["examples"]) == (7, COUNT)
    none = evaluate_conformal(_network(), _split(1), _split(2), config("attack.names=[]")).results()
    assert not {name for name in none if name.startswith("attacked")}
    assert none["coverage"] == few["coverage"]


def test_vectors_in_units_of_their_own_are_attacked_in_their_box(config):
    """Ten times as large, in a cube of side 10: the same sets for ten times the radii."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
    network[1].weight.data, network[1].bias.data = ROWS.clone(), -ROWS @ torch.full((16,), 5.0)

    def scaled(split):
        vectors = (10 * split.pixels()).flatten(1)
        return Split(vectors, split.labels, 1, split.indices, box=(torch.zeros(16), 10.0))

    small = evaluate_conformal(_network(), _split(1), _split(2), config()).results()
    large = evaluate_conformal(network, scaled(_split(1)), scaled(_split(2)), config("eval_radii=[0.2,1]")).results()
    for key in ("coverage", "set_size", "attacked_coverage"):
        assert list(large[key].values()) == pytest.approx(list(small[key].values()), abs=1.5 / COUNT)


def test_an_attack_on_what_is_proved_fails_the_evaluation(config, monkeypatch):
    monkeypatch.setattr(conformal, "surely_covered", lambda certificate, threshold: certificate.labels >= 0)
    with pytest.raises(CertificateViolation, match=r"an attack within .* out of sets that they are proved to stay in"):
        evaluate_conformal(_network(), _split(1), _split(2), config())


def test_calibration_is_on_held_out_images_or_on_half_of_the_test_images(config):
    splits = _splits(test=41)
    assert calibration_and_measured(splits, config()) == (splits.validation, splits.test)
    calibration, measured = calibration_and_measured(splits, config("conformal.calibration=test"))
    assert (len(calibration), len(measured)) == (20, 21)
    assert sorted([*calibration.indices.tolist(), *measured.indices.tolist()]) == list(range(41))
    again, _ = calibration_and_measured(splits, config("conformal.calibration=test"))
    other, _ = calibration_and_measured(splits, config("conformal.calibration=test", "seed=1"))
    assert torch.equal(again.indices, calibration.indices)
    assert not torch.equal(other.indices, calibration.indices)


TOO_FEW = {
    "conformal.alpha=0.05": (
        18, 18, "conformal.alpha=0.05: needs at least 19 calibration examples, and conformal.calibration=validation "
        "has 18; use a larger dataset.validation, conformal.calibration=test, or a conformal.alpha of at least 0.0527."
    ),
    "conformal.alpha=0.1 conformal.calibration=test": (
        0, 17, "conformal.alpha=0.1: needs at least 9 calibration examples, and conformal.calibration=test has 8; use "
        "a conformal.alpha of at least 0.1112."
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", TOO_FEW)
def test_too_few_calibration_images_are_refused(config, row):
    validation, test, message = TOO_FEW[row]
    with pytest.raises(UserError) as refused:
        calibration_and_measured(_splits(validation, test), config(*row.split()))
    assert str(refused.value) == message


@pytest.mark.parametrize("attacks", ["[]", "[pgd]"])
def test_the_figure_shows_what_was_found(config, attacks):
    found = evaluate_conformal(_network(), _split(1), _split(2), config(f"attack.names={attacks}"))
    covering, sizes = conformal_sets_against_radius(found, 0.1, "title").axes
    results = found.results()
    lines = {line.get_label(): line for line in covering.lines}
    assert set(lines) == {"clean", "1 - alpha, promised", "proved of these examples"} | (
        {"attacked", "attacked, sets for radius 0"} if attacks == "[pgd]" else set()
    )
    x, y = lines["clean"].get_data()
    assert (x[0], x[-1]) == (0.0, 0.1)
    assert (y[0], y[-1]) == (results["coverage"]["0"], results["coverage"]["0.1"])
    assert sizes.lines[0].get_data()[1][-1] == results["set_size"]["0.1"]
    if attacks == "[pgd]":
        assert list(lines["attacked"].get_data()[1]) == list(results["attacked_coverage"].values())
