"""Networks that are sampled: one of them, and the mean of all."""

from torch import nn

from lipnet.layers.blocks.mean import Mean
from lipnet.layers.shape import Scale
from lipnet.models.build import build_model
from lipnet.models.choices import Shape
from lipnet.options.config import Config
from lipnet.options.option import of_kind
from lipnet.options.posteriors import Bayes, Inference


def build_member(config: Config, input_shape: Shape, outputs: int) -> nn.Sequential:
    """One network, its outputs multiplied by ``task.lipschitz``."""
    network = build_model(config, input_shape, outputs)
    factor = of_kind(config.task, Bayes).lipschitz
    return network if factor is None else nn.Sequential(*network, Scale(factor))


def build_posterior(config: Config, input_shape: Shape, outputs: int) -> nn.Sequential:
    """The mean of as many networks as the inference leaves."""
    count = of_kind(config.inference, Inference).members
    return nn.Sequential(Mean(*(build_member(config, input_shape, outputs) for _ in range(count))))
