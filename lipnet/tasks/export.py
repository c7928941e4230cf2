"""A finished run's network for other programs: weights, torch code, ONNX, and the certificate of exactly these."""

import logging
from typing import Any, cast

import torch

from lipnet.certify import assured
from lipnet.certify.assured import assured_layers
from lipnet.certify.plain import to_plain
from lipnet.display.fitting import Fitting, log_fitting
from lipnet.export import certify_export, describe, exported_state, rebuild
from lipnet.export.certificate import CERTIFICATE, SAFETENSORS, WEIGHTS, sealed, with_constants
from lipnet.export.onnx_file import write_onnx
from lipnet.export.source import network_source
from lipnet.models.summary import count_parameters
from lipnet.options.option import of_kind
from lipnet.options.readers import export_keys
from lipnet.options.registry import load
from lipnet.options.tasks import Export
from lipnet.runs.commands import tool
from lipnet.runs.files import write_atomically, write_json, write_text
from lipnet.runs.load import load_run, refuse_changes
from lipnet.runs.machine import versions
from lipnet.runs.record import write_results
from lipnet.runs.safetensors import write_safetensors
from lipnet.tasks.results import Exported
from lipnet.tasks.session import Session
from lipnet.tasks.task import Task

log = logging.getLogger("lipnet")


def export(session: Session) -> Exported:
    """Writes the best network of ``run=DIR`` into the run directory; returns the content of ``results.json``."""
    config = session.config
    run, option = load_run(str(config.run)), of_kind(config.task, Export)
    refuse_changes(run.config, config, export_keys(), f"task=export run={config.run}")
    task: Task[Any] = load("task", run.config.task.name)(session)
    part = task.exported(run.model)
    # An assured network evaluates again what float32 leaves open, and is the faster for convolutions as they are.
    plain: Any = to_plain(part.network, blocked=not option.assured)
    plain = assured_layers(plain) if option.assured else plain
    layers, weights, directory = describe(plain), exported_state(plain), session.directory
    network: Any = rebuild(layers, weights)
    deployed = assured(network, part.shape, task.not_tested()) if option.assured else network
    state = with_constants(weights, deployed) if option.assured else weights
    write_atomically(directory / WEIGHTS, lambda file: torch.save(state, file), "wb")
    write_safetensors(directory / SAFETENSORS, state)
    write_text(directory / "network.py", network_source(layers, option.assured, part.example))
    if option.onnx:
        write_onnx(directory / "network.onnx", deployed, part.shape, part.inputs, part.outputs)
    certificate = certify_export(directory, layers, state, part.shape)
    examined = task.examine(run.model.to(session.device), network.to(session.device), deployed)
    certificate |= examined.certificate
    results: Exported = {
        **session.header,
        "run": str(config.run),
        "parameters": count_parameters(run.model),
        "best_epoch": run.epoch,
        "lipschitz_upper_bound": certificate["lipschitz_upper_bound"],
        "status": "completed",
    }
    results = cast(Exported, {**results, **examined.results})
    origin = {key: results[key] for key in ("choices", "seed", "git_commit", "best_epoch")}
    write_json(directory / CERTIFICATE, sealed(certificate | {"versions": versions(), "trained": origin}))
    write_results(directory, results)
    if examined.report is not None:
        log_fitting(log, "%s", Fitting(examined.report))
    log.info(
        "exported weights of epoch %d: %s, %s; Lipschitz constant at most %.9f\ncheck it: %s",
        run.epoch, ", ".join(certificate["files"]), CERTIFICATE, certificate["lipschitz_upper_bound"],
        tool("python", "-m", "lipnet.certify", directory),
    )  # fmt: skip
    return results
