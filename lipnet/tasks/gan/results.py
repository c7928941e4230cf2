"""What ``results.json`` holds of a GAN. Imports no torch."""

from typing import TypedDict

from lipnet.options.config import Config
from lipnet.tasks.numbers import Numbers, numbers_of
from lipnet.tasks.results import Exported, Start


class Generated(TypedDict):
    """Exact optimal transport of test images, from generated and from training images."""

    samples: int
    transport_of_generated: float
    transport_of_training: float


class GeneratorResults(TypedDict):
    """What no other task has."""

    generator_parameters: int
    gan: Generated


class Results(Start, GeneratorResults):
    """``lipschitz_upper_bound`` is the critic's, where one is proved."""

    status: str
    lipschitz_upper_bound: float | None
    eval_seconds: float
    peak_memory_bytes: int | None


class ExportedGenerator(Exported):
    """What an export leaves of a GAN: the bound is the generator's, from latent vectors to images."""

    generator_parameters: int
    critic_lipschitz_upper_bound: float | None


def numbers(config: Config) -> Numbers:
    """The numbers of such a run; a penalised critic has no bound."""
    found = numbers_of(Results, {}, ("eval_seconds", "peak_memory_bytes"), without=Start)
    exported = numbers_of(ExportedGenerator, {}, without=Exported).measures
    return Numbers(found.measures, found.beside, ["critic_gap"] if config.images.validation else [], exported)
