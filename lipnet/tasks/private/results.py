"""What ``results.json`` holds of a classifier that was trained privately. Imports no torch."""

from typing import TypedDict

from lipnet.options.config import Config
from lipnet.tasks.numbers import Numbers, numbers_of
from lipnet.tasks.robustness.results import Results as Classifier
from lipnet.tasks.robustness.results import numbers as of_classifier


class Clip(TypedDict, total=False):
    """Of a run that clips gradients."""

    clip: float


class Privacy(Clip):
    """What the training guarantees each of its examples, and by what.

    ``epsilon`` and ``delta``: of all steps together, for neighbouring training sets that differ by one example.
    ``repeatable``: the noise came from a seed that was given, so that whoever
    knows it can subtract it.
    """

    epsilon: float
    delta: float
    noise_multiplier: float
    mode: str
    accountant: str
    steps: int
    sampling_rate: float
    examples: int
    repeatable: bool


class Spent(TypedDict):
    """What no other task has."""

    privacy: Privacy


class Results(Classifier, Spent):
    """Those of ``task=robustness``, and what was spent."""


def numbers(config: Config) -> Numbers:
    """The numbers of such a run."""
    classifier = of_classifier(config)
    own = numbers_of(Results, {}, without=Classifier).measures
    return Numbers([*classifier.measures, *own], classifier.beside, classifier.validation, classifier.exported)
