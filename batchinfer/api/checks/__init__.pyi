from batchinfer.api.checks.check_runner import CheckRequest as CheckRequest
from batchinfer.api.checks.check_runner import run_checks as run_checks
from batchinfer.api.checks.findings import Finding as Finding
from batchinfer.api.checks.findings import FindingState as FindingState
