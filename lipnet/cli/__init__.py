"""The command line: what is typed, before Hydra composes it, and what is said after a run."""
