"""``results.json`` of a run of each task is as its record declares it, and docs/results.md lists the same keys."""

import re
import types
from typing import Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from launching import BAYES, GAN, ONLINE, PAIR, ROOT, finished_run, launch, results

from lipnet.cli.sweeps.objective import numbers_in, possible
from lipnet.runs.record import Added
from lipnet.runs.recorded import recorded_config
from lipnet.tasks.bayes.results import Found as Posterior
from lipnet.tasks.bayes.results import Results as OfPosterior
from lipnet.tasks.gan.results import ExportedGenerator, Generated
from lipnet.tasks.gan.results import Results as OfGan
from lipnet.tasks.online.results import Predicted, Sensitivity
from lipnet.tasks.online.results import Results as OfStream
from lipnet.tasks.private.results import Privacy
from lipnet.tasks.results import Exported, Failed, Header, NotStarted, Start, write_failure
from lipnet.tasks.robustness.results import Conformal, ExportedClassifier
from lipnet.tasks.robustness.results import Results as OfClassifier
from lipnet.tasks.wasserstein.results import Distance, Gradient
from lipnet.tasks.wasserstein.results import Results as OfCritic

PENALISED = (*GAN[:9], "model=gan_critic", "model.channels=[4]", "model.hidden=[8]", "progress=off", "threads=1")
ASSURED = {"evaluated_again"}
FEW = {"foolbox_examples"}  # asked for by name
# The second distribution of a cone is a point, where no potential has a gradient.
OF_CONES = {
    "wasserstein.true_value_error", "wasserstein.gradient.second.cosine", "wasserstein.gradient.second.squared_error",
}  # fmt: skip
UNBOUNDED = {"lipschitz_upper_bound"}
PARTICLES = (
    "inference=svgd", "inference.particles=3", "inference.descent=2", "inference.iterations=2", "model.hidden=[4]",
    "task.unconstrained=false", "proof.attack_steps=0", "progress=off", "threads=1",
)  # fmt: skip
# So few draws tell ArviZ nothing; particles and evaluations have no chains, and what is not asked for has no twin.
UNDIAGNOSED = {"bayes.r_hat", "bayes.effective_samples"}
OF_CHAINS = {"bayes.acceptance", "bayes.divergences"}
TWIN = {f"bayes.{name}" for name in get_type_hints(Posterior) if name.endswith("_unconstrained")}
UNKNOWN = {"online.optimal_loss", "online.optimal_prediction_loss", "online.optimal_prediction_last_half_loss"}
# What is run -> the record that it leaves, and the numbers that it might hold and does not, for want of what they are
# of; {classifier}, {critic}, {gan} and {penalised} are finished runs.
RUNS = {
    "a classifier": (None, OfClassifier, FEW),
    "a classifier again": (("task=evaluate", "run={classifier}"), OfClassifier, FEW),
    "a classifier with sets": (
        ("task=evaluate", "run={classifier}", "conformal.alpha=0.5"), OfClassifier, FEW,
    ),
    "a critic": (PAIR, OfCritic, OF_CONES),
    "a critic of a published pair": (
        (*PAIR, "dataset=minfunnel", "dataset.dimension=2"), OfCritic, set(),
    ),
    "a critic again": (("task=evaluate", "run={critic}"), OfCritic, OF_CONES),
    "a GAN": (GAN, OfGan, set()),
    "a GAN with a penalised critic": (PENALISED, OfGan, UNBOUNDED),
    "a GAN again": (("task=evaluate", "run={gan}"), OfGan, set()),
    "a GAN with a penalised critic again": (("task=evaluate", "run={penalised}"), OfGan, UNBOUNDED),
    "a posterior": (BAYES, OfPosterior, UNDIAGNOSED),
    "a posterior by particles": ((*BAYES[:2], *PARTICLES), OfPosterior, UNDIAGNOSED | OF_CHAINS | TWIN),
    "a posterior again": (("task=evaluate", "run={posterior}"), OfPosterior, UNDIAGNOSED | OF_CHAINS),
    "an exported posterior": (("task=export", "run={posterior}", "task.onnx=false"), Exported, set()),
    "a predicted process": (ONLINE, OfStream, set()),
    "a predicted series": (
        (*ONLINE[:-1], "dataset=series", "dataset.file={series}", "task.aggregator=leader"), OfStream,
        UNKNOWN | {"online.regret_bound"},
    ),
    "an exported classifier": (("task=export", "run={classifier}", "task.onnx=false"), ExportedClassifier, ASSURED),
    "an assured classifier": (
        ("task=export", "run={classifier}", "task.onnx=false", "task.assured=true"), ExportedClassifier, set(),
    ),
    "an exported critic": (("task=export", "run={critic}", "task.onnx=false"), Exported, set()),
    "an exported generator": (("task=export", "run={gan}", "task.onnx=false"), ExportedGenerator, set()),
    "an exported generator of a penalised critic": (
        ("task=export", "run={penalised}", "task.onnx=false"), ExportedGenerator, {"critic_lipschitz_upper_bound"},
    ),
    "a failure": (("dataset=mnist", "dataset.root=/nowhere", "dataset.download=false"), Failed, set()),
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Name -> a finished run's directory."""
    found = {"classifier": finished_run(tmp_path_factory)}
    for name, overrides in {"critic": PAIR, "gan": GAN, "posterior": BAYES, "penalised": PENALISED}.items():
        found[name] = tmp_path_factory.mktemp(name)
        assert launch(*overrides, f"hydra.run.dir={found[name]}").code == 0
    found["series"] = tmp_path_factory.mktemp("series") / "series.csv"
    found["series"].write_text("\n".join(str(place % 7) for place in range(30)))
    return found


def declared(record):
    """Every key of a record with its type."""
    return get_type_hints(record) | get_type_hints(Added)


def alternatives(kind):
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def problems(value, kind, path=""):
    """Where a value is not of its type; a key whose type admits ``None`` may be missing."""
    if is_typeddict(kind):
        return problems_of_record(value, get_type_hints(kind), path, kind.__optional_keys__)
    kinds = alternatives(kind)
    if len(kinds) > 1:
        found = [problems(value, each, path) for each in kinds]
        return [] if [] in found else found[0]
    if type(value) is not (get_origin(kind) or kind):
        return [f"{path} is {value!r}, not {kind}"]
    if not isinstance(value, dict):
        return []
    of_values = get_args(kind)[1]
    return [problem for key, part in value.items() for problem in problems(part, of_values, f"{path}.{key}")]


def problems_of_record(value, kinds, path="", optional=frozenset()):
    found = [f"{path}.{key} is not declared" for key in value if key not in kinds]
    for key, kind in kinds.items():
        if key in value:
            found += problems(value[key], kind, f"{path}.{key}")
        elif type(None) not in alternatives(kind) and key not in optional:
            found.append(f"{path}.{key} is missing")
    return found


@pytest.mark.parametrize("what", RUNS)
def test_results_are_as_declared(tmp_path, without_figures, finished, what):
    overrides, record, lacking = RUNS[what]
    directory = finished["classifier"]
    if overrides is not None:
        directory = tmp_path
        outcome = launch(*(text.format(**finished) for text in overrides), f"hydra.run.dir={directory}")
        assert outcome.code == (record is Failed), outcome.output
    assert problems_of_record(results(directory), declared(record), optional=record.__optional_keys__) == []
    assert ("conformal" in results(directory)) == (what == "a classifier with sets")
    if record is not Failed:  # and all its numbers can be objectives, as was said before it was run
        names = possible(recorded_config(directory))
        found = {name for name, _ in numbers_in(results(directory))}
        assert found <= set(names)
        assert set(names) - found == lacking
        assert len(names) == len(set(names))


def test_a_job_that_did_not_start_leaves_what_is_declared_too(tmp_path):
    write_failure(tmp_path, {"overrides": ["seed=0"]}, "it could not be read")
    assert results(tmp_path) == {"overrides": ["seed=0"], "status": "failed", "error": "it could not be read"}
    assert problems_of_record(results(tmp_path), get_type_hints(NotStarted)) == []


DAMAGE = {
    "a key too many": ({"another": 1}, ".another is not declared"),
    "a text for a number": ({"threads": "1"}, ".threads is '1', not <class 'int'>"),
    "a whole number that is true": ({"seed": True}, ".seed is True, not <class 'int'>"),
    "a key of a table": ({"versions": {"torch": 2}}, ".versions.torch is 2, not <class 'str'>"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_is_not_declared_is_found(tmp_path_factory, what):
    change, said = DAMAGE[what]
    found = results(finished_run(tmp_path_factory))
    assert problems_of_record(found | change, declared(OfClassifier), optional={"conformal"}) == [said]


def test_a_missing_key_is_found(tmp_path_factory):
    found = results(finished_run(tmp_path_factory))
    del found["clean_accuracy"]
    missing = problems_of_record(found, declared(OfClassifier), optional={"conformal"})
    assert missing == [".clean_accuracy is missing"]


def own(record, *others):
    """The keys of a record that the others have not."""
    return set(get_type_hints(record)).difference(*(get_type_hints(other) for other in others))


SECTIONS = {
    "Every run": own(Header) | own(Added),
    "A run that failed": own(Failed, Header),
    "Every run that trains or evaluates": own(Start, Header),
    "A classifier": own(OfClassifier, Start),
    "Its conformal sets": own(Conformal),
    "Its privacy": own(Privacy),
    "A critic": own(OfCritic, Start),
    "Its distance": own(Distance),
    "Its gradient": own(Gradient),
    "A GAN": own(OfGan, Start),
    "Its images": own(Generated),
    "A posterior": own(OfPosterior, Start),
    "Its constraints": own(Posterior),
    "An online prediction": own(OfStream, Header),
    "Its stream": own(Predicted),
    "Its sensitivity": own(Sensitivity),
    "An export": own(ExportedClassifier, Header) | own(ExportedGenerator, Header),
}


def test_the_page_lists_every_key_in_its_place():
    page = (ROOT / "docs" / "results.md").read_text()
    listed = {}
    for section in re.split(r"^##+ ", page, flags=re.MULTILINE)[1:]:
        listed[section.partition("\n")[0]] = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    assert {title: sorted(keys) for title, keys in listed.items()} == {
        title: sorted(keys) for title, keys in SECTIONS.items()
    }
    assert own(Exported) <= own(ExportedClassifier)
