"""Being without workers: reported as an outage, and given up after a while."""

from __future__ import annotations

from typing import Final

from batchinfer.errors import FatalError
from batchinfer.ports import Observer, OutageEnded, OutageOngoing

NO_WORKERS: Final = "no_workers"
REFUSED_SECONDS: Final = 10.0
"""Seconds for which another worker is waited for when all have refused."""
REPORT_MISSING_AFTER_SECONDS: Final = 5.0
"""Seconds without a worker after which that is reported."""


class WorkerOutage:
    """How long there has been no worker for attempts that wait for one.

    `give_up_after`: seconds until the run ends; `refused_seconds`: when all workers refuse. Times
    are the event loop's.
    """

    def __init__(
        self, observer: Observer, *, give_up_after: float, refused_seconds: float = REFUSED_SECONDS
    ) -> None:
        self._observer = observer
        self._give_up_after, self._refused_seconds = give_up_after, refused_seconds
        self._since: float | None = None
        self._is_reported = False

    def end(self, now: float) -> None:
        """There is a worker."""
        since, self._since = self._since, None
        if self._is_reported and since is not None:
            self._is_reported = False
            self._observer.notify(OutageEnded(NO_WORKERS, now - since))

    def update(
        self, now: float, *, refusals: str, are_all_refusing: bool, scheduler_trouble: str
    ) -> FatalError | None:
        """There is none, and attempts wait; the error when that has lasted for too long.

        `refusals`: why workers that are there refuse. `scheduler_trouble`: why it is not known
        which are there. Both empty where there is nothing to say.
        """
        self._since = now if self._since is None else self._since
        seconds = now - self._since
        if are_all_refusing and seconds > self._refused_seconds:
            return FatalError(
                "workers_refused",
                f"No worker of the cluster can take part: {refusals}. "
                "No item was failed for it; continue when that is fixed, or without --on",
            )
        trouble = f"some are there and can take no part: {refusals}" if refusals else ""
        trouble = trouble or scheduler_trouble
        message = f"There has been no worker{f' ({trouble})' if trouble else ''}"
        if seconds > self._give_up_after:
            return FatalError(
                NO_WORKERS,
                f"{message} for {seconds:.0f} s. No item was failed for it: "
                "start workers, then continue; or continue without --on",
            )
        if seconds > REPORT_MISSING_AFTER_SECONDS:
            self._is_reported = True
            self._observer.notify(OutageOngoing(NO_WORKERS, message, seconds, self._give_up_after))
        return None
