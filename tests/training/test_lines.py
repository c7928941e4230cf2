from lipnet.training.lines import epoch_line, short_figures

METRICS = {
    "train/loss": 0.12345, "train/clean_accuracy": 0.5, "validation/clean_accuracy": 0.97,
    "validation/certified_accuracy@0.1": 0.9, "validation/certified_accuracy@0.3": 0.75, "time/seconds": 2.04,
    "time/samples_per_second": 1234.5, "lr/0": 0.1,
}  # fmt: skip


def test_the_bar_has_loss_clean_and_the_last_certified_accuracy():
    assert short_figures(METRICS) == {"loss": "0.123", "clean": "0.970", "certified": "0.750"}
    assert short_figures({"train/loss": 1.0, "validation/estimate": 2.0}) == {"loss": "1.000", "estimate": "2.000"}


def test_the_log_has_each_part_and_the_speed():
    assert epoch_line(METRICS) == (
        "train loss 0.1235 clean 0.5000 | validation clean 0.9700 certified@0.1 0.9000 certified@0.3 0.7500 | "
        "2.0 s, 1234 samples/s"
    )
