"""Provable robustness: its training, evaluation, attacks, figures and table."""
