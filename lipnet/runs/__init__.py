"""A run directory: its name, identity, files, checkpoints and lock, how it is loaded."""
