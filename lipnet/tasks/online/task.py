"""Online prediction: a stream, round by round, and what was found of it in the end."""

import logging

from lipnet.data.streams import load_source
from lipnet.display.fitting import Fitting, log_fitting
from lipnet.models.summary import count_parameters
from lipnet.runs.files import remove_parts
from lipnet.runs.machine import peak_memory_bytes
from lipnet.runs.record import without_missing, write_results
from lipnet.runs.storage import dispensable
from lipnet.tasks.online.figures import stream_figure
from lipnet.tasks.online.predictor import goal_of
from lipnet.tasks.online.results import Predicted, Results, Sensitivity
from lipnet.tasks.online.rounds import Rounds
from lipnet.tasks.online.summary import Summary, summarize_stream
from lipnet.tasks.online.table import online_table
from lipnet.tasks.session import Session
from lipnet.tasks.task import Charts
from lipnet.training.tracker import Tracker, open_tracker

log = logging.getLogger("lipnet")

_CHARTS: Charts = {
    "losses": {
        "average loss": ["Multiline", ["loss/.*"]],
        "baselines": ["Multiline", ["loss/average", "baselines/.*"]],
        "regret and its bound": ["Multiline", ["regret/.*"]],
    },
    "experts": {"weights": ["Multiline", ["weights/.*"]], "local constants": ["Multiline", ["local_constants/.*"]]},
    "certificates": {"sensitivity": ["Multiline", ["sensitivity/.*"]]},
}


def predict(session: Session) -> Results:
    """Predicts the configuration's stream to its end, or goes on where an earlier attempt stopped."""
    config = session.config
    source = load_source(config.stream, goal_of(config), config.seed)
    remove_parts(session.directory)
    rounds = Rounds(session, source)
    rounds.restore()
    tracker = open_tracker(session.directory, rounds.done)
    try:
        if tracker.fresh:
            tracker.hyperparameters(config, ["loss/average", "loss/best_expert", "regret/regret"], session.typed_keys)
            charts = {title: dict(of_section) for title, of_section in _CHARTS.items()}
            if not rounds.option.baselines:
                del charts["losses"]["baselines"]
            tracker.layout(charts)
        rounds.run(tracker)
        summary = summarize_stream(rounds.path, rounds.done)
        results = _results(rounds, summary)
        _show(rounds, summary, results, tracker)
        write_results(session.directory, results)
        rounds.previous.unlink(missing_ok=True)  # a complete run is not continued
        return results
    finally:
        rounds.close()
        tracker.close()


def _results(rounds: Rounds, summary: Summary) -> Results:
    seconds = rounds.totals["seconds"]
    return {
        **rounds.session.header,
        "status": "completed",
        "parameters": count_parameters(rounds.started.experts),
        "train_seconds": seconds,
        "rounds_per_second": rounds.done / seconds,
        "online": _predicted(rounds, summary),
        "peak_memory_bytes": peak_memory_bytes(rounds.session.device),
    }


def _predicted(rounds: Rounds, summary: Summary) -> Predicted:
    predictor, totals, done, half = rounds.started, rounds.totals, rounds.done, summary.last_half
    expert_losses = (rounds.expert_totals / done).tolist()
    best = min(range(len(expert_losses)), key=expert_losses.__getitem__)
    known = rounds.source.optimal_loss is not None
    compared = rounds.option.baselines
    found: Predicted = {
        "average_loss": totals["loss"] / done,
        "last_half_loss": half["loss"],
        "optimal_loss": rounds.source.optimal_loss,
        "optimal_prediction_loss": totals["optimal"] / done if known else None,
        "optimal_prediction_last_half_loss": half["optimal_loss"] if known else None,
        "best_expert": rounds.names[best],
        "best_expert_loss": expert_losses[best],
        "best_expert_last_half_loss": half[f"loss_{rounds.names[best]}"],
        "regret": rounds.regret,
        "regret_bound": predictor.regret_bound(),
        "rounds": done,
        "gaps": int(totals["gaps"]),
        "weights": dict(zip(rounds.names, predictor.aggregation.weights().tolist(), strict=True)),
        "expert_losses": dict(zip(rounds.names, expert_losses, strict=True)),
        "lipschitz_bounds": dict(zip(rounds.names, predictor.bounds().lipschitz.tolist(), strict=True)),
        "local_constants": dict(zip(rounds.names, rounds.local_constants(), strict=True)),
        "baselines": {name: totals[f"loss_{name}"] / done for name in compared},
        "baselines_last_half": {name: half[f"loss_{name}"] for name in compared},
        "sensitivity": _sensitivity(rounds),
    }
    return without_missing(found)


def _sensitivity(rounds: Rounds) -> Sensitivity:
    totals, attacks = rounds.totals, int(rounds.totals["attacks"])
    found: Sensitivity = {
        "radius": rounds.option.radius,
        "certified_mean": totals["certified"] / rounds.done,
        "certified_largest": totals["certified_largest"],
        "attacked_largest": totals["attacked_largest"] if attacks else None,
        "largest_share": totals["largest_share"] if attacks else None,
        "attacks": attacks,
        "violations": 0,  # the first ends the run
    }
    return without_missing(found)


def _show(rounds: Rounds, summary: Summary, results: Results, tracker: Tracker) -> None:
    directory, config = rounds.session.directory, rounds.config
    with dispensable("TensorBoard", directory):
        tracker.text("results", online_table(results), rounds.done)
    with dispensable("stream.png", directory):
        title = f"{config.dataset.name}, {config.loss.name} loss"
        optimal = rounds.source.optimal_loss
        figure = stream_figure(summary, rounds.names, rounds.option.baselines, optimal, title)
        figure.savefig(directory / "stream.png", dpi=150)
        tracker.figure("stream", figure, rounds.done)
    log_fitting(log, "%s", Fitting(lambda width: online_table(results, width)))
