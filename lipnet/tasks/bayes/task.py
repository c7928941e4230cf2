"""Bayesian networks whose outputs are constrained: sample a posterior, prove what it keeps, compare it."""

import dataclasses
import logging
import math
import time
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lipnet.certify import lipschitz_bound
from lipnet.data.problems import Problem, load_problem
from lipnet.display.fitting import Fitting, log_fitting
from lipnet.layers.blocks.mean import Mean
from lipnet.models.posterior import build_member
from lipnet.models.summary import count_parameters, summarize
from lipnet.options.config import Config
from lipnet.options.facts import inputs_and_outputs
from lipnet.options.option import of_kind
from lipnet.options.posteriors import Bayes as Option
from lipnet.options.posteriors import Inference
from lipnet.options.registry import load
from lipnet.randomness import stream
from lipnet.runs import checkpoint
from lipnet.runs.files import remove_parts
from lipnet.runs.load import load_run, new_model
from lipnet.runs.machine import peak_memory_bytes, versions
from lipnet.runs.record import without_missing
from lipnet.runs.storage import dispensable
from lipnet.tasks.bayes.amortised import amortised_prior
from lipnet.tasks.bayes.attacking import violated_anywhere
from lipnet.tasks.bayes.constraints import Constraint, constraints_of
from lipnet.tasks.bayes.density import Density, Functions, gaussian
from lipnet.tasks.bayes.diagnostics import diagnose, notices
from lipnet.tasks.bayes.evaluation import Measured, measure, normalised, outputs_at
from lipnet.tasks.bayes.figure import FIGURE, posterior_figure
from lipnet.tasks.bayes.posterior import FILE, Samples, fill, load_posterior, save_posterior
from lipnet.tasks.bayes.proof import Checked, prove
from lipnet.tasks.bayes.results import Diagnostics, Found, Results
from lipnet.tasks.bayes.sampler import Sampler
from lipnet.tasks.bayes.sampling import Sampling, joined
from lipnet.tasks.bayes.table import bayes_table
from lipnet.tasks.driver import report
from lipnet.tasks.results import Start
from lipnet.tasks.task import Charts, Own, Part
from lipnet.training.tracker import Tracker, open_tracker

log = logging.getLogger("lipnet")

CONSTRAINED, FREE = "constrained", "unconstrained"
_COMPARED = ("violation", "functions_violating", "certified_violation", "train_error")


