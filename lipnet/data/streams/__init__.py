"""Streams of observations: processes whose best prediction is known, series, and what comes in while it is read."""

from lipnet.data.streams.source import Goal, Observation, Source, load_source

__all__ = ["Goal", "Observation", "Source", "load_source"]
