"""A finished run's network for other programs: weights, torch code, ONNX, and the certificate of exactly these."""

import dataclasses
import logging
from typing import Any

import torch
from torch import Tensor, nn

from lipnet.certify import Assured, assured
from lipnet.certify.assured import assured_layers, evaluated_again
from lipnet.cli.saved import EXPORT_KEYS
from lipnet.data.images import Split, load_splits
from lipnet.display.fitting import Fitting, log_fitting
from lipnet.export import certify_export, describe, exported_state, rebuild
from lipnet.export.certificate import CERTIFICATE, WEIGHTS, sealed, with_constants
from lipnet.export.onnx_file import write_onnx
from lipnet.export.source import network_source
from lipnet.models import to_plain
from lipnet.models.summary import count_parameters
from lipnet.options.checks import radius_value
from lipnet.options.config import Config
from lipnet.options.facts import inputs_and_outputs
from lipnet.options.images import Dataset
from lipnet.options.option import of_kind
from lipnet.options.tasks import Export
from lipnet.runs.commands import tool
from lipnet.runs.files import write_atomically, write_json, write_text
from lipnet.runs.load import load_run, refuse_changes, refuse_gan
from lipnet.runs.machine import versions
from lipnet.runs.record import write_results
from lipnet.tasks.results import Exported, ExportedClassifier
from lipnet.tasks.robustness.evaluation import Certification, certify_and_attack
from lipnet.tasks.robustness.table import certified_table
from lipnet.tasks.robustness.task import accuracy_by_arithmetic
from lipnet.tasks.session import Session

log = logging.getLogger("lipnet")

_CHOOSES_BY = 2000  # images
_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def export(config: Config, session: Session) -> Exported:
    """Writes the best network of ``config.run`` into the run directory; returns the content of ``results.json``."""
    run, option = load_run(str(config.run)), of_kind(config.task, Export)
    refuse_gan(run.config, str(config.run))
    refuse_changes(run.config, config, EXPORT_KEYS, f"task=export run={config.run}")
    shape: tuple[int, ...] = inputs_and_outputs(config.dataset)[0]
    # An assured network evaluates again what float32 leaves open, and is the faster for convolutions as they are.
    plain: Any = to_plain(run.model, blocked=not option.assured)
    plain = assured_layers(plain) if option.assured else plain
    layers, weights, directory = describe(plain), exported_state(plain), session.directory
    network: Any = rebuild(layers, weights)
    deployed = assured(network, shape, not_tested(config)) if option.assured else network
    state = with_constants(weights, deployed) if option.assured else weights
    write_atomically(directory / WEIGHTS, lambda file: torch.save(state, file), "wb")
    write_text(directory / "network.py", network_source(layers, option.assured))
    if option.onnx:
        write_onnx(directory / "network.onnx", deployed, shape)
    certificate = certify_export(directory, layers, state, shape)
    results: Exported = {
        **session.header,
        "run": str(config.run),
        "parameters": count_parameters(run.model),
        "best_epoch": run.epoch,
        "lipschitz_upper_bound": certificate["lipschitz_upper_bound"],
        "status": "completed",
    }
    table = None
    if isinstance(config.dataset, Dataset):
        test = load_splits(config.images, config.seed).test.to(session.device)
        found = _certify(network.to(session.device), test, config)
        certificate["radii"] = _radii(found, config)
        classifier: ExportedClassifier = {
            **results,
            "test_examples": len(found.radii),
            "clean_accuracy": found.clean_accuracy,
            "certified_accuracy": certificate["radii"]["certified_accuracy"],
            "certify_dtype": config.certify_dtype,
            "certified_accuracy_by_arithmetic": accuracy_by_arithmetic(found, config),
            "lipschitz_lower_bound": found.lower,
            "evaluated_again": None,
        }
        if isinstance(deployed, Assured):
            certificate["radii"]["hold_for"] = "the assured network, and its evaluation in float64"
            classifier["evaluated_again"] = evaluated_again(deployed.to(session.device), test.pixels())
        results, table = classifier, Fitting(lambda width: certified_table(classifier, width))
    origin = {key: results[key] for key in ("choices", "seed", "git_commit", "best_epoch")}
    write_json(directory / CERTIFICATE, sealed(certificate | {"versions": versions(), "trained": origin}))
    write_results(directory, results)
    if table is not None:
        log_fitting(log, "%d test examples\n%s", classifier["test_examples"], table)
    log.info(
        "exported weights of epoch %d: %s, %s; Lipschitz constant at most %.9f\ncheck it: %s",
        run.epoch, ", ".join(certificate["files"]), CERTIFICATE, certificate["lipschitz_upper_bound"],
        tool("python", "-m", "lipnet.certify", directory),
    )  # fmt: skip
    return results


def not_tested(config: Config) -> Tensor:
    """Images by which an assured network chooses its float64 layers: of the validation split, or of training."""
    splits = load_splits(config.images, config.seed)
    split = splits.validation if len(splits.validation.labels) else splits.train
    return split.pixels()[:_CHOOSES_BY]


def _certify(network: nn.Module, test: Split, config: Config) -> Certification:
    unattacked = dataclasses.replace(config, attack=dataclasses.replace(config.attack, names=[]))
    return certify_and_attack(network, test, unattacked)


def _radii(found: Certification, config: Config) -> dict[str, Any]:
    """The certified radii of the test split, in brief."""
    quantiles = torch.quantile(found.radii, torch.tensor(_QUANTILES, dtype=found.radii.dtype)).tolist()
    return {
        "dataset": config.dataset.name,
        "test_examples": len(found.radii),
        "arithmetic": config.certify_dtype,
        "clean_accuracy": found.clean_accuracy,
        "certified_accuracy": {radius: found.certified_accuracy(radius_value(radius)) for radius in config.eval_radii},
        "mean_radius": float(found.radii.mean()),
        "radius_quantiles": dict(zip(map(str, _QUANTILES), quantiles, strict=True)),
    }
