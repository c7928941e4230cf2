"""Differentially private training of a certified classifier."""
