"""Data of the user's own: what is found of it before it is loaded. Imports no torch."""
