"""Terminals and pictures: tables that fit, text that every terminal takes, figures without a display."""
