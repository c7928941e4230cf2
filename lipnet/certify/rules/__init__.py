"""Lipschitz rules of lipnet's and of torch's modules, by kind."""

from lipnet.certify.rules import activations, linear, normalization, pooling, rearrangements, upsampling

__all__ = ["activations", "linear", "normalization", "pooling", "rearrangements", "upsampling"]
