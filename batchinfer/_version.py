"""The version: in a file of its own, on the lowest floor, so that every room may tell it."""

__version__ = "0.1.0"
