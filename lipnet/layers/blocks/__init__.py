"""Modules made of modules, and networks in one layer."""
