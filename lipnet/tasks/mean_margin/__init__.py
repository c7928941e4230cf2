"""Classifiers trained by their mean margin."""
