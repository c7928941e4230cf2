"""What ``results.json`` holds of a classifier trained by its mean margin. Imports no torch."""

from lipnet.options.config import Config
from lipnet.tasks.numbers import Numbers, numbers_of
from lipnet.tasks.results import Start


class Results(Start):
    """``mean_radius``: the mean L2 distance within which nothing changes the right answer, 0 for a wrong one."""

    status: str
    clean_accuracy: float
    mean_radius: float
    lipschitz_upper_bound: float


def numbers(config: Config) -> Numbers:
    """The numbers of such a run."""
    found = numbers_of(Results, {}, without=Start)
    return Numbers(found.measures, validation=["mean_radius"] if config.images.validation else [])
