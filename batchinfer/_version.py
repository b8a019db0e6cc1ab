"""The version, in a module of the lowest layer, so that every package may import it."""

__version__ = "0.1.0"
