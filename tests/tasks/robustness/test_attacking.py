import math

import pytest
import torch
from torch import nn

from lipnet.attacks import ATTACKS, InBall, Nearest, gradient, pgd
from lipnet.certify import certificate
from lipnet.certify import radius as certify_radius
from lipnet.data.images import Split
from lipnet.errors import CertificateViolation
from lipnet.layers import Normalize
from lipnet.tasks.robustness import attacking
from lipnet.tasks.robustness.evaluation import certify_and_attack
from lipnet.tasks.stopwatch import Stopwatch

COUNT = 12
ATTACKS_BEFORE = dict(ATTACKS)
RADII = ("0.05", "36/255", "0.3")


def _split(count=COUNT):
    """Grey images far from 0 and 1, so that the box [0, 1] stops no attack; labels are mostly what the model says."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(110, 146, (count, 1, 4, 4), generator=generator, dtype=torch.uint8)
    indices = torch.arange(100, 100 + count)
    with torch.no_grad():
        labels = _two_sided()(images.float() / 255).argmax(1)
    labels[3] = 1 - labels[3]
    return Split(images, labels, 255, indices)


def _two_sided(std=1.0):
    """Logits (w·x, -w·x) / sqrt(2) + (b, -b): its constant is |w| / std, and its certificates are exact distances."""
    torch.manual_seed(1)
    linear = nn.Linear(16, 2)
    with torch.no_grad():
        w = torch.randn(16)
        w -= w.mean()  # the mean grey does not matter
        linear.weight.copy_(torch.stack((w, -w)) / w.norm() * math.sqrt(0.5))
        linear.bias.zero_()
    return nn.Sequential(Normalize([0.0], [std]), nn.Flatten(), linear)


@pytest.fixture
def config(make_config):
    def build(*overrides, radii=RADII):
        common = ("progress=off", "attack.steps=5", "attack.restarts=1", f"eval_radii=[{','.join(radii)}]")
        return make_config(*common, *overrides)

    return build


def _distances(split, std=1.0):
    """Signed L2 distance to the decision boundary in float64; negative where the label is wrong."""
    weight = _two_sided(std)[2].weight.detach().double()
    difference = (weight[0] - weight[1]) / std
    signed = split.pixels().double().flatten(1) @ difference / difference.norm()
    return torch.where(split.labels == 0, signed, -signed)


@pytest.mark.parametrize("std", [1.0, 0.5])
def test_radii_are_distances_where_certificates_are_exact(config, std):
    split = _split()
    found = certify_and_attack(_two_sided(std), split, config())
    distances = _distances(split, std)
    assert found.lipschitz == pytest.approx(1 / std, rel=1e-6)
    torch.testing.assert_close(found.radii, distances.clamp_min(0), atol=1e-6, rtol=0)
    assert bool((found.radii <= distances.clamp_min(0)).all())
    assert found.lower == pytest.approx(1 / std, rel=1e-6)
    assert found.lower <= found.lipschitz


def test_accuracies_are_fractions_of_the_split(config):
    split = _split()
    found = certify_and_attack(_two_sided(), split, config())
    distances = _distances(split)
    assert found.clean_accuracy == float((distances > 0).double().mean()) == (COUNT - 1) / COUNT
    for radius in (0.0, 0.01, 0.02, 0.04):
        assert found.certified_accuracy(radius) == float((distances > radius).double().mean())


def test_attacks_find_the_boundary_where_certificates_are_exact(config):
    """Gradient attacks on a linear network are exact too: accuracy under attack is certified accuracy."""
    split = _split()
    distances = _distances(split)
    radii = [f"{float(value):.6f}".rstrip("0") for value in (distances[distances > 0].sort().values * 1.001)[:4]]
    found = certify_and_attack(_two_sided(), split, config(radii=radii))
    for radius in radii:
        certified = found.certified_accuracy(float(radius))
        assert {found.attacked[name].accuracy[radius] for name in ("fgsm", "pgd", "ddn")} == {certified}


def test_vectors_are_attacked_in_their_own_units(config):
    """Far from [0, 1], and in columns of very different sizes; a linear network is attacked exactly."""
    plain = nn.Linear(2, 2)
    with torch.no_grad():
        plain.weight.copy_(torch.tensor([[0.6, 0.8], [-0.6, -0.8]]))
        plain.bias.copy_(torch.tensor([-500.0, 500.0]))
    vectors = torch.tensor([[300.0, 420.0], [700.0, 200.0], [100.0, 100.0]])
    signed = (vectors.double() @ torch.tensor([0.6, 0.8], dtype=torch.float64)) - 500
    labels = (signed < 0).long()
    split = Split(vectors, labels, 1, torch.arange(3), box=(torch.tensor([0.0, 0.0]), 1000.0))
    radii = ("10", "30", "100", "400")
    found = certify_and_attack(plain, split, config(radii=radii))
    for radius in radii:
        exact = float((signed.abs() > float(radius)).double().mean())
        assert found.certified_accuracy(float(radius)) == exact
        assert {found.attacked[name].accuracy[radius] for name in ("fgsm", "pgd", "ddn")} == {exact}
    assert found.attacked["ddn"].median_distance == pytest.approx(float(signed.abs().median()), rel=0.02)


def test_an_attacked_example_falls_only_outside_its_certified_radius(config):
    split = _split()
    model = nn.Sequential(*_two_sided(), nn.Linear(2, 2))
    falls = 0
    for index in range(COUNT):
        found = certify_and_attack(model, split.take(torch.tensor([index])), config())
        for name in ("fgsm", "pgd", "ddn"):
            for radius in RADII:
                survives = found.attacked[name].accuracy[radius]
                assert survives in (0, 1)
                assert survives >= found.certified_accuracy(float(36 / 255) if "/" in radius else float(radius))
                falls += not survives
    assert falls


def test_rows_hold_every_example(config):
    split = _split()
    rows = certify_and_attack(_two_sided(), split, config()).rows()
    assert [row["index"] for row in rows] == list(range(100, 100 + COUNT))
    assert [row["label"] for row in rows] == split.labels.tolist()
    assert [row["prediction"] == row["label"] for row in rows] == [index != 3 for index in range(COUNT)]
    assert rows[3]["margin"] < 0 == rows[3]["certified_radius"]
    assert all(row["certified_radius"] == pytest.approx(row["margin"] / math.sqrt(2), abs=1e-6) for row in rows[:3])


def test_a_tie_is_no_correct_prediction(config):
    model = _two_sided()
    nn.init.constant_(model[2].weight, 0.1)
    found = certify_and_attack(model, _split(), config())
    assert found.clean_accuracy == 0
    assert found.radii.tolist() == [0.0] * COUNT
    assert found.attacked["pgd"].accuracy == dict.fromkeys(RADII, 0.0)


BOUNDS = {
    "the global one": ("lipschitz_bound", lambda module, shape: 0.1),
    "one of the pairs": (
        "pairwise_lipschitz_bounds", lambda module, shape: torch.full((2, 2), 0.1, dtype=torch.float64)
    ),
}  # fmt: skip


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("attack", ["fgsm", "pgd", "ddn", "pgd_paper"])
def test_a_wrong_bound_is_found_out(config, monkeypatch, attack, bound):
    monkeypatch.setattr(certificate, *BOUNDS[bound])
    with pytest.raises(CertificateViolation, match=f"^{attack} fooled the network inside the certified radius of"):
        certify_and_attack(_two_sided(), _split(), config(f"attack.names=[{attack}]"))


def test_a_violation_between_two_radii_is_found_out(config, monkeypatch):
    """Errors are compared with certificates example by example, not only at the evaluated radii."""
    distances = _distances(_split())
    radius = float(distances.max()) * 1.5
    certify_and_attack(_two_sided(), _split(), config("attack.names=[ddn]", radii=[f"{radius:.4f}"]))
    monkeypatch.setattr(certificate, "lipschitz_bound", lambda module, shape: 0.98)
    assert float(distances.max()) / 0.98 < radius
    with pytest.raises(CertificateViolation, match=r"at distance 0\.\d+, certified to 0\.\d+"):
        certify_and_attack(_two_sided(), _split(), config("attack.names=[ddn]", radii=[f"{radius:.4f}"]))


def test_an_attack_on_a_true_bound_never_raises(config):
    certify_and_attack(_two_sided(), _split(), config("attack.steps=20", "attack.restarts=3"))


@pytest.mark.parametrize(
    "cheat",
    [lambda images, radius: 1 - images, lambda images, radius: images + 2, lambda images, radius: images - 2],
    ids=["outside the ball", "above 1", "below 0"],
)
def test_images_that_are_no_attack_fool_nobody(config, monkeypatch, cheat):
    attack = InBall(lambda model, images, labels, radius, options, generator: cheat(images, radius))
    monkeypatch.setitem(ATTACKS, "fgsm", attack)
    found = certify_and_attack(_two_sided(), _split(), config())
    assert set(found.attacked["fgsm"].accuracy.values()) == {found.clean_accuracy}


@pytest.mark.parametrize("examples", [1, 3, COUNT, 1000])
def test_attack_examples_limits_the_attacks(config, monkeypatch, examples):
    attacked = []

    def record(model, images, *_):
        attacked.append(len(images))
        return images

    monkeypatch.setitem(ATTACKS, "fgsm", InBall(record))
    found = certify_and_attack(_two_sided(), _split(), config(f"attack.examples={examples}", radii=("0.3",)))
    first = min(examples, COUNT)
    correct = first - (first > 3)  # example 3 is wrong before any attack
    assert attacked == [correct]
    assert found.attacked["fgsm"].accuracy["0.3"] == correct / first
    assert len(found.radii) == COUNT


def test_what_an_attack_left_as_it_was_is_not_evaluated_again(config, monkeypatch):
    evaluated, logits = [], attacking.model_logits

    def move_one(model, images, *_):
        return torch.cat([images[:1] + 1e-3, images[1:]])

    monkeypatch.setitem(ATTACKS, "fgsm", InBall(move_one))
    monkeypatch.setattr(attacking, "model_logits", lambda model, x: evaluated.append(len(x)) or logits(model, x))
    certify_and_attack(_two_sided(), _split(), config("attack.names=[fgsm]", "attack.proved=1"))
    assert evaluated == [1] * len(RADII)


def test_an_example_broken_at_one_radius_is_broken_at_all_larger(config, monkeypatch):
    def only_small(model, images, labels, radius, *_):
        return pgd(model, images, labels, radius, 5, 1, None) if radius < 0.1 else images

    monkeypatch.setitem(ATTACKS, "fgsm", InBall(only_small))
    found = certify_and_attack(_two_sided(), _split(), config(radii=("0.3", "0.05")))
    assert found.attacked["fgsm"].accuracy["0.05"] == found.attacked["fgsm"].accuracy["0.3"] < found.clean_accuracy


def test_certificates_do_not_depend_on_the_batch(config, monkeypatch):
    whole = certify_and_attack(_two_sided(), _split(), config())
    for module in (certificate, gradient, certify_radius):
        monkeypatch.setattr(module, "at_once", lambda device, dtype: 3)
    monkeypatch.setattr(attacking, "_TOGETHER", 5)
    parts = certify_and_attack(_two_sided(), _split(), config())
    torch.testing.assert_close(parts.radii, whole.radii)
    for name, attacked in whole.attacked.items():
        assert parts.attacked[name].accuracy == attacked.accuracy


def test_float32_certifies_no_more(config):
    exact = certify_and_attack(_two_sided(), _split(), config())
    coarse = certify_and_attack(_two_sided(), _split(), config("certify_dtype=float32"))
    assert bool((coarse.radii <= exact.radii).all())
    assert bool((coarse.radii < exact.radii).any())
    torch.testing.assert_close(coarse.radii, exact.radii, atol=1e-3, rtol=0)


def test_the_cost_of_rounding_is_what_it_takes(config):
    """An example whose distance is a hair above a radius has it in exact arithmetic, and loses it to float32."""
    split, model = _split(), _two_sided()
    plain = certify_and_attack(model, split, config("attack.names=[]"))
    assert list(plain.deployments) == ["float64", "float32"]
    assert torch.equal(plain.deployments["float64"], plain.radii)
    assert bool((plain.deployments["float32"] <= plain.radii).all())
    largest = int(plain.without_allowance.argmax())
    between = float(plain.radii[largest] + plain.deployments["float32"][largest]) / 2
    assert plain.rounding_cost("float32", between) == 1 / COUNT
    assert plain.rounding_cost("float64", between) == 0
    assert plain.certified_accuracy_in("float64", between) == plain.certified_accuracy(between) == 1 / COUNT
    assert plain.certified_accuracy_in("float32", between) == 0
    coarse = certify_and_attack(model, split, config("attack.names=[]", "certify_dtype=float32"))
    assert list(coarse.deployments) == ["float32"]


def test_the_model_is_left_as_it_was(config):
    model = _two_sided().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    certify_and_attack(model, _split(), config())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_one_run_of_a_nearest_attack_serves_every_radius(config, monkeypatch):
    calls, distances = [], _distances(_split())

    def find(model, images, labels, *_):
        calls.append(len(images))
        return ATTACKS_BEFORE["ddn"].find(model, images, labels, *_)

    monkeypatch.setitem(ATTACKS, "ddn", Nearest(find))
    found = certify_and_attack(_two_sided(), _split(), config("attack.names=[ddn]"))
    assert calls == [COUNT - 1]
    correct = distances[distances > 0]
    assert found.attacked["ddn"].median_distance == pytest.approx(float(correct.median()), rel=1e-2)
    assert found.attacked["ddn"].median_distance >= float(correct.median())
    assert found.shown is None


def test_an_attack_that_finds_nothing_has_no_median(config, monkeypatch):
    monkeypatch.setitem(ATTACKS, "ddn", Nearest(lambda model, images, *_: images))
    found = certify_and_attack(_two_sided(), _split(), config()).attacked
    assert found["ddn"].median_distance is None
    assert found["fgsm"].median_distance is None
    assert set(found["ddn"].accuracy.values()) == {(COUNT - 1) / COUNT}


def test_the_attacks_named_run_in_that_order(config):
    assert certify_and_attack(_two_sided(), _split(), config("attack.names=[]")).attacked == {}
    found = certify_and_attack(_two_sided(), _split(), config("attack.names=[pgd_paper,fgsm_paper]"))
    assert list(found.attacked) == ["pgd_paper", "fgsm_paper"]
    assert found.shown == "fgsm_paper"


def test_an_attack_finds_the_same_whatever_runs_before_it(config):
    alone = certify_and_attack(_three_layers(), _split(), config("attack.names=[pgd]", "attack.restarts=3"))
    after = certify_and_attack(_three_layers(), _split(), config("attack.names=[pgd_paper,pgd]", "attack.restarts=3"))
    assert torch.equal(alone.adversarial, after.adversarial)


def _three_layers():
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2))


def test_both_certificates_stand_side_by_side(config):
    """Rows (2, 0) and (0, 1): |w_0 - w_1| is sqrt(5), sqrt(2) times the norm 2 is sqrt(8)."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].weight[0, 0], model[1].weight[1, 1] = 2.0, 1.0
        model[1].bias.copy_(torch.tensor([0.1, 0.0]))
    found = certify_and_attack(model, _split(), config())
    right = found.margins > 0
    torch.testing.assert_close(found.radii[right], found.margins[right] / math.sqrt(8), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(found.radii_per_pair[right], found.margins[right] / math.sqrt(5), rtol=1e-6, atol=1e-8)
    assert [row["certified_radius_per_pair"] for row in found.rows()] == found.radii_per_pair.tolist()
    for radius in (0.05, 0.1, 0.2):
        assert found.certified_accuracy_per_pair(radius) == float((found.radii_per_pair > radius).double().mean())


@pytest.mark.parametrize("name", ["boundary", "pointwise"])
def test_foolbox_attacks_the_first_examples_only(config, monkeypatch, name):
    attacked = []
    monkeypatch.setitem(ATTACKS, name, Nearest(lambda model, images, *_: attacked.append(len(images)) or images))
    found = certify_and_attack(_two_sided(), _split(), config(f"attack.names=[{name}]", "attack.foolbox_examples=5"))
    assert attacked == [4]  # example 3 is wrong before any attack
    assert found.attacked[name].examples == 5
    assert found.attacked[name].accuracy["0.3"] == 0.8


def _spread_split(count=200):
    """As ``_split``, with distances between 0.02 and about 1.2: many on either side of a radius of 0.5."""
    split, model = _split(count), _two_sided()
    length = torch.linspace(0.02, 1.2, count).view(-1, 1, 1, 1)
    direction = (model[2].weight[0] - model[2].weight[1]).detach().view(1, 4, 4)
    images = 255 * (0.5 + length * direction / direction.norm() * (1 - 2 * (torch.arange(count) % 2)).view(-1, 1, 1, 1))
    images = images.clamp(0, 255).round().to(torch.uint8)
    with torch.no_grad():
        labels = model(images.float() / 255).argmax(1)
    return Split(images, labels, 255, split.indices)


def _recorded(monkeypatch, name):
    """The images of every call of an attack."""
    calls, attack = [], ATTACKS_BEFORE[name]

    def find(model, images, *rest):
        calls.append(images)
        return attack.find(model, images, *rest)

    monkeypatch.setitem(ATTACKS, name, type(attack)(find))
    return calls


@pytest.mark.parametrize(("share", "drawn"), [(0, 0.0), (0.1, 0.1), (1, 1.0)])
@pytest.mark.parametrize("name", ["fgsm", "pgd", "ddn"])
def test_what_is_proved_is_attacked_by_a_share_only(config, monkeypatch, name, share, drawn):
    monkeypatch.setattr(attacking, "_SHOWN", 0)
    monkeypatch.setattr(attacking, "_MEASURED", 0)
    calls, split = _recorded(monkeypatch, name), _spread_split()
    found = certify_and_attack(
        _two_sided(), split, config(f"attack.names=[{name}]", f"attack.proved={share}", radii=("0.5",))
    )
    proved = int((found.radii_per_pair > 0.5).sum())
    undecided = int(((found.margins > 0) & (found.radii_per_pair <= 0.5)).sum())
    assert proved > 40
    assert undecided > 40
    assert sum(map(len, calls)) == undecided + math.ceil(drawn * proved)
    everything = certify_and_attack(
        _two_sided(), split, config(f"attack.names=[{name}]", "attack.proved=1", radii=("0.5",))
    )
    assert found.attacked[name].accuracy == everything.attacked[name].accuracy


def test_every_attack_takes_the_same_share(config, monkeypatch):
    monkeypatch.setattr(attacking, "_SHOWN", 0)
    calls = [_recorded(monkeypatch, name) for name in ("fgsm", "pgd")]
    certify_and_attack(
        _two_sided(), _spread_split(), config("attack.names=[fgsm,pgd]", "attack.proved=0.1", radii=("0.5",))
    )
    first, second = (torch.cat(images) for images in calls)
    assert torch.equal(first, second)


@pytest.mark.parametrize("attack", ["fgsm", "pgd", "ddn"])
def test_a_wrong_certificate_beyond_every_radius_is_found_by_the_share(config, monkeypatch, attack):
    """Everything is proved at 0.05 by a bound that is far too small: without the share nothing would be tried."""
    monkeypatch.setattr(attacking, "_SHOWN", 0)
    monkeypatch.setattr(attacking, "_MEASURED", 0)
    monkeypatch.setattr(certificate, "lipschitz_bound", lambda module, shape: 1e-4)
    overrides = (f"attack.names=[{attack}]",)
    certify_and_attack(_two_sided(), _spread_split(), config(*overrides, "attack.proved=0", radii=("1.0",)))
    with pytest.raises(CertificateViolation, match=f"^{attack} fooled"):
        certify_and_attack(_two_sided(), _spread_split(), config(*overrides, radii=("1.0",)))


def test_what_is_shown_is_attacked_though_proved(config):
    found = certify_and_attack(
        _two_sided(), _split(), config("attack.names=[pgd]", "attack.proved=0", radii=("0.0001",))
    )
    moved = (found.adversarial != found.images).flatten(1).any(1)
    assert torch.equal(moved, found.margins[: len(moved)] > 0)


def test_the_worst_of_all_attacks(config, monkeypatch):
    """Each attack breaks other examples: together they leave what none of them broke."""

    def only(part):
        def find(model, images, labels, radius, options, generator):
            broken = pgd(model, images, labels, radius, 5, 1, generator)
            return torch.where((images.flatten(1)[:, 0] > 0.5).eq(part).view(-1, 1, 1, 1), broken, images)

        return InBall(find)

    monkeypatch.setitem(ATTACKS, "fgsm", only(True))
    monkeypatch.setitem(ATTACKS, "pgd_paper", only(False))
    names = ("fgsm", "pgd_paper", "pgd")
    found = certify_and_attack(_two_sided(), _split(40), config(f"attack.names=[{','.join(names)}]", radii=("0.05",)))
    first, second, both = (found.attacked[name].accuracy["0.05"] for name in names)
    assert both < min(first, second) < found.clean_accuracy
    assert found.attacked_worst == {"0.05": both}
    assert certify_and_attack(_two_sided(), _split(), config("attack.names=[]")).attacked_worst == {}


def test_a_median_distance_is_of_a_sample(config, monkeypatch):
    split, distances = _spread_split(), _distances(_spread_split())
    monkeypatch.setattr(attacking, "_MEASURED", 101)
    found = certify_and_attack(_two_sided(), split, config("attack.names=[ddn]", "attack.proved=0", radii=("0.1",)))
    whole = float(distances[distances > 0].median())
    assert found.attacked["ddn"].median_distance == pytest.approx(whole, rel=0.25)
    assert found.attacked["ddn"].median_distance != pytest.approx(whole, rel=1e-6)


def test_parts_are_timed(config):
    watch = Stopwatch()
    certify_and_attack(_two_sided(), _split(), config(), watch)
    assert list(watch.seconds) == ["logits", "bounds", "attacks", "jacobian"]
    assert all(seconds > 0 for seconds in watch.seconds.values())
