"""Sweeps: how they are planned, launched, recorded and counted. Nothing here imports torch."""
