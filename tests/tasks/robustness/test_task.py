import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from lipnet.data.images import Split
from lipnet.errors import UserError
from lipnet.layers import MaxMin, Normalize, OrthogonalLinear, UnitRowLinear
from lipnet.tasks.driver import Tracked
from lipnet.tasks.robustness.task import Robustness

RADII = {"36/255": 36 / 255, "0.02": 0.02}


class _Notes:
    """Stands for the tracker: notes what is given to it."""

    fresh = False

    def __init__(self):
        self.noted = []

    def singular_values(self, layer, values, epoch):
        self.noted.append((layer, epoch, values))


def _split(count=20):
    """Three of four labels are what the model says."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 17, (count, 1, 8, 8), generator=generator, dtype=torch.uint8)
    labels = _model()(images / 16).argmax(1)
    labels[::4] = 9 - labels[::4]
    return Split(images, labels, 16, torch.arange(count))


def _model(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), OrthogonalLinear(64, 16), nn.ReLU(), nn.Linear(16, 10)).to(dtype).eval()


@pytest.fixture
def classification(make_session):
    def build(*overrides, count=20):
        task = Robustness(make_session(f"eval_radii=[{','.join(RADII)}]", *overrides))
        task.validation = _split(count)
        return task

    return build


def test_a_step_gives_the_mean_loss_and_sums(classification):
    task, split, model = classification("loss.epsilon=0.5"), _split(), _model()
    images, labels = split.pixels(), split.labels
    loss, sums = task.step(model, images, labels)
    logits = model(images)
    each = [
        sum(max(0.0, math.sqrt(0.5) - z[y] + z[j]) for j in range(10) if j != y) / 10
        for z, y in zip(logits.tolist(), labels.tolist(), strict=True)
    ]
    assert float(loss.detach()) == pytest.approx(sum(each) / 20, rel=1e-5)
    correct = sum(int(z.argmax()) == y for z, y in zip(logits, labels.tolist(), strict=True))
    assert dict(zip(task.sums, sums.tolist(), strict=True)) == {
        "loss": pytest.approx(sum(each), rel=1e-5), "clean_accuracy": correct,
    }  # fmt: skip
    assert loss.requires_grad
    assert not sums.requires_grad


@pytest.mark.parametrize("std", [0.5, 2.0])
def test_the_margin_grows_with_the_constant_of_the_normalisation(classification, std):
    margin = math.sqrt(2) * 0.5 / std
    task = classification("loss.epsilon=0.5", f"dataset.std=[{std}]")
    logits = torch.zeros(2, 10)
    logits[0, 0], logits[1, 0] = 1.001 * margin, 0.999 * margin
    enough, short = task.losses(None, logits, torch.zeros(2, dtype=torch.int64), None)
    assert enough == 0
    assert short > 0


SCHEDULED = ("loss.epsilon=2", "loss.schedule=linear", "loss.schedule_from=0.5", "epochs=4")


def test_the_radius_moves_while_training_and_is_the_last_one_in_validation(classification):
    task, split, model = classification(*SCHEDULED), _split(), _model()
    images, labels = split.pixels(), split.labels
    found = []
    for share in (0.0, 0.5):
        task.begin_step(share)
        found.append(float(task.step(model, images, labels)[0].detach()))
    for loss, epsilon in zip(found, (1.0, 1.5), strict=True):
        there = classification(f"loss.epsilon={epsilon}").step(model, images, labels)[0]
        assert loss == pytest.approx(float(there.detach()))
    metrics = task.validate(model, 3).metrics
    assert metrics["train/radius"] == pytest.approx(2 * (0.5 + 0.5 * 3 / 4))
    assert metrics["validation/loss"] == pytest.approx(
        classification("loss.epsilon=2").validate(model, 3).metrics["validation/loss"]
    )


def _headed(rows=UnitRowLinear):
    torch.manual_seed(0)
    return nn.Sequential(Normalize([0.5], [0.5]), nn.Flatten(), OrthogonalLinear(64, 16), MaxMin(), rows(16, 10)).eval()


PER_PAIR = (
    "loss=cross_entropy",
    "loss.epsilon=0.5",
    "loss.per_pair=true",
    "model.head=normalized",
    "dataset.std=[0.5]",
)


def test_pairs_of_classes_get_margins_by_the_rows_of_the_network_that_is_trained(classification):
    task, split, model = classification(*PER_PAIR), _split(), _headed()
    task.prepare(model)
    images, labels = split.pixels(), split.labels
    loss, _ = task.step(model, images, labels)
    logits, rows = model(images), model[-1].weight
    margins = 0.5 * 2.0 * (rows[labels][:, None] - rows).norm(dim=2)  # L is 2
    expected = functional.cross_entropy((logits + margins) / task.config.loss.temperature, labels)
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(loss, model[-1].raw_weight, retain_graph=True)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, model[-1].raw_weight)[0])
    validated = float(task.validate(model, 1).metrics["validation/loss"])
    assert validated == pytest.approx(float(loss.detach()), rel=1e-5)


UNBOUNDED = {
    "another constant": (
        _headed()[:-1].append(nn.Linear(16, 16)).append(nn.Linear(16, 10)),
        "has the Lipschitz constant",
    ),
    "no rows": (_headed().append(nn.ReLU()), "need a fully connected last layer, not ReLU"),
    "no rule": (nn.Sequential(nn.Flatten(), nn.LSTM(64, 16), nn.Linear(16, 10)), "LSTM"),
}


@pytest.mark.parametrize("case", UNBOUNDED)
def test_margins_of_pairs_are_refused_of_a_network_that_is_not_bounded_so(classification, case):
    model, message = UNBOUNDED[case]
    if case == "another constant":
        nn.init.constant_(model[-2].weight, 1.0)
    with pytest.raises(UserError, match=message) as refused:
        classification(*PER_PAIR).prepare(model)
    assert str(refused.value).startswith("loss.per_pair=true: ")


def test_without_margins_of_pairs_any_network_is_prepared(classification):
    for model, _ in UNBOUNDED.values():
        classification().prepare(model)


def test_validation_by_definition(classification):
    task, split, model = classification(), _split(), _model()
    metrics = task.validate(model, 1).metrics
    with torch.no_grad():
        logits = model(split.pixels()).double()
    others = logits.scatter(1, split.labels[:, None], -math.inf).amax(1)
    gaps = logits.gather(1, split.labels[:, None])[:, 0] - others
    bound = float(torch.linalg.svdvals(model[3].weight.detach().double())[0])  # the orthogonal layer's is 1
    assert metrics["lipschitz/upper_bound"] == pytest.approx(bound, rel=1e-5)
    assert metrics["validation/clean_accuracy"] == float((gaps > 0).double().mean()) > 0
    for written, radius in RADII.items():
        certified = float((gaps / (math.sqrt(2) * bound) > radius).double().mean())
        assert metrics[f"validation/certified_accuracy@{written.replace('/', '_')}"] == certified
    assert metrics["validation/certified_accuracy@0.02"] > 0


@pytest.mark.parametrize(
    ("select_by", "expected"),
    [
        ("certified_accuracy", lambda metrics: sum(v for k, v in metrics.items() if "certified" in k) / len(RADII)),
        ("clean_accuracy", lambda metrics: metrics["validation/clean_accuracy"]),
        ("loss", lambda metrics: -metrics["validation/loss"]),
    ],
    ids=["certified_accuracy", "clean_accuracy", "loss"],
)
def test_the_score_is_what_select_by_names(classification, select_by, expected):
    found = classification(f"task.select_by={select_by}").validate(_model(), 1)
    assert found.score == pytest.approx(expected(found.metrics), rel=1e-12)
    assert found.error > 0


def test_the_score_of_more_examples_is_surer(classification):
    for count in (50, 200):
        found = classification("task.select_by=clean_accuracy", count=count).validate(_model(), 1)
        assert found.error == pytest.approx(math.sqrt(found.score * (1 - found.score) / count))


def test_without_a_validation_split_the_last_epoch_is_best(classification):
    task = classification(count=0)
    found = [task.validate(_model(), epoch) for epoch in (1, 2)]
    assert [list(each.metrics) for each in found] == [["lipschitz/upper_bound"]] * 2
    assert found[0].score < found[1].score


@pytest.mark.parametrize(("every", "epochs"), [(1, [1, 2, 3, 4]), (2, [2, 4]), (5, []), (0, [])])
def test_singular_values_are_tracked_every_so_many_epochs(classification, every, epochs):
    notes = _Notes()
    objective = Tracked(classification(f"singular_values_every={every}"), notes)
    for epoch in range(1, 5):
        objective.validate(_model(), epoch)
    noted = notes.noted
    assert [epoch for layer, epoch, _ in noted if layer == "1_OrthogonalLinear"] == epochs
    assert [epoch for layer, epoch, _ in noted if layer == "3_Linear"] == epochs
    for layer, _, values in noted:
        expected = torch.ones(16) if layer.startswith("1") else torch.linalg.svdvals(_model()[3].weight.detach())
        torch.testing.assert_close(values.sort().values, expected.double().sort().values, atol=1e-5, rtol=0)


def test_selection_by_pairs_of_classes(classification):
    """The last row is twice the others, so that most pairs are certified farther than all together."""
    model = _model()
    with torch.no_grad():
        model[3].weight[-1] *= 2
    global_metrics = classification("task.select_by=certified_accuracy").validate(model, 1).metrics
    per_pair = classification("task.select_by=certified_accuracy_per_pair").validate(model, 1)
    metrics, score = per_pair.metrics, per_pair.score
    assert not any("per_pair" in tag for tag in global_metrics)
    found = [metrics[f"validation/certified_accuracy_per_pair@{written.replace('/', '_')}"] for written in RADII]
    assert score == pytest.approx(sum(found) / len(found))
    assert global_metrics.items() <= metrics.items()
    for written, accuracy in zip(RADII, found, strict=True):
        assert accuracy >= metrics[f"validation/certified_accuracy@{written.replace('/', '_')}"]
    assert sum(found) > sum(value for tag, value in metrics.items() if "certified_accuracy@" in tag)
