"""Feed, live, record: the only concurrency of the core.

::

    add ──▶ store ──page──▶ feed ──window──▶ live ──records──▶ record ──▶ store ──▶ observer
                                              │ gate ▶ backend   ▲
                                              └ (async) bucket ──┴─ collect

Rules:

1. *An item's life is one pipeline* (`live.py`): a slot, an attempt, a decision, a record; again.
2. *One writer* (`commit_records.py`): one record, then whatever has piled up while the last
   transaction was written; one commit. Only what is committed is counted, told, or makes room for
   the next.
3. *Structure is shutdown.* The left side (add, feed, rest, collect) stands inside the middle (the
   workers with the attempts in flight), the middle inside the right side (record). ``stop`` cancels
   the left side: whatever waits there ends at once, while attempts in flight finish and are
   recorded before the right side closes. ``cancel`` cancels the middle: attempts are cut off, and
   leave no trace.
4. *Nothing is held per item of the run*, only per item in the window.
5. *One cause leaves the house*: the first thing that went wrong is raised, alone, after everything
   that was handed to the recorder is durable.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
from anyio.abc import TaskGroup

from batchinfer.engine.collector import Collector, PollInterval
from batchinfer.engine.feeder import Feeder, ReadPage
from batchinfer.engine.recorder import ChangeNotifier, Recorder
from batchinfer.engine.run_policy import CheckSource, EngineContext, RunPolicy
from batchinfer.engine.scheduler import Scheduler
from batchinfer.errors import FatalError, RunAborted
from batchinfer.flow import (
    AttemptSample,
    ConcurrencyLimit,
    Gate,
    LimitAdjustment,
    RateLimiter,
    ServiceState,
)
from batchinfer.ports import (
    Backend,
    Clock,
    Committed,
    LimitChanged,
    Observer,
    OutputWatcher,
    Progress,
    Store,
)

__all__ = ["CheckSource", "Engine", "PollInterval", "ReadPage", "RunPolicy"]


class Engine:
    """Brings the pending items of a store to their end. One engine serves one run, once.

    Without `read` nothing is added, without `backend` nothing is fed (collect only). Async mode has
    a `watcher`, and a limit of objects `submitted` and unfinished beside the gate's, which is then
    one of uploads; without `collects` it only finds what was submitted before (submit only).
    `clock` is the wall clock; durations are the event loop's. `recorded` is awaited after each
    commit: who is slow there slows down the run, and nothing piles up. `source_away` tells whether
    the source is away, for items whose file cannot be read.
    """

    def __init__(
        self,
        *,
        store: Store,
        gate: Gate,
        observer: Observer,
        backend: Backend | None = None,
        read_page: ReadPage | None = None,
        watcher: OutputWatcher | None = None,
        submitted_limit: ConcurrencyLimit | None = None,
        collects: bool = True,
        policy: RunPolicy | None = None,
        poll_interval: PollInterval | None = None,
        on_commit: Callable[[Committed], Awaitable[None]] | None = None,
        check_source: CheckSource | None = None,
        clock: Clock = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.stopped = False
        """Whether `stop` or `cancel` was called: the run ended before its end."""
        self._store, self._gate, self._observer = store, gate, observer
        self._collects, self._clock, self._on_commit = collects, clock, on_commit
        policy = policy or RunPolicy()
        if submitted_limit is not None:
            # A second upload would overwrite the first, and that starts a second job
            # (docs/platform.md, "Input events").
            policy = replace(policy, hedge=False)
        self._policy = policy
        self._recorder = recorder = Recorder(store, ChangeNotifier())
        context = EngineContext(
            recorder, observer, policy, clock, jitter, self._on_limit_change, check_source
        )
        self._scheduler = None if backend is None else Scheduler(backend, gate, context)
        self._feeder = Feeder(
            store,
            gate,
            self._scheduler,
            context,
            read_page=read_page,
            submitted_limit=submitted_limit,
            collects=collects,
            get_progress=lambda: self.progress,
        )
        self._collector = None
        if watcher is not None:
            self._collector = Collector(
                watcher, store, context, poll_interval, self._on_output_sample
            )
        self._unsaved_limit_changes: list[LimitChanged] = []
        self._feed_scope, self._attempt_scope = anyio.CancelScope(), anyio.CancelScope()
        self._failure_cause: Exception | None = None

    async def run(self) -> Progress:
        """Run to the end, or until stopped; where the run stands then.

        Raises RunAborted for a fatal error, StoreError, SourceError; never a group.
        """
        async with anyio.create_task_group() as writer_tasks:
            writer_tasks.start_soon(self._run_guarded, self._run_writer)
            try:
                with self._attempt_scope:
                    async with anyio.create_task_group() as attempt_tasks:
                        with self._feed_scope:
                            await self._run_guarded(self._run_feed, attempt_tasks)
            finally:
                self._recorder.close()
        if self._failure_cause is not None:
            raise self._failure_cause
        return self.progress

    def stop(self) -> int:
        """Start nothing new, let what is in flight finish; how many that are."""
        self.stopped = True
        self._feed_scope.cancel()
        if self._scheduler is not None:
            self._scheduler.stop()
        return self._gate.in_flight

    def cancel(self) -> None:
        """Stop, and cut off what is in flight: it leaves no trace and is not counted."""
        self.stop()
        self._attempt_scope.cancel()

    @property
    def progress(self) -> Progress:
        """Where the run stands; only what is durable counts."""
        return Progress(
            self._recorder.counts,
            self._gate.in_flight,
            not self._feeder.is_source_open,
            dict(self._recorder.failed_by_code),
            None if self._scheduler is None else self._effective_limit,
            self.limit.estimated_servers,
            self.paused,
        )

    @property
    def service_state(self) -> ServiceState:
        """Whether the service is there, as far as is known."""
        return self._gate.health.state

    # At any time, by whoever looks after the run --------------------------------------------------

    @property
    def limit(self) -> ConcurrencyLimit:
        """The limit that counts: of calls in flight, or (async mode) of what is submitted."""
        return self._feeder.submitted_limit or self._gate.limit

    @limit.setter
    def limit(self, limit: ConcurrencyLimit) -> None:
        self._on_limit_change(LimitAdjustment(0.0, self.limit.value, limit.value, "as told"))
        if self._feeder.submitted_limit is None:
            self._gate.limit = limit
        else:
            self._feeder.set_submitted_limit(limit)
        self._wake_up()

    @property
    def _effective_limit(self) -> int:
        """What is allowed now, by the limit and by what this machine bears."""
        return (
            self._gate.effective_limit if self._feeder.submitted_limit is None else self.limit.value
        )

    @property
    def rate(self) -> float | None:
        """Starts per second, at most."""
        return self._gate.rate_limiter.rate if self._gate.rate_limiter else None

    @rate.setter
    def rate(self, rate: float | None) -> None:
        self._gate.rate_limiter = RateLimiter(rate) if rate else None
        self._wake_up()

    @property
    def paused(self) -> bool:
        """Whether nothing new begins, until that is taken back."""
        return self._gate.paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        self._gate.paused = paused
        self._wake_up()

    def _wake_up(self) -> None:
        self._recorder.changes.notify()
        if self._scheduler is not None:
            self._scheduler.spawn_workers()

    def _on_limit_change(self, change: LimitAdjustment | None) -> None:
        if change is not None and change.value != change.was:
            event = LimitChanged(self._clock(), change.was, change.value, change.reason)
            self._unsaved_limit_changes.append(event)
            self._observer.notify(event)
            self._recorder.changes.notify()

    def _on_output_sample(self, sample: AttemptSample) -> None:
        """Async mode: what an output says about the limit of what is submitted."""
        saturated = self._recorder.counts.pending > 0 and sample.in_flight >= self.limit.value
        self._on_limit_change(self.limit.update(replace(sample, saturated=saturated)))

    # The left side: add, feed, live, collect ------------------------------------------------------

    async def _run_feed(self, attempt_tasks: TaskGroup) -> None:
        await self._store.clamp_future_times(self._clock())
        await self._recorder.reload_counts()
        if self._collector is not None:
            await self._collector.recover_submissions()
        self._feeder.start()
        async with anyio.create_task_group() as feed_tasks:
            if self._collector is not None and self._collects:
                feed_tasks.start_soon(self._run_guarded, self._collector.run)
            feed_tasks.start_soon(self._run_guarded, self._feeder.read_source)
            if self._scheduler is not None:
                self._scheduler.start(
                    spawn_worker=lambda part, *args: attempt_tasks.start_soon(
                        self._run_guarded, part, *args
                    ),
                    spawn_background=lambda part, *args: feed_tasks.start_soon(
                        self._run_guarded, part, *args
                    ),
                )
            await self._run_guarded(self._feeder.feed)
            self._feed_scope.cancel()

    # The right side: record -----------------------------------------------------------------------

    async def _run_writer(self) -> None:
        try:
            while records := await self._recorder.write_batch():
                await self._save_limit_changes()
                event = Committed(records, self.progress)
                self._observer.notify(event)
                if self._on_commit is not None:
                    await self._on_commit(event)
                failed = self._recorder.failed_by_code.total()
                if self._policy.has_too_many_failures(
                    failed, failed + self._recorder.succeeded_count
                ):
                    self._abort(
                        RunAborted(
                            "too_many_failures", _too_many_failures_message(failed, self.progress)
                        )
                    )
            await self._save_limit_changes()
        finally:
            self._recorder.close_receiver()

    async def _save_limit_changes(self) -> None:
        changes, self._unsaved_limit_changes = self._unsaved_limit_changes, []
        if changes:
            await self._store.save_limit_changes(changes)

    # Ends -----------------------------------------------------------------------------------------

    async def _run_guarded(self, part: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a part of the house; if it fails, the run ends with that cause."""
        try:
            await part(*args)
        except FatalError as error:
            self._abort(RunAborted(error.code, str(error)))
        except Exception as error:  # noqa: BLE001 - raised again, alone, by run()
            self._abort(error)

    def _abort(self, cause: Exception) -> None:
        self._failure_cause = self._failure_cause or cause
        self.cancel()


def _too_many_failures_message(failed: int, progress: Progress) -> str:
    codes = ", ".join(f"{code}: {count}" for code, count in progress.failed_by_code.items())
    items = "1 item has" if failed == 1 else f"{failed} items have"
    return (
        f"{items} failed, more than --max-failures allows ({codes}). Look at one, remove the "
        "cause, then continue."
    )
