"""Flow control: how much at once, how fast, and when not at all.

Rules that decide and things that do are kept apart. Pure are the rules: what an ended attempt says
(`signs`), the limit (`limit`, `adaptive`), what this machine bears (`own_limit`), the service's
health (`health`), whether refusals have one cause (`circuit`), the budget of retries (`budget`),
the pace (`pace`). The one thing that does is the `gate`.
"""

from batchinfer.flow.adaptive_limit import AdaptiveLimit
from batchinfer.flow.concurrency_limit import ConcurrencyLimit, FixedLimit, LimitAdjustment
from batchinfer.flow.denial_streak import DenialStreak
from batchinfer.flow.gate import Gate
from batchinfer.flow.machine_capacity import MachineCapacity
from batchinfer.flow.rate_limiters import RateLimiter
from batchinfer.flow.retry_budget import RetryBudget
from batchinfer.flow.service_health import ServiceHealth, ServiceState
from batchinfer.flow.service_signals import AttemptSample, ServiceSignal, classify_outcome

__all__ = [
    "AdaptiveLimit",
    "AttemptSample",
    "ConcurrencyLimit",
    "DenialStreak",
    "FixedLimit",
    "Gate",
    "LimitAdjustment",
    "MachineCapacity",
    "RateLimiter",
    "RetryBudget",
    "ServiceHealth",
    "ServiceSignal",
    "ServiceState",
    "classify_outcome",
]
