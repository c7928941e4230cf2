"""The closing table of a posterior."""

from lipnet.display.fitting import Column, fitting_table, wrapped
from lipnet.tasks.bayes.results import Results

_HIDDEN = "lipnet.log in the run directory shows every column."
_ROWS = {
    "points at which the mean violates": ("violation", True),
    "functions that violate anywhere": ("functions_violating", True),
    "error on training examples": ("train_error", False),
    "error on held-out examples": ("test_error", False),
    "log-likelihood of those": ("log_likelihood", False),
    "in the interval of 95 %": ("coverage", True),
}  # label -> key, and whether it is a share


def bayes_table(results: Results, classifies: bool, width: int | None = None) -> str:
    """What the posteriors do with and without the constraints, side by side; what is proved; how the chains went.

    Args:
        width: what a line of the terminal holds.
    """
    found = results["bayes"]
    names, columns = [], {"constrained": [], "unconstrained": []}  # type: ignore[var-annotated]
    for label, (key, share) in _ROWS.items():
        if key in found:
            share = share or (classifies and key.endswith("error"))
            names.append(label)
            columns["constrained"].append(_shown(found.get(key), share))
            columns["unconstrained"].append(_shown(found.get(f"{key}_unconstrained"), share))
    twin = "violation_unconstrained" in found
    shown = [Column("posterior", names)]
    shown += [Column(name, values) for name, values in columns.items() if twin or name == "constrained"]
    titles, rows, below = fitting_table(shown, width, _HIDDEN)
    lines = [*titles, *rows, *below]
    proved = (
        f"not proved to keep the constraints everywhere: {found['certified_violation']:.2%} of the networks kept, "
        f"{found['unproved']:.2%} of all sampled; the search found violations of {found['attacked_violation']:.2%}"
    )
    kept = f"{found['members']:,} networks, worth {found['effective_members']:.0f} of equal weight"
    chains = [
        f"{name} {value:.4g}"
        for name, key in (("R-hat", "r_hat"), ("effective samples", "effective_samples"), ("accepted", "acceptance"),
                          ("divergent", "divergences"))
        if (value := found.get(key)) is not None
    ]  # fmt: skip
    lipschitz = f"Lipschitz constant of the mean: at most {results['lipschitz_upper_bound']:.7g}"
    for text in (proved, "; ".join([kept, *chains]), lipschitz):
        lines += wrapped(text, width)
    return "\n".join(lines)


def _shown(value: object, share: bool) -> str:
    if not isinstance(value, float):
        return "–"
    return f"{100 * value:.2f} %" if share else f"{value:.4f}"
