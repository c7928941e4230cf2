"""Posteriors over networks whose outputs are constrained."""
