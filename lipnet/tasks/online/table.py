"""The closing table of an online prediction."""

from lipnet.display.fitting import wrapped
from lipnet.tasks.online.results import Results


def online_table(results: Results, width: int | None = None) -> str:
    """Average losses, a line each, over all rounds and over the last half of them; then what is proved.

    Args:
        width: what a line of the terminal holds.
    """
    found = results["online"]
    lines = wrapped(f"average loss of {found['rounds']:,} predictions, each charged before it learned more", width)
    lines.append(f"  {'':<22} {'all rounds':>12} {'last half':>12}")
    rows: list[tuple[str, float | None, float | None]] = [
        ("aggregate", found["average_loss"], found["last_half_loss"]),
        (
            f"best expert {found['best_expert']}",
            found["best_expert_loss"],
            found["best_expert_last_half_loss"],
        ),
    ]
    optimal = found.get("optimal_loss")
    if optimal is not None:
        ours, half = found["optimal_prediction_loss"], found["optimal_prediction_last_half_loss"]
        rows += [("optimal in the limit", optimal, optimal), ("optimal prediction", ours, half)]
    for name, loss in found["baselines"].items():
        rows.append((name, loss, found["baselines_last_half"][name]))
    for name, whole, half in rows:
        lines.append(f"  {name:<22} {_number(whole)} {_number(half)}")
    below = [_regret(results), _sensitivity(results), _weights(results)]
    if found["gaps"]:
        below.append(f"{found['gaps']:,} lines held no observation and were passed over")
    for text in below:
        lines += wrapped(text, width)
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return f"{'–':>12}" if value is None else f"{value:>12.6g}"


def _regret(results: Results) -> str:
    found = results["online"]
    bound = found.get("regret_bound")
    proved = "nothing is proved of this aggregator" if bound is None else f"proved: at most {bound:.6g}"
    return f"regret to the best expert, over all rounds: {found['regret']:.6g} ({proved})"


def _sensitivity(results: Results) -> str:
    found = results["online"]["sensitivity"]
    text = (
        f"an error of L2 norm {found['radius']:g} in what it sees moves a prediction by at most "
        f"{found['certified_mean']:.4g} (mean), {found['certified_largest']:.4g} (largest), certified"
    )
    if found["attacks"]:
        text += f"; {found['attacks']} attacks reached {found['largest_share']:.0%} of that, none more"
    return text


def _weights(results: Results) -> str:
    weights = results["online"]["weights"]
    first = sorted(weights, key=lambda name: -weights[name])[:4]
    listed = ", ".join(f"{name} {weights[name]:.2f}" for name in first)
    return f"largest weights at the end: {listed}"
