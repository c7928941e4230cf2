"""Networks made of layers, from checked configurations."""

from lipnet.models.build import build_gan, build_model
from lipnet.models.summary import summarize

__all__ = ["build_gan", "build_model", "summarize"]
