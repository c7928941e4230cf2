"""A whole configuration. Defaults live in ``conf/`` alone."""

from dataclasses import dataclass

from lipnet.options import checks
from lipnet.options.checks import boolean, checked, list_of, number, one_of, optional, path, radii_or_none, text, whole
from lipnet.options.conformal import Conformal
from lipnet.options.diagnostics import Diagnostics
from lipnet.options.images import Dataset
from lipnet.options.models import Generator
from lipnet.options.option import Named, of_kind
from lipnet.options.pairs import Estimate, Pair
from lipnet.options.posteriors import Problem, Proof
from lipnet.options.streams import Stream
from lipnet.options.tasks import Attack
from lipnet.options.training import Optimizer


@dataclass(frozen=True)
class Config:
    """A checked configuration: what every part of the program reads."""

    model: Named
    conv: Named
    shuffle: Named
    linear: Named
    activation: Named
    loss: Named
    optimizer: Optimizer
    scheduler: Named
    inference: Named
    dataset: Dataset | Pair | Problem | Stream
    task: Named
    attack: Attack
    estimate: Estimate
    generator: Generator
    proof: Proof
    diagnostics: Diagnostics
    conformal: Conformal
    seed: int = checked(checks.seed(bits=64))
    epochs: int = checked(whole(1))
    batch_size: int = checked(whole(1))
    device: str = checked(one_of("auto", "cpu", "cuda"))
    threads: int | None = checked(optional(whole(1)))
    amp: str = checked(one_of("none", "bf16"))
    averaging: float | None = checked(optional(number(above=0, below=1)))
    compile: bool = checked(boolean)
    progress: str = checked(one_of("auto", "on", "off"))
    eval_radii: list[str] = checked(radii_or_none)  # None for a pair of distributions: nothing that reads it is run
    certify_dtype: str = checked(one_of("float64", "float32"))
    singular_values_every: int = checked(whole(0))
    debug: str = checked(one_of("none", "fast", "overfit"))
    profile: bool = checked(boolean)
    bell: bool = checked(boolean)
    resume: str | None = checked(optional(path))
    run: str | None = checked(optional(path))
    rerun: str | None = checked(optional(path))
    objective: str | None = checked(optional(text))
    fail_fast: bool = checked(boolean)
    plugins: list[str] = checked(list_of(text))

    @property
    def images(self) -> Dataset:
        """The data set, of a run that the checks allow labelled images alone."""
        return of_kind(self.dataset, Dataset)

    @property
    def pair(self) -> Pair:
        """The data set, of a run that the checks allow a pair of distributions alone."""
        return of_kind(self.dataset, Pair)

    @property
    def problem(self) -> Problem:
        """The data set, of a run that the checks allow one with constraints alone."""
        return of_kind(self.dataset, Problem)

    @property
    def stream(self) -> Stream:
        """The data set, of a run that the checks allow a stream alone."""
        return of_kind(self.dataset, Stream)

    @property
    def bars_hidden(self) -> bool | None:
        """tqdm's ``disable``: ``None`` hides bars where there is no terminal."""
        return {"auto": None, "on": False, "off": True}[self.progress]
