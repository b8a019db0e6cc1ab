"""Stores of a run: SQLite in the run directory, with its lock, and one in memory."""
