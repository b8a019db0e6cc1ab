"""Who is compared: by name, how each is set up."""

# ruff: noqa: ARG002 - the arguments are those of `Health`

from __future__ import annotations

from collections.abc import Callable

from batchinfer.flow import ConcurrencyLimit, FixedLimit, ServiceHealth, ServiceSignal
from batchinfer.flow.adaptive_limit import AdaptiveLimit
from benchmarks.flow.peers import Aibrix, Aimd, Gradient2, Inspect

OURS = "ours"
NO_HEDGE = "ours, no hedge"
ORACLE = "oracle"


class Deaf(ServiceHealth):
    """The health of a plain gate: it hears nothing, and lets everything begin."""

    @property
    def is_down(self) -> bool:
        """Never known."""
        return False

    @property
    def next_open_at(self) -> float | None:
        """It is open."""
        return None

    def allows(self, now: float) -> bool:
        """Always."""
        return True

    def on_start(self, now: float) -> bool:
        """Nothing follows."""
        return False

    def on_outcome(
        self,
        signal: ServiceSignal,
        item: int,
        began: float,
        now: float,
        retry_after: float | None = None,
    ) -> bool:
        """Nothing follows."""
        return False


PEERS: dict[str, Callable[[], ConcurrencyLimit]] = {
    "fixed 1": lambda: FixedLimit(1),
    "fixed 8": lambda: FixedLimit(8),
    "fixed 64": lambda: FixedLimit(64),
    "fixed 256": lambda: FixedLimit(256),
    "aimd": Aimd,
    "gradient2": Gradient2,
    "aibrix": Aibrix,
    "inspect_ai": Inspect,
}


def our_limit(*, unlimited_wait: bool = False) -> ConcurrencyLimit:
    """Our own limit, with no setting at all; in async mode `patient`, as the program makes it."""
    return AdaptiveLimit(unlimited_wait=unlimited_wait)


NAMES = (OURS, *PEERS)
