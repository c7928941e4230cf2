import numpy
import pytest

from lipnet.tasks.online.figures import running_mean, stream_figure
from lipnet.tasks.online.summary import Summary
from lipnet.tasks.online.table import online_table

NAMES = ["k1_L1", "k2_L1"]


def made(bins=10, size=5):
    ends = size * numpy.arange(1, bins + 1)
    columns = ["loss", "loss_ridge", *(f"loss_{name}" for name in NAMES), *(f"weight_{name}" for name in NAMES)]
    means = {name: numpy.linspace(1, 2, bins) for name in columns}
    window = {name: numpy.linspace(0, 1, 20) for name in ("outcome", "prediction", "sensitivity")}
    return Summary(ends, means, dict.fromkeys(columns, 1.5), window)


@pytest.mark.parametrize("optimal", [None, 0.5])
def test_the_figure_shows_losses_weights_regret_and_predictions(optimal):
    losses, weights, regret, predictions, _ = stream_figure(made(), NAMES, ["ridge"], optimal, "a stream").axes
    labels = [line.get_label() for line in losses.get_lines()]
    assert ("optimal in the limit" in labels) == (optimal is not None)
    assert {"aggregate", "ridge", "each expert"} < set(labels)
    assert [label.get_text() for label in weights.get_yticklabels()] == NAMES
    assert regret.get_lines()[0].get_ydata() == pytest.approx(numpy.zeros(10))
    assert predictions.get_title() == "the last 20 rounds"


def test_means_so_far_are_over_all_rounds():
    found = made(bins=2)
    assert running_mean(found, "loss").tolist() == [1, 1.5]


FOUND = {
    "average_loss": 0.2, "last_half_loss": 0.1, "best_expert": "k2_L1", "best_expert_loss": 0.19,
    "best_expert_last_half_loss": 0.11, "regret": 1.5, "rounds": 1000, "gaps": 0,
    "weights": {"k1_L1": 0.25, "k2_L1": 0.75}, "baselines": {"ridge": 0.3}, "baselines_last_half": {"ridge": 0.25},
    "sensitivity": {"radius": 0.1, "certified_mean": 0.2, "certified_largest": 0.4, "attacks": 0, "violations": 0},
}  # fmt: skip


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, ["average loss of 1,000 predictions", "aggregate", "ridge", "nothing is proved of this aggregator"]),
        ({"regret_bound": 20.0}, ["over all rounds: 1.5 (proved: at most 20)"]),
        (
            {"optimal_loss": 0.08, "optimal_prediction_loss": 0.081, "optimal_prediction_last_half_loss": 0.082},
            ["optimal in the limit           0.08         0.08", "optimal prediction            0.081        0.082"],
        ),
        ({"gaps": 3}, ["3 lines held no observation"]),
        (
            {"sensitivity": FOUND["sensitivity"] | {"attacks": 7, "attacked_largest": 0.1, "largest_share": 0.25}},
            ["7 attacks reached 25% of that, none more"],
        ),
    ],
)
def test_the_table_says_what_was_found(more, said):
    table = online_table({"online": FOUND | more})
    assert [text for text in said if text not in table] == []
