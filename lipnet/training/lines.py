"""An epoch in words, for the progress bar and the log."""

_BAR_TAGS = ("train/loss", "privacy/epsilon", "validation/clean_accuracy", "validation/estimate")


def short_figures(metrics: dict[str, float]) -> dict[str, str]:
    """The few figures that fit beside a progress bar: loss, clean and certified accuracy (the last radius)."""
    certified = [tag for tag in metrics if tag.startswith("validation/certified_accuracy")]
    tags = [tag for tag in (*_BAR_TAGS, *certified[-1:]) if tag in metrics]
    return {tag.partition("/")[2].partition("_")[0]: f"{metrics[tag]:.3f}" for tag in tags}


def epoch_line(metrics: dict[str, float]) -> str:
    """An epoch on one line of the log, losses and accuracies first by part: ``train loss 0.1 clean 0.97 | ...``."""
    parts: dict[str, list[str]] = {}
    for tag, value in metrics.items():
        group, name = tag.split("/")
        if group in ("train", "validation", "privacy"):
            parts.setdefault(group, []).append(f"{name.replace('_accuracy', '')} {value:.4f}")
    speed = f"{metrics['time/seconds']:.1f} s, {metrics['time/samples_per_second']:.0f} samples/s"
    return " | ".join([*(f"{group} {' '.join(figures)}" for group, figures in parts.items()), speed])
