"""How long a container works on a call.

The nth time that an item is served it takes as long whoever sent it, and whenever: so all
controllers meet the same work, and an item that is sent twice may be quicker the second time.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from random import Random
from typing import Literal

TAIL_SHARE = 0.01
TAIL_TIMES = 20.0


@dataclass(frozen=True, slots=True)
class Draws:
    """A distribution of service times, in seconds."""

    kind: Literal["constant", "lognormal", "tail"]
    mean: float
    """Of all but the tail."""
    sigma: float = 0.0
    """Of the logarithm."""
    seed: int = 0

    def seconds(self, position: int, nth: int) -> float:
        """How long the item at that position is worked on, the nth time (from 0)."""
        if self.kind == "constant":
            return self.mean
        chance = Random(self.seed * 1_000_003 + position * 101 + nth)
        # Of a log-normal of this mean.
        drawn = self.mean * exp(chance.gauss(-(self.sigma**2) / 2, self.sigma))
        if self.kind == "tail" and chance.random() < TAIL_SHARE:
            return drawn * TAIL_TIMES
        return drawn

    @property
    def average(self) -> float:
        """Expected, the tail included."""
        return self.mean * (1 + (TAIL_TIMES - 1) * TAIL_SHARE if self.kind == "tail" else 1)

    def total(self, items: int) -> float:
        """Seconds of work in the first `items` items when each is served once."""
        return sum(self.seconds(position, 0) for position in range(1, items + 1))
