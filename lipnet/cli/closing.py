"""The last lines of a run: where everything is, and what to type next."""

from pathlib import Path

from lipnet.options.registry import GROUPS
from lipnet.runs.commands import on_run, tool

_LISTED = {
    "results.json": "all numbers", "stream.csv": "a row a round", "metrics.csv": "a row an epoch or report",
    "certificates.csv": "a row a test example",
    "certified_accuracy.png": "accuracy against radius",
    "conformal.png": "coverage and size of conformal sets", "wasserstein.png": "the estimate and its critic",
    "posterior_functions.png": "functions against the constraints", "posterior.pt": "the sampled networks",
    "stream.png": "losses, weights and predictions",
    "activations.png": "the learned activations",
    "per_example.png": "gradients of single examples",
    "profile.json.gz": "the trace, for ui.perfetto.dev", "checkpoints/best.pt": "the network",
}  # fmt: skip


def closing_lines(directory: Path, task: str) -> str:
    """Names the files that are there, and the next commands."""
    there = [f"{name} ({what})" for name, what in _LISTED.items() if (directory / name).exists()]
    commands = {
        tool("tensorboard", "--logdir", directory.parent): "curves of this run and its neighbours",
        tool("lipnet-results", directory.parent): "a table of them; --html FILE: a report",
    }
    if "attack" in GROUPS["task"][task].reads:
        commands[on_run("run", directory, "task=evaluate") + " attack.steps=100"] = "stronger attacks, other radii"
    lines = [f"everything is in {directory}"]
    if there:
        lines.append(f"  {', '.join(there)}")
    lines.append("next:")
    width = max(map(len, commands))
    lines += [f"  {command:<{width}}  # {what}" for command, what in commands.items()]
    return "\n".join(lines)
