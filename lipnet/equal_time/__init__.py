"""Comparisons at equal time: every choice gets the same seconds, the same trials, one training and one test."""
