"""What is proved of lipnet's and of torch's modules, by kind: the slope and the rounding of each, side by side."""

from lipnet.certify.rules import activations, blocks, graph, linear, normalization, pooling, rearrangements, upsampling

__all__ = ["activations", "blocks", "graph", "linear", "normalization", "pooling", "rearrangements", "upsampling"]
