"""Async mode, the collecting phase: one loop polls the bucket, for all items at once.

Between two polls it looks at outputs that notifications name, where there are any; polls are rare
as long as the watcher trusts them. What is missing is decided by polls alone.

What is overdue is decided without a timer per item and without trusting the server's clock. A
submitted item counts as lost when it is older than `overdue_after` seconds as seen from the
*horizon*, the later of

* the submission time of the newest item whose output has arrived: an item that was submitted so
  much later and is done has overtaken it;
* now, once nothing at all has arrived for `overdue_after` seconds of complete polls (time in which
  the bucket did not answer, or this machine slept, is no evidence).

So a long queue is never mistaken for loss, and a lost event (docs/platform.md, "Order and loss": at
most once, and OSCAR never retries a job) is found both in the middle of a run and at its end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import anyio

from batchinfer.domain import Attempt, Failure, OpenItem, Outcome, ServiceSignal, State, get_signal
from batchinfer.engine.recorder import ChangeNotifier, Recorder, make_record
from batchinfer.engine.run_policy import RunPolicy
from batchinfer.errors import RunAborted
from batchinfer.failures import BUCKET_UNREACHABLE, make_no_output_failure
from batchinfer.flow.retries import Downtime, ModelKillCounter, Retry, WaitForService, decide
from batchinfer.ports import (
    Clock,
    NotifiedWatcher,
    Observer,
    OutageEnded,
    OutageOngoing,
    OutputArrival,
    OutputWatcher,
    Submissions,
    SubmittedObject,
)

OVERDUE_PAGE_ITEMS = 500
LARGE_OUTPUT_BYTES = 1 << 20
"""Bytes of an arrival from which on it is durable before the next one is taken: what waits to be
written counts against no budget."""
CLEANUP_TIMEOUT = 10.0
"""Seconds that a stop waits at most for the cleanup."""


@dataclass(frozen=True, slots=True)
class PollInterval:
    """Seconds between polls without notifications: a share of the silence before.

    Who has waited long for a result does not mind if it is seen a little later.
    """

    min_seconds: float = 0.5
    prompt_seconds: float = 2.5
    """The longest pause in a run whose outputs come every few minutes: half of them are seen within
    half of it."""
    max_seconds: float = 10.0
    """The longest pause when nothing comes any more."""
    prompt_share: float = 1 / 20
    patient_share: float = 1 / 240
    """Shares of the silence, up to `prompt_seconds` and up to `max_seconds`."""

    def choose_pause(self, silence_seconds: float) -> float:
        """The pause when nothing has arrived for so long."""
        prompt = min(self.prompt_share * silence_seconds, self.prompt_seconds)
        pause = max(self.min_seconds, prompt, self.patient_share * silence_seconds)
        return min(pause, self.max_seconds)


class Collector:
    """Turns what the watcher finds into records.

    `on_result` is told of each result of a newest attempt: its signal, and how many seconds after
    its submission it arrived.
    """

    def __init__(
        self,
        watcher: OutputWatcher,
        submissions: Submissions,
        recorder: Recorder,
        *,
        policy: RunPolicy,
        observer: Observer,
        clock: Clock,
        jitter: Callable[[], float],
        poll_interval: PollInterval,
        on_result: Callable[[ServiceSignal, float], None],
    ) -> None:
        self._watcher, self._submissions, self._recorder = watcher, submissions, recorder
        self._policy, self._observer, self._clock, self._jitter = policy, observer, clock, jitter
        self._poll_interval, self._on_result = poll_interval, on_result
        self._downtime, self._has_answered = Downtime(), False
        self._kill_counter = ModelKillCounter()
        self._quiet_seconds = 0.0
        self._arrival_count = self._polled_arrival_count = 0
        """Arrivals so far, and how many they were after the last poll."""
        self._notices = ChangeNotifier()
        """Counts what notifications have told."""
        self._newest_submitted_at = 0.0

    async def recover_submissions(self) -> None:
        """Find in the bucket what an earlier process submitted but was killed before recording."""

        async def mark_submitted(objects: Sequence[SubmittedObject]) -> None:
            await self._submissions.mark_submitted(objects, self._clock())

        while not await self._call_bucket(  # noqa: ASYNC110
            self._watcher.find_unrecorded(self._submissions, mark_submitted)
        ):
            await anyio.sleep(self._poll_interval.max_seconds)
        await self._recorder.reload_counts()

    async def run(self) -> None:
        """Poll, record, poll again, until cancelled: the caller knows when nothing is left."""
        polled_at = arrived_at = anyio.current_time()
        pause = self._poll_interval.min_seconds
        while True:
            change_count = self._recorder.changes.count
            is_poll_complete = await self._call_bucket(
                self._watcher.poll(self._submissions, self._on_output)
            )
            await self._flush_and_cleanup()
            now = anyio.current_time()
            if self._arrival_count > self._polled_arrival_count:
                self._polled_arrival_count = self._arrival_count
                arrived_at, self._quiet_seconds = now, 0.0
            elif is_poll_complete:
                # A gap much longer than the pause was sleep or an outage, not silence.
                self._quiet_seconds += min(now - polled_at, 2 * pause)
            polled_at = now
            if is_poll_complete:
                await self._fail_overdue()
            if self._recorder.counts.submitted == 0:
                await self._recorder.changes.wait_changed(change_count)
            pause = await self._wait_for_poll(self._poll_interval.choose_pause(now - arrived_at))

    async def listen(self) -> None:
        """Follow the watcher's notifications, if it has any, until cancelled."""
        if isinstance(self._watcher, NotifiedWatcher):
            await self._watcher.listen(self._notices.notify)

    async def _wait_for_poll(self, usual_pause: float) -> float:
        """Wait until the next poll is due, and collect what is named meanwhile.

        Returns the longest pause that was meant to be waited for.
        """
        watcher, began, longest_pause = self._watcher, anyio.current_time(), 0.0
        if not isinstance(watcher, NotifiedWatcher):
            await anyio.sleep(usual_pause)
            return usual_pause
        while True:
            count, advice = self._notices.count, watcher.advise()
            pause = usual_pause if advice.pause is None else advice.pause
            longest_pause = max(longest_pause, pause)
            now, next_at = anyio.current_time(), began + pause
            if now >= next_at:
                return longest_pause
            if advice.named_at is not None:
                if now >= advice.named_at:
                    is_answered = await self._call_bucket(
                        watcher.poll_named(self._submissions, self._on_output)
                    )
                    await self._flush_and_cleanup()
                    if not is_answered:
                        await anyio.sleep(self._poll_interval.min_seconds)
                    continue
                next_at = min(next_at, advice.named_at)
            with anyio.move_on_after(next_at - now):
                await self._notices.wait_changed(count)

    async def _flush_and_cleanup(self) -> None:
        """Wait until what arrived is on record, then clean up: even if that record was the last."""
        with anyio.move_on_after(CLEANUP_TIMEOUT, shield=True):
            await self._recorder.flush()
            with suppress(OSError):  # the next poll tries again
                await self._watcher.cleanup(self._submissions)

    async def _call_bucket(self, call: Awaitable[None]) -> bool:
        """Whether the bucket answered to the end; RunAborted when it has been away too long."""
        began = anyio.current_time()
        try:
            await call
        except OSError as error:
            self._downtime.mark_down(began)  # a bucket that is silent has been away since then
            down_seconds = self._downtime.mark_down(anyio.current_time())
            if down_seconds > (timeout := self._policy.outage_timeout(answered=self._has_answered)):
                raise RunAborted(BUCKET_UNREACHABLE, str(error)) from error
            self._observer.notify(
                OutageOngoing(BUCKET_UNREACHABLE, str(error), down_seconds, timeout)
            )
            return False
        self._has_answered = True
        if self._downtime.is_down:
            down_seconds_total = self._downtime.mark_up(anyio.current_time())
            self._observer.notify(OutageEnded(BUCKET_UNREACHABLE, down_seconds_total))
        return True

    async def _on_output(self, arrival: OutputArrival) -> None:
        item = arrival.item
        newest_attempt = item.state is State.SUBMITTED and arrival.attempt == item.attempt
        if isinstance(arrival.outcome, Failure) and not newest_attempt:
            return  # an older attempt's failure: that attempt has been given up already
        self._arrival_count += 1
        if newest_attempt and item.submitted_at is not None:
            self._newest_submitted_at = max(self._newest_submitted_at, item.submitted_at)
            seconds = max(self._clock() - item.submitted_at, 0.0)
            self._on_result(get_signal(arrival.outcome), seconds)
        await self._put_record(item, arrival.attempt, arrival.outcome)
        if arrival.size >= LARGE_OUTPUT_BYTES:
            await self._recorder.flush()

    async def _fail_overdue(self) -> None:
        after, now = self._policy.overdue_after, self._clock()
        if self._quiet_seconds >= after:
            await self._submissions.clamp_future_times(now)  # the clock may have been set meanwhile
        horizon = min(
            max(self._newest_submitted_at, now if self._quiet_seconds >= after else 0.0), now
        )
        while overdue_items := await self._submissions.fetch_overdue(
            horizon - after, OVERDUE_PAGE_ITEMS
        ):
            for item in overdue_items:
                await self._put_record(item, item.attempt, make_no_output_failure(after))
            await self._recorder.flush()
            self._quiet_seconds = 0.0

    async def _put_record(self, item: OpenItem, number: int, outcome: Outcome) -> None:
        now = self._clock()
        started = now if item.submitted_at is None else min(item.submitted_at, now)
        attempt = Attempt(number, started, round(max(now - started, 0.0), 3), outcome)
        attempts, kills = (
            number - item.uncounted_attempts,
            self._kill_counter.record_attempt(item.position, outcome),
        )
        decision = decide(self._policy.retry, outcome, attempts, self._jitter(), kills)
        if isinstance(decision, WaitForService):
            decision = Retry(decision.delay)
        await self._recorder.put(make_record(item, attempt, decision, now))
