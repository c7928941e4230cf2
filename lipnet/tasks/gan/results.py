"""What ``results.json`` holds of a GAN. Imports no torch."""

from typing import TypedDict

from lipnet.tasks.results import Start


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
