"""Flow control: how much at once, how fast, and when not at all.

Rules that decide are pure and apart from what acts. The rules are the limit (`concurrency_limit`,
`adaptive_limit`), the service's health (`service_health`), retries (`retries`) and rates
(`rate_limiters`). What acts are the `gate` and the `memory_budget`.
"""

from batchinfer.domain import ServiceSignal
from batchinfer.flow.adaptive_limit import AdaptiveLimit
from batchinfer.flow.concurrency_limit import (
    AttemptSample,
    ConcurrencyLimit,
    FixedLimit,
    LimitAdjustment,
    MachineCapacity,
)
from batchinfer.flow.gate import Gate
from batchinfer.flow.gate_group import GateGroup
from batchinfer.flow.rate_limiters import RateLimiter
from batchinfer.flow.retries import RetryBudget, RetryPolicy
from batchinfer.flow.service_health import DenialStreak, ServiceHealth, ServiceState

__all__ = [
    "AdaptiveLimit",
    "AttemptSample",
    "ConcurrencyLimit",
    "DenialStreak",
    "FixedLimit",
    "Gate",
    "GateGroup",
    "LimitAdjustment",
    "MachineCapacity",
    "RateLimiter",
    "RetryBudget",
    "RetryPolicy",
    "ServiceHealth",
    "ServiceSignal",
    "ServiceState",
]
