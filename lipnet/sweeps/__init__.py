"""Sweeps: how runs are named, recognised, recorded and counted. Nothing here imports torch."""
