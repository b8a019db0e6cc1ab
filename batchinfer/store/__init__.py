"""What remembers the run: SQLite in the run directory, and who may write it."""
