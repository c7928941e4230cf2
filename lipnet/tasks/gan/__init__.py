"""Generative adversarial networks with a 1-Lipschitz critic."""