class Bayes(Own[Results]):
    """Samples the posterior with its constraints, and its twin without; nothing of it is trained by the loop."""

    charts: ClassVar[Charts] = {"sampling": {"log density": ["Multiline", [".*/log_density"]]}}
    found: dict[str, tuple[Tensor, Tensor]]  # of each posterior, vectors and weights

    @cached_property
    def trained(self) -> Config:
        """The configuration of the run that sampled: this one's, or that of the run which an evaluation reads."""
        return self.config if self.config.run is None else load_run(self.config.run).config

    @cached_property
    def option(self) -> Option:
        return of_kind(self.trained.task, Option)

    @property
    def facts(self) -> dict[str, Any]:
        """What every file of this run says of it."""
        return {
            "config": dataclasses.asdict(self.config),
            "choices": self.session.choices,
            "versions": versions(),
        }

    @cached_property
    def problem(self) -> Problem:
        return load_problem(self.config.problem, self.config.seed)

    @cached_property
    def member(self) -> nn.Sequential:
        """A network of the architecture, whose own parameters stand for nothing."""
        return build_member(self.trained, *inputs_and_outputs(self.config.dataset)).eval()

    @cached_property
    def constraints(self) -> list[Constraint]:
        return constraints_of(self.config.problem, self.problem.domain)

    @property
    def compared(self) -> list[str]:
        return [f"test/{name}" for name in _COMPARED]

    def density(self, name: str) -> Density:
        """The log density of a posterior."""
        functions, data = Functions(self.member.double()), self.config.problem
        constraints = self.constraints if name == CONSTRAINED else []
        prior, noise = gaussian(self.option.deviation, functions.size), getattr(data, "noise", 1.0)
        random = stream(self.config.seed, "points") if data.resample else None
        return Density(functions, self.problem, prior, constraints, noise, random)

    def sampled_density(self, name: str) -> Density:
        """What is sampled: under an amortised prior the constraints are in that, and there are no factors."""
        density, option = self.density(name), self.option
        if name == CONSTRAINED and option.prior == "amortised":
            random = stream(self.config.seed, "amortised prior")
            mean, deviation = amortised_prior(density, option.amortised_iterations, option.amortised_rate, random)
            return dataclasses.replace(density, prior=(mean, deviation / option.tightening), constraints=[])
        return density

    def carry_out(self) -> Results:
        """Samples, or goes on, and evaluates."""
        config, directory = self.config, self.session.directory
        names = (CONSTRAINED, FREE) if self.option.unconstrained else (CONSTRAINED,)
        make = load("inference", config.inference.name)
        samplers: dict[str, Sampler] = {
            name: make(config.inference, self.sampled_density(name), config.seed, name) for name in names
        }
        summary = summarize(self.member, inputs_and_outputs(config.dataset)[0])
        log.info(
            "%s, %d examples, %d networks by %s\n%s", config.dataset.name, len(self.problem.targets),
            of_kind(config.inference, Inference).members, config.inference.name, summary,
        )  # fmt: skip
        if self.session.device.type != "cpu":
            log.info("networks this small are sampled on the CPU, whatever the device is")
        remove_parts(directory)
        sampling = Sampling(self.session, samplers, self.facts)
        sampling.restore()
        tracker = open_tracker(directory, sampling.done)
        try:
            if tracker.fresh:
                tracker.hyperparameters(config, self.compared, self.session.typed_keys)
                tracker.text("network", summary, 0)
                tracker.layout(self.charts)
            samples = sampling.run(tracker)
            self._save(samplers, samples)
            start: Start = {
                **self.session.header,
                "run": None,
                "parameters": count_parameters(self.member),
                "epochs": sampling.iterations,
                "best_epoch": sampling.iterations,
                "train_seconds": sampling.seconds,
                "samples_per_second": sum(len(joined(each)) for each in samples.values()) / sampling.seconds,
                "validation": None,
            }
            self.own = samplers[CONSTRAINED].diagnostics(sampling.states[CONSTRAINED])
            results = report(self, load_run(directory).model, start, tracker)
            sampling.previous.unlink(missing_ok=True)
            return results
        finally:
            tracker.close()

    own: Diagnostics

    @torch.no_grad()
    def _save(self, samplers: dict[str, Sampler], samples: dict[str, Tensor]) -> None:
        """Writes the posterior's file, and the mean of all networks as the run's own."""
        config, directory = self.config, self.session.directory
        density, posteriors = self.density(CONSTRAINED), {}
        for name, drawn in samples.items():
            vectors = joined(drawn)
            posteriors[name] = Samples(vectors, len(drawn), density.log_factors(vectors))
        save_posterior(directory / FILE, posteriors, density.functions.shapes, **self.facts)
        model, vectors = new_model(config), posteriors[CONSTRAINED].vectors
        fill(model, density.functions, vectors, torch.full((len(vectors),), 1 / len(vectors)))
        self._save_mean(model, samplers[CONSTRAINED].iterations)

    def _save_mean(self, model: nn.Module, iterations: int) -> None:
        path = self.session.directory / "checkpoints" / "best.pt"
        checkpoint.save(path, {"model": model.state_dict(), "progress": {"epoch": iterations}, **self.facts})

    def evaluate(self, model: nn.Module, start: Start) -> Results:
        """Measures the posteriors in the file beside the run's checkpoints, and proves what can be proved."""
        started, density = time.perf_counter(), self.density(CONSTRAINED)
        where = self.session.directory if self.config.run is None else Path(self.config.run)
        posteriors = load_posterior(where / FILE, density.functions.size)
        sampled = posteriors[CONSTRAINED]
        proved = self._proved(density.functions, sampled.vectors)
        weights = self._weights(sampled, proved)
        kept = weights > 0
        attacked = self._attacked(density.functions, sampled.vectors[kept])
        self.found = {CONSTRAINED: (sampled.vectors, weights)}
        with_ = measure(density, self.constraints, sampled.vectors[kept], weights[kept], self.config.seed)
        without: Measured | None = None
        if FREE in posteriors:
            free = posteriors[FREE].vectors
            equal = torch.full((len(free),), 1 / len(free), dtype=torch.float64)
            self.found[FREE] = (free, equal)
            without = measure(density, self.constraints, free, equal, self.config.seed)
        where_ = torch.cat([self.problem.inputs, *density.points])[:: max(1, len(density.inputs) // 20)]
        with torch.no_grad():
            diagnostics = diagnose(outputs_at(density, sampled.vectors, where_).flatten(1), sampled.chains)
        found: Found = {
            **_named(with_, ""),  # type: ignore[typeddict-item]
            **(_named(without, "_unconstrained") if without else {}),
            "certified_violation": float((weights * ~proved).sum()),
            "unproved": float((~proved).double().mean()),
            "attacked_violation": float(attacked.double().mean()),
            "members": int(kept.sum()),
            "effective_members": float(1 / (weights**2).sum()),
            **diagnostics,
            **getattr(self, "own", {}),
        }
        fill(model, density.functions, sampled.vectors, weights)
        if self.config.run is None:
            self._save_mean(model, start["best_epoch"])  # with the weights that each network has now
        return {
            **start,
            "status": "completed",
            "bayes": without_missing(found),
            "lipschitz_upper_bound": lipschitz_bound(model, inputs_and_outputs(self.config.dataset)[0]),
            "eval_seconds": time.perf_counter() - started,
            "peak_memory_bytes": peak_memory_bytes(self.session.device),
        }

    def _proved(self, functions: Functions, vectors: Tensor) -> Tensor:
        """Of which networks it is proved that they keep all constraints: ``(members,)`` bool."""
        shape, limit = inputs_and_outputs(self.config.dataset)[0], self.config.proof.cells
        proved = torch.zeros(len(vectors), dtype=torch.bool)
        member = build_member(self.trained, *inputs_and_outputs(self.config.dataset)).eval()
        for number, vector in enumerate(vectors):
            with torch.no_grad():
                for name, values in functions.named(vector).items():
                    member.get_parameter(name).copy_(values)
            checked = Checked(member, shape)
            proved[number] = all(prove(checked, constraint, limit).proved for constraint in self.constraints)
        return proved

    def _weights(self, sampled: Samples, proved: Tensor) -> Tensor:
        """The weight of each network in the mean."""
        what = self.config.proof.unproved
        if what == "auto":
            what = "keep" if self.option.lipschitz is None else "reject"
        if what != "keep" and not bool(proved.any()):
            log.warning(
                "of no network it is proved that it keeps the constraints, so that all are kept; more proof.cells, a "
                "smaller task.lipschitz or a larger dataset.weight would help."
            )
            what = "keep"
        if what == "keep":
            return normalised(torch.zeros(len(proved), dtype=torch.float64))
        hard = -sampled.log_factors if what == "reweight" else torch.zeros(len(proved), dtype=torch.float64)
        return normalised(torch.where(proved, hard, -math.inf))

    def _attacked(self, functions: Functions, vectors: Tensor) -> Tensor:
        """Of which networks a violation was found."""
        found, proof = torch.zeros(len(vectors), dtype=torch.bool), self.config.proof
        for number, constraint in enumerate(self.constraints):
            random = stream(self.config.seed, "attack on a constraint", number)
            found |= violated_anywhere(functions, vectors, constraint, proof.attack_steps, proof.attack_starts, random)
        return found

    def exported(self, model: nn.Module) -> Part:
        """The mean as layers that an export has; its weights are those that the run's evaluation gave."""
        shape, outputs = inputs_and_outputs(self.config.dataset)
        mean = next(module for module in model.modules() if isinstance(module, Mean))
        return Part(
            mean.concatenated(outputs).eval(), shape, "inputs", "outputs",
            f"outputs = network(inputs)  # float32, (n, {shape[0]})",
        )  # fmt: skip

    def show(self, results: Results, tracker: Tracker) -> None:
        directory, step = self.session.directory, (results["epochs"] or results["best_epoch"]) + 1
        with dispensable("TensorBoard", directory):
            for name in _COMPARED:
                tracker.writer.add_scalar(f"test/{name}", results["bayes"][name], step)  # type: ignore[literal-required]
            tracker.text("results", bayes_table(results, self.problem.classifies), step)
        with dispensable(FIGURE, directory):
            title = f"{self.config.dataset.name}, {self.config.model.name}, {self.config.inference.name}"
            figure = posterior_figure(self.density(CONSTRAINED), self.constraints, self.found, title)
            figure.savefig(directory / FIGURE, dpi=150)
            tracker.figure("test/posterior", figure, step)
        for notice in notices(results["bayes"]):  # type: ignore[arg-type]
            log.warning("%s", notice)
        log_fitting(log, "%s", Fitting(lambda width: bayes_table(results, self.problem.classifies, width)))


def _named(measured: Measured, ending: str) -> dict[str, float | None]:
    return {f"{name}{ending}": value for name, value in dataclasses.asdict(measured).items()}
