"""Whose fault a failure is: the item's, or that of something that all items share.

Rules:

1. *A file that cannot be read.* The item is tried once more, and its source is looked at. While the
   source is away nobody fails: it is waited for, for `SOURCE_PATIENCE` seconds if files were read
   in this process, else not at all; then the run ends, resumable (`source_unavailable`).
2. *A refusal* (403, say) is held back until the `Circuit` tells whose fault it is. Held back, it is
   recorded nowhere: whatever ends the run, its item is pending.
3. *A shortage of this machine* (open files, threads, memory) is no attempt. The run ends with it if
   nothing was answered for `give_up_after` seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import anyio

from batchinfer.domain import Attempt, Failure
from batchinfer.engine.flights import Life
from batchinfer.engine.terms import Tools
from batchinfer.errors import FatalError
from batchinfer.flow import Change, Circuit, Gate
from batchinfer.ports import Back, Notice, Waiting

SOURCE_AWAY: Final = "source_unavailable"
SOURCE_PATIENCE: Final = 60.0
REFUSED_PATIENCE: Final = 30.0
"""Seconds that a service which refuses everybody is asked again."""
TOLD_AFTER: Final = 5.0
"""Seconds after which a shortage is told as something that is waited for."""


class Suspicion:
    """See the rules above."""

    def __init__(self, gate: Gate, tools: Tools) -> None:
        self.circuit = Circuit()
        self.is_over = False
        """Whether the run is to end: then nothing is waited for."""
        self._gate, self._tools = gate, tools
        self._held: list[tuple[Life, Attempt]] = []
        self._has_read = False
        self._looking = anyio.Lock()
        self._short_since: float | None = None
        self._short_of: str | None = None
        """Of what, once it was told that this is waited for."""
        self._short_told: set[str] = set()

    # Refusals -------------------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """How many verdicts are held back."""
        return len(self._held)

    def hold(self, life: Life, attempt: Attempt) -> None:
        """Hold back the verdict on a refusal."""
        self._held.append((life, attempt))

    def release(self) -> Sequence[tuple[Life, Attempt]]:
        """Let go of all that is held back."""
        held, self._held = self._held, []
        return held

    # The source -----------------------------------------------------------------------------------

    async def is_items_fault(self, life: Life) -> bool:
        """Whether an item whose file cannot be read is at fault itself; else it is tried again.

        Waits while the source is away. Raises FatalError (`source_unavailable`).
        """
        check = self._tools.source_away
        if check is None:
            return True
        began = anyio.current_time()
        async with self._looking:  # one looks for all
            while (why := await check(life.item)) is not None and not self.is_over:
                self._wait_for_source(why, anyio.current_time() - began)
                await anyio.sleep(1.0)
        waited = anyio.current_time() - began
        if why is None and waited >= 1.0:
            self._tools.observer.notify(Back(SOURCE_AWAY, waited))
        second, life.looked_at = life.looked_at, True
        return second and why is None

    def _wait_for_source(self, why: str, seconds: float) -> None:
        patience = SOURCE_PATIENCE if self._has_read else 0.0
        patience = min(patience, self._tools.terms.give_up_after)
        if seconds >= patience:
            raise FatalError(
                SOURCE_AWAY,
                f"{why}. No item was failed for it: bring it back, then continue; if it has moved "
                "for good, name its new place with --source",
            )
        self._tools.observer.notify(Waiting(SOURCE_AWAY, why, seconds, patience))

    # This machine ---------------------------------------------------------------------------------

    def sent(self, *, answered: bool, now: float) -> None:
        """An attempt was sent: its files were read; `answered`: and the service answered it."""
        self._has_read = True
        if answered:
            before = self._gate.bound
            self._gate.own.answered(now)
            self._tools.adjusted(Change(now, before, self._gate.bound, "it suffices again"))
            self._no_more_short(now)

    def ran_short(self, failure: Failure, began: float, now: float) -> None:
        """An attempt could not be made for want of something of ours. Raises FatalError."""
        gate, before = self._gate, self._gate.bound
        gate.own.ran_short(gate.in_flight, began, now)
        self._tools.adjusted(Change(now, before, gate.bound, failure.code.replace("_", " ")))
        if failure.code not in self._short_told:
            self._short_told.add(failure.code)
            self._tools.observer.notify(Notice(failure.code, f"Running short: {failure.message}."))
        self._short_since = began if self._short_since is None else self._short_since
        seconds, patience = now - self._short_since, self._tools.terms.give_up_after
        if seconds > patience:
            raise FatalError(
                failure.code,
                f"Nothing could be sent for {seconds:.0f} s: {failure.message}. No item was failed "
                "for it; continue when that is mended",
            )
        if seconds > TOLD_AFTER:
            self._short_of = failure.code
            self._tools.observer.notify(Waiting(failure.code, failure.message, seconds, patience))

    def _no_more_short(self, now: float) -> None:
        since, self._short_since = self._short_since, None
        code, self._short_of = self._short_of, None
        if since is not None and code is not None:
            self._tools.observer.notify(Back(code, now - since))
