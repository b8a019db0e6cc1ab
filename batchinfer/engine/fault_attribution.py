"""Whose fault a failure is: the item's, or that of something that all items share.

Rules:

1. *A file that cannot be read.* The item is tried once more, and its source is checked. While the
   source is away no item fails: it is waited for, for `SOURCE_OUTAGE_TIMEOUT` seconds if files were
   read in this process, else not at all; then the run ends, and can be resumed. A source that is
   watched is waited for without end.
2. *A denial* (403, say) is held back until the `DenialStreak` tells whose fault it is. Held back,
   it is recorded nowhere: whatever ends the run, its item is pending.
3. *A shortage of this machine* (open files, threads, memory) is no attempt. The run ends with it if
   nothing was answered for `give_up_after` seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import anyio

from batchinfer.domain import Attempt, Failure
from batchinfer.engine.attempt_runner import WorkItem
from batchinfer.engine.run_policy import CheckSource, RunPolicy
from batchinfer.failures import SOURCE_UNAVAILABLE, make_shortage_error, make_source_error
from batchinfer.flow import DenialStreak, Gate, LimitAdjustment
from batchinfer.ports import Notice, Observer, OutageEnded, OutageOngoing

SOURCE_OUTAGE_TIMEOUT: Final = 60.0
"""Seconds that a source which was there before is waited for."""
REPORT_SHORTAGE_AFTER_SECONDS: Final = 5.0
"""Seconds after which a shortage is reported as an outage."""


class FaultAttribution:
    """See the rules above."""

    def __init__(
        self,
        gate: Gate,
        policy: RunPolicy,
        observer: Observer,
        on_limit_change: Callable[[LimitAdjustment | None], None],
        check_source: CheckSource | None,
    ) -> None:
        self.denials = DenialStreak()
        self.is_stopping = False
        """Whether the run is ending: then nothing is waited for."""
        self._gate, self._policy, self._observer = gate, policy, observer
        self._on_limit_change, self._check_source = on_limit_change, check_source
        self._held_back: list[tuple[WorkItem, Attempt]] = []
        self._has_read_files = False
        self._source_check_lock = anyio.Lock()
        self._shortage_since: float | None = None
        self._reported_shortage: str | None = None
        """Its code, once it was reported as an outage."""
        self._noticed_shortages: set[str] = set()

    # Denials --------------------------------------------------------------------------------------

    @property
    def held_back_count(self) -> int:
        """How many verdicts are held back."""
        return len(self._held_back)

    @property
    def held_back_message(self) -> str:
        """Of the first denial that is held back."""
        outcome = self._held_back[0][1].outcome if self._held_back else None
        return outcome.message if isinstance(outcome, Failure) else ""

    def hold_back(self, work: WorkItem, attempt: Attempt) -> None:
        """Hold back the verdict on a denial."""
        self._held_back.append((work, attempt))

    def release_held_back(self) -> Sequence[tuple[WorkItem, Attempt]]:
        """Return all that is held back, and hold it no longer."""
        held_back, self._held_back = self._held_back, []
        return held_back

    # The source -----------------------------------------------------------------------------------

    async def is_item_at_fault(self, work: WorkItem) -> bool:
        """Whether an item whose file cannot be read is at fault itself; else it is tried again.

        Waits while the source is away. Raises FatalError (`source_unavailable`).
        """
        check = self._check_source
        if check is None:
            return True
        began = anyio.current_time()
        async with self._source_check_lock:  # one checks for all
            while (reason := await check(work.item)) is not None and not self.is_stopping:
                self._wait_for_source(reason, anyio.current_time() - began)
                await anyio.sleep(1.0)
        waited_seconds = anyio.current_time() - began
        if reason is None and waited_seconds >= 1.0:
            self._observer.notify(OutageEnded(SOURCE_UNAVAILABLE, waited_seconds))
        is_second_check, work.was_source_checked = work.was_source_checked, True
        return is_second_check and reason is None

    def _wait_for_source(self, reason: str, seconds: float) -> None:
        timeout: float | None = None
        if not self._policy.is_watching:
            timeout = SOURCE_OUTAGE_TIMEOUT if self._has_read_files else 0.0
            timeout = min(timeout, self._policy.give_up_after)
            if seconds >= timeout:
                raise make_source_error(reason)
        self._observer.notify(OutageOngoing(SOURCE_UNAVAILABLE, reason, seconds, timeout))

    # This machine ---------------------------------------------------------------------------------

    def on_sent(self, *, answered: bool, now: float) -> None:
        """An attempt was sent, so its files were read; `answered`: the service answered it, too."""
        self._has_read_files = True
        if answered and (self._gate.machine_capacity.was_short or self._shortage_since is not None):
            before = self._gate.effective_limit
            self._gate.machine_capacity.on_answer(now)
            self._on_limit_change(
                LimitAdjustment(
                    now, before, self._gate.effective_limit, "this machine has recovered"
                )
            )
            self._end_shortage(now)

    def on_shortage(self, failure: Failure, began: float, now: float) -> None:
        """An attempt could not be made: this machine is short of something. Raises FatalError."""
        gate, before = self._gate, self._gate.effective_limit
        gate.machine_capacity.on_shortage(gate.in_flight, began, now)
        self._on_limit_change(
            LimitAdjustment(now, before, gate.effective_limit, failure.code.replace("_", " "))
        )
        if failure.code not in self._noticed_shortages:
            self._noticed_shortages.add(failure.code)
            self._observer.notify(Notice(failure.code, f"Running short: {failure.message}."))
        self._shortage_since = began if self._shortage_since is None else self._shortage_since
        seconds, timeout = now - self._shortage_since, self._policy.give_up_after
        if seconds > timeout:
            raise make_shortage_error(failure, seconds)
        if seconds > REPORT_SHORTAGE_AFTER_SECONDS:
            self._reported_shortage = failure.code
            self._observer.notify(OutageOngoing(failure.code, failure.message, seconds, timeout))

    def _end_shortage(self, now: float) -> None:
        since, self._shortage_since = self._shortage_since, None
        code, self._reported_shortage = self._reported_shortage, None
        if since is not None and code is not None:
            self._observer.notify(OutageEnded(code, now - since))
