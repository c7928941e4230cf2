"""Losses of classifiers, one file each."""
