"""The closing table of an estimate of a distance."""

from lipnet.display.fitting import wrapped
from lipnet.tasks.robustness.table import _percent
from lipnet.tasks.wasserstein.results import Gradient, Results


def wasserstein_table(results: Results, width: int | None = None) -> str:
    """What is proved, estimated and known of the distance, a line each, with what each figure means.

    Args:
        width: what a line of the terminal holds.
    """
    found = results["wasserstein"]
    confidence, samples = _percent(found["confidence"]), found["transport_samples"]
    rows = [
        ("at least", found["certified_lower_bound"], f"certified at {confidence}, for this number of samples"),
        (
            "estimate",
            found["estimate"],
            f"{confidence} interval [{found['ci_low']:.6g}, {found['ci_high']:.6g}] of what this critic can prove",
        ),
        ("critic on few", found["estimate_on_sample"], f"the critic on the first {samples:,} samples a side"),
        (
            "transport of few",
            found["exact_on_sample"],
            "exact optimal transport of the same samples: no critic exceeds it there; as an estimate of the distance "
            "between the distributions (plug-in) it is too large on average, by far in high dimension",
        ),
    ]
    truth, published = found.get("true_value"), found.get("published")
    if truth is not None:
        error = f" (standard error {found['true_value_error']:.2g})" if "true_value_error" in found else ""
        note = f"estimate / true value: {found['estimate_over_true']:.4f}{error}"
        rows.append(("true value", truth, note))
    if published is not None:
        note = f"their true value, from 4,096 samples; its estimate by orthogonal layers: {published['sort_out']}"
        rows.append(("published", published["true_value"], note))
    lines = wrapped(
        f"Wasserstein-1, {found['units']}, {found['evaluation_samples']:,} evaluation samples a side", width
    )
    for name, value, note in rows:
        start = f"  {name:<16}  {value:>10.6g}  "
        lines += wrapped(note, width, start, " " * len(start))
    below = [
        *(_gradient_line(side, statistics) for side, statistics in found["gradient"].items()),
        f"Lipschitz constant: at most {results['lipschitz_upper_bound']:.7f} (the estimates are divided by it), "
        f"at least {results['lipschitz_lower_bound']:.7f} (gradient at samples)",
    ]
    for text in below:
        lines += wrapped(text, width)
    return "\n".join(lines)


def _gradient_line(side: str, statistics: Gradient) -> str:
    share = _percent(statistics["share_of_norm_at_least_0.99"])
    line = f"gradient norm at samples of the {side} distribution: >= 0.99 at {share}"
    if "cosine" in statistics:
        line += f"; against the optimal potential's: cosine {statistics['cosine']:.4f}, "
        line += f"squared error {statistics['squared_error']:.4f}"
    return line
