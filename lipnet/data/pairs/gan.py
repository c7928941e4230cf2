"""A generator's images against real ones."""

from types import SimpleNamespace

import torch
from torch import Tensor

from lipnet.data.images import Split, load_files
from lipnet.data.pairs.pair import Pair, pair_stream
from lipnet.errors import UserError
from lipnet.models.gan import Gan, generate, latent_vectors
from lipnet.options.pairs import GanPair
from lipnet.randomness import stream
from lipnet.runs.load import load_run


def gan(option: GanPair) -> Pair:
    """Images of a trained GAN, and the images of the set that it was trained on.

    The generator is in evaluation mode, so that its images are independent. The real images that the critic is trained
    and selected on are training images; those that it is evaluated on are test images, which neither it nor the
    generator has seen: what is bounded is the distance between its distribution and that of real images.

    Raises:
        UserError: there is no such run or checkpoint, it is not of ``task=gan`` or of other images, or the set has too
            few images.
    """
    trained = _generator(option)
    train, test = load_files(SimpleNamespace(name=option.source, root=option.root, download=option.download))
    _check_counts(option, train, test)
    test = test.take(torch.randperm(len(test), generator=pair_stream(option.seed)))
    train = train.take(torch.randperm(len(train), generator=stream(option.seed, "training images of a pair")))

    def real(part: str, count: int, random: torch.Generator) -> Tensor:
        if part == "evaluation":
            return _pixels(test, torch.arange(count))
        if part == "selection":
            return _pixels(train, torch.arange(count))
        return _pixels(train, torch.randint(option.selection_samples, len(train), (count,), generator=random))

    def draw(part: str, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        latent = latent_vectors(count, trained.latent, random)
        return generate(trained.generator, latent).double(), real(part, count, random)

    return Pair(draw=draw, units="L2 distance between images with pixels in [0, 1]")


def _generator(option: GanPair) -> Gan:
    run = load_run(str(option.run))
    if not isinstance(run.model, Gan):
        raise UserError(f"dataset.run={option.run}: a run of task={run.config.task.name}; give one of task=gan.")
    if run.config.dataset.name != option.source:
        raise UserError(
            f"dataset.source={option.source}: the generator in {option.run} was trained on {run.config.dataset.name}; "
            "leave dataset.source out, or give another run."
        )
    return run.model


def _check_counts(option: GanPair, train: Split, test: Split) -> None:
    if option.evaluation_samples > len(test):
        raise UserError(
            f"dataset.evaluation_samples={option.evaluation_samples}: {option.source} has {len(test):,} test images; "
            "use fewer."
        )
    if option.selection_samples >= len(train):
        raise UserError(
            f"dataset.selection_samples={option.selection_samples}: {option.source} has {len(train):,} training "
            "images, and some must be left to train on; use fewer."
        )


def _pixels(split: Split, rows: Tensor) -> Tensor:
    return split.images[rows].double() / split.maximum
