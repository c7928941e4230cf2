import pytest
import torch
from torch import nn

from lipnet.tasks.wasserstein.evaluation import Estimation
from lipnet.tasks.wasserstein.figure import wasserstein_figure
from lipnet.tasks.wasserstein.interval import Interval
from lipnet.tasks.wasserstein.table import wasserstein_table

CONTENT = {
    "estimate": 0.9, "ci_low": 0.85, "ci_high": 0.95, "confidence": 0.95, "certified_lower_bound": 0.8,
    "evaluation_samples": 40, "exact_on_sample": 1.4, "estimate_on_sample": 0.88, "transport_samples": 20,
    "true_value": 1.0, "estimate_over_true": 0.9, "units": "L2 distance between vectors",
    "gradient": {"first": {"share_of_norm_at_least_0.99": 0.5, "cosine": 0.75, "squared_error": 0.125},
                 "second": {"share_of_norm_at_least_0.99": 0.25}},
}  # fmt: skip
ROWS = [
    {"epoch": str(epoch), "time_seconds": "2.0", "validation_estimate": str(0.3 * epoch),
     "validation_ci_low": str(0.3 * epoch - 0.1), "validation_ci_high": str(0.3 * epoch + 0.1)}
    for epoch in (1, 2, 3)
]  # fmt: skip


def estimation(shape):
    first, second = torch.rand(2, 40, *shape, dtype=torch.float64)
    critic = nn.Sequential(nn.Flatten(), nn.Linear(first[0].numel(), 1)).double()
    values = [critic(side)[:, 0].detach() for side in (first, second)]
    return Estimation(
        1.0, 0.9, Interval(0.9, 0.85, 0.95), 0.8, 0.88, 1.4, CONTENT["gradient"], first, second, *values, critic
    )


@pytest.mark.parametrize("shape", [(1,), (2,), (5,), (1, 4, 4), (3, 4, 4)])
def test_a_critic_is_drawn_by_what_it_reads(shape):
    figure = wasserstein_figure(estimation(shape), CONTENT, ROWS, 10, "title")
    progress, *critic = figure.axes
    texts = [text.get_text() for text in progress.get_legend().get_texts()]
    assert {"estimate on the selection samples", "true value: 1", "certified: at least 0.8"} <= set(texts)
    line = progress.get_lines()[0]
    assert line.get_xdata().tolist() == [10, 20, 30]
    assert line.get_ydata().tolist() == pytest.approx([0.3, 0.6, 0.9])
    titles = " ".join([axes.get_title() for axes in critic] + [axes.get_ylabel() for axes in critic])
    assert {(1,): "samples on it", (2,): "optimal transport of 40 samples", (5,): "values"}.get(shape, "") in titles
    images = sum(len(axes.images) for axes in critic)
    assert images == (24 if len(shape) == 3 else 0)
    if shape == (2,):
        rays = [line for axes in critic for line in axes.get_lines() if line.get_color() == "white"]
        assert len(rays) == 40


def test_an_evaluation_alone_and_a_pair_without_truth():
    content = {key: value for key, value in CONTENT.items() if key not in ("true_value", "estimate_over_true")}
    texts = wasserstein_figure(estimation((2,)), content, [], 10, "title").axes[0].get_legend().get_texts()
    assert [text.get_text() for text in texts] == ["certified: at least 0.8", "estimate: 0.9 [0.85, 0.95]"]


def test_the_table():
    results = {"wasserstein": CONTENT, "lipschitz_upper_bound": 1.0000001, "lipschitz_lower_bound": 0.99}
    lines = wasserstein_table(results).splitlines()
    assert lines[0] == "Wasserstein-1, L2 distance between vectors, 40 evaluation samples a side"
    assert [line.split("  ")[1] for line in lines[1:6]] == [
        "at least", "estimate", "critic on few", "transport of few", "true value"
    ]  # fmt: skip
    assert "95.00 % interval [0.85, 0.95]" in lines[2]
    assert lines[6].endswith(">= 0.99 at 50.00 %; against the optimal potential's: cosine 0.7500, squared error 0.1250")
    assert lines[7].endswith("second distribution: >= 0.99 at 25.00 %")
    published = {"published": {"true_value": 1.1, "sort_out": 0.7}}
    assert wasserstein_table(results | {"wasserstein": CONTENT | published}).splitlines()[6].endswith("layers: 0.7")
    for width in (50, 80, 120):
        fitted = wasserstein_table(results, width).splitlines()
        assert all(len(line) <= width for line in fitted)
        assert " ".join(" ".join(fitted).split()) == " ".join(" ".join(lines).split())
        assert len(fitted) > len(lines)
    unknown = {key: value for key, value in CONTENT.items() if key != "true_value"}
    assert "true value" not in wasserstein_table(results | {"wasserstein": unknown})
