"""Wasserstein-1 distances: the training of a critic, what it proves, its figure and table."""
