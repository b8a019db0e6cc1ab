"""How long attempts take of late: what is usual, so that the unusual can be told."""

from __future__ import annotations

from collections import deque
from typing import Final

MIN_LATENCY_SAMPLES: Final = 20
"""Durations before which nothing can be said."""
MAX_LATENCY_SAMPLES: Final = 500


class Latencies:
    """The last durations of answered attempts, in seconds."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=MAX_LATENCY_SAMPLES)

    def add(self, seconds: float) -> None:
        """An attempt was answered."""
        self._recent.append(seconds)

    def quantile(self, share: float) -> float | None:
        """Seconds within which that share of them was answered; None while too few were."""
        if len(self._recent) < MIN_LATENCY_SAMPLES:
            return None
        return sorted(self._recent)[int(share * (len(self._recent) - 1))]
