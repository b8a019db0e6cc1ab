"""`batchinfer check`: everything that can be seen before anything is sent."""

from batchinfer.api.checks.check_runner import CheckRequest, run_checks
from batchinfer.api.checks.findings import Finding, FindingState

__all__ = ["CheckRequest", "Finding", "FindingState", "run_checks"]
