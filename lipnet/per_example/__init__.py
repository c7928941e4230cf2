"""Gradients of each example of a batch, their norms, and weighted sums of them, without a backward pass for each."""

from lipnet.per_example.effective import effective_parameters, pull_back
from lipnet.per_example.gradients import per_example_gradients, per_example_norms
from lipnet.per_example.recording import Tape, recording

__all__ = [
    "Tape",
    "effective_parameters",
    "per_example_gradients",
    "per_example_norms",
    "pull_back",
    "recording",
]
