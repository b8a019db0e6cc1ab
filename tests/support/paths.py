"""Where things are in this repository."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
FIXTURES = TESTS / "fixtures"
"""Literal answers of real deployments, and run directories of older versions."""
MODELS = TESTS / "support" / "models"
"""The working directory of local services that run `local_model:predict` and the like."""
