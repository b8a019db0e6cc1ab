"""Flow control: how much at once, how fast, and when not at all.

Rules that decide and things that do are kept apart. Pure are the rules: what an ended attempt says
(`signs`), the limit (`limit`, `adaptive`), what this machine bears (`own_limit`), the service's
health (`health`), whether refusals have one cause (`circuit`), the budget of retries (`budget`),
the pace (`pace`). The one thing that does is the `gate`.
"""

from batchinfer.flow.adaptive import Adaptive
from batchinfer.flow.budget import Budget
from batchinfer.flow.circuit import Circuit
from batchinfer.flow.gate import Gate
from batchinfer.flow.health import Condition, Health
from batchinfer.flow.limit import Change, Fixed, Limit
from batchinfer.flow.own_limit import OwnLimit
from batchinfer.flow.pace import Pace
from batchinfer.flow.signs import Sample, Sign, sign_of

__all__ = [
    "Adaptive",
    "Budget",
    "Change",
    "Circuit",
    "Condition",
    "Fixed",
    "Gate",
    "Health",
    "Limit",
    "OwnLimit",
    "Pace",
    "Sample",
    "Sign",
    "sign_of",
]
