"""Who is compared: by name, how each is set up."""

# ruff: noqa: ARG002 - the arguments are those of `Health`

from __future__ import annotations

from collections.abc import Callable

from batchinfer.flow import Fixed, Health, Limit, Sign
from batchinfer.flow.adaptive import Adaptive
from benchmarks.flow.peers import Aibrix, Aimd, Gradient2, Inspect

OURS = "ours"
NO_HEDGE = "ours, no hedge"
ORACLE = "oracle"


class Deaf(Health):
    """The health of a plain gate: it hears nothing, and lets everything begin."""

    @property
    def is_away(self) -> bool:
        """Never known."""
        return False

    @property
    def opens_at(self) -> float | None:
        """It is open."""
        return None

    def admits(self, now: float) -> bool:
        """Always."""
        return True

    def begun(self, now: float) -> bool:
        """Nothing follows."""
        return False

    def heard(
        self, sign: Sign, item: int, began: float, now: float, retry_after: float | None = None
    ) -> bool:
        """Nothing follows."""
        return False


PEERS: dict[str, Callable[[], Limit]] = {
    "fixed 1": lambda: Fixed(1),
    "fixed 8": lambda: Fixed(8),
    "fixed 64": lambda: Fixed(64),
    "fixed 256": lambda: Fixed(256),
    "aimd": Aimd,
    "gradient2": Gradient2,
    "aibrix": Aibrix,
    "inspect_ai": Inspect,
}


def our_limit(*, patient: bool = False) -> Limit:
    """Our own limit, with no setting at all; in async mode `patient`, as the program makes it."""
    return Adaptive(patient=patient)


NAMES = (OURS, *PEERS)
