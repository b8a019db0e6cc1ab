"""Feed, attempt, record: the only concurrency of the core.

::

    read_source ─▶ queue ─page─▶ feed ─window─▶ attempts ─records─▶ recorder ─▶ sink ─▶ observer
                                                │ gate ▶ backend    ▲
                                                └ (async) bucket ───┴─ collector

Rules:

1. *An item passes one pipeline* (`scheduler.py`): a slot, an attempt, a decision, a record; again.
2. *One writer* (`recorder.py`): one record, then whatever has arrived while the last transaction
   was written; one commit. Only what is committed is counted, shown, or makes room for the next.
3. *The nesting of the task groups is the shutdown.* The feed scope (read the source, feed, back
   off, collect) lies inside the attempt scope (the workers with the attempts in flight), which lies
   inside the writer. ``stop`` cancels the feed scope: whatever waits there ends at once, while
   attempts in flight finish and are recorded before the writer ends. ``cancel`` cancels the attempt
   scope: attempts are cut off, and leave no trace.
4. *Nothing is held per item of the run*, only per item in the window.
5. *One cause is raised*: the first thing that went wrong, alone, after everything that was handed
   to the recorder is durable.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import anyio
from anyio.abc import TaskGroup

from batchinfer.domain import ServiceSignal
from batchinfer.engine.collector import Collector, PollInterval
from batchinfer.engine.fault_attribution import FaultAttribution
from batchinfer.engine.feeder import Feeder, ReadPage
from batchinfer.engine.recorder import ChangeNotifier, Recorder
from batchinfer.engine.run_policy import CheckSource, RunPolicy
from batchinfer.engine.scheduler import Scheduler, ServiceRole
from batchinfer.engine.service_pool import PooledService, ServicePool
from batchinfer.errors import FatalError, RunAborted
from batchinfer.failures import make_too_many_failures_error
from batchinfer.flow import (
    AttemptSample,
    ConcurrencyLimit,
    Gate,
    GateGroup,
    LimitAdjustment,
    RateLimiter,
    ServiceState,
)
from batchinfer.flow.loop_clock import loop_time
from batchinfer.ports import (
    Backend,
    Clock,
    Committed,
    LimitChanged,
    Observer,
    OutputWatcher,
    Progress,
    PutBack,
    RecordSink,
    Submissions,
    WorkQueue,
)


class Engine:
    """Brings the pending items of a queue to their end. One engine serves one run, once.

    `services` in place of `gate` and `backend`: several services of one model share the work.
    Without `read_page` nothing is added to the queue, without `backend` nothing is sent (collect
    only). Async mode has a `watcher`, the `submissions` it looks after, and a `submitted_limit` of
    objects submitted and unfinished; the gate's limit is then one of uploads. Without `collects` it
    only finds what was submitted before (submit only). `clock` is the wall clock; durations are the
    event loop's. `on_commit` is awaited after each commit: a slow one applies backpressure to the
    run. `check_source` tells whether the source of an unreadable file is away. `jitter` is uniform
    in [0, 1), and the only randomness.
    """

    def __init__(
        self,
        *,
        queue: WorkQueue,
        sink: RecordSink,
        observer: Observer,
        gate: Gate | None = None,
        backend: Backend | None = None,
        services: Sequence[PooledService] = (),
        read_page: ReadPage | None = None,
        watcher: OutputWatcher | None = None,
        submissions: Submissions | None = None,
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
        self._queue, self._sink, self._observer = queue, sink, observer
        self._gate = gate or GateGroup([service.gate for service in services])
        self._collects, self._clock, self._on_commit = collects, clock, on_commit
        policy = policy or RunPolicy()
        if submitted_limit is not None:
            # A second upload would overwrite the first, and that starts a second job (contract 2).
            policy = replace(policy, hedge=False)
        self._policy = policy
        self._recorder = recorder = Recorder(sink, ChangeNotifier())
        self._scheduler: Scheduler | ServicePool | None = None

        def make_scheduler(
            backend: Backend, gate: Gate, role: ServiceRole | None, outage_observer: Observer
        ) -> Scheduler:
            on_limit_change = self._follow_limit(gate, role)
            gate.on_limit_change = on_limit_change
            return Scheduler(
                backend,
                gate,
                recorder,
                FaultAttribution(gate, policy, observer, on_limit_change, check_source),
                policy=policy,
                observer=outage_observer,
                clock=clock,
                jitter=jitter,
                on_limit_change=on_limit_change,
                role=role,
            )

        if services:
            self._scheduler = ServicePool(services, make_scheduler, observer)
        elif gate is not None and backend is not None:
            self._scheduler = make_scheduler(backend, gate, None, observer)
        self._feeder = Feeder(
            queue,
            self._gate,
            self._scheduler,
            recorder,
            policy=policy,
            observer=observer,
            clock=clock,
            read_page=read_page,
            submitted_limit=submitted_limit,
            collects=collects,
            get_progress=lambda: self.progress,
        )
        self._collector = None
        if watcher is not None:
            if submissions is None:
                raise ValueError("a watcher needs the submissions that it looks after")
            self._collector = Collector(
                watcher,
                submissions,
                recorder,
                policy=policy,
                observer=observer,
                clock=clock,
                jitter=jitter,
                poll_interval=poll_interval or PollInterval(),
                on_result=self._on_result,
            )
        self._unsaved_limit_changes: list[LimitChanged] = []
        self._feed_scope, self._attempt_scope = anyio.CancelScope(), anyio.CancelScope()
        self._failure_cause: Exception | None = None

    async def run(self) -> Progress:
        """Run to the end, or until stopped; return where the run stands then.

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
        """Start nothing new, let what is in flight finish; return how many attempts that are.

        What is not finished after the policy's `grace` is cut off, as by `cancel`.
        """
        if not self.stopped and self._policy.grace is not None:
            self._attempt_scope.deadline = loop_time() + self._policy.grace
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
        """Where the run stands; only what is durable is counted."""
        return Progress(
            self._recorder.counts,
            self._gate.in_flight,
            not self._feeder.is_source_open,
            dict(self._recorder.failed_by_code),
            None if self._scheduler is None else self._effective_limit,
            self.limit.estimated_servers,
            self.paused,
            self._policy.is_watching and self._feeder.is_source_open,
        )

    def note_put_back(self, put_back: PutBack) -> None:
        """Finished items were put back to pending (`WorkQueue.put_back`): they are fed again."""
        self._recorder.count_put_back(put_back)

    @property
    def service_state(self) -> ServiceState:
        """Whether the service is there, as far as is known."""
        return self._gate.health.state

    # What may be changed while the run goes on ----------------------------------------------------

    @property
    def limit(self) -> ConcurrencyLimit:
        """The limit that counts: of calls in flight, or (async mode) of what is submitted."""
        return self._feeder.submitted_limit or self._gate.limit

    @limit.setter
    def limit(self, limit: ConcurrencyLimit) -> None:
        self._on_limit_change(LimitAdjustment(0.0, self.limit.value, limit.value, "set by ctl"))
        if self._feeder.submitted_limit is None:
            self._gate.limit = limit
        else:
            self._feeder.set_submitted_limit(limit)
        self._wake_up()

    @property
    def _effective_limit(self) -> int:
        """What is allowed now, by the limit and by the capacity of this machine."""
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
        """Whether no new attempt begins until this is set back."""
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

    def _follow_limit(
        self, gate: Gate, role: ServiceRole | None
    ) -> Callable[[LimitAdjustment | None], None]:
        """What is done when the limit of one service moves: of several, their sum is said."""
        if role is None:
            return self._on_limit_change

        def on_limit_change(change: LimitAdjustment | None) -> None:
            if change is not None:
                others = self._gate.limit.value - gate.limit.value
                was, value = others + change.was, others + change.value
                reason = f"{role.name}: {change.reason}"
                self._on_limit_change(LimitAdjustment(change.changed_at, was, value, reason))

        return on_limit_change

    def _on_result(self, signal: ServiceSignal, seconds: float) -> None:
        """Async mode: adjust the limit of what is submitted by a result that has arrived."""
        if (limit := self.limit).learns:
            counts = self._recorder.counts
            saturated = counts.pending > 0 and counts.submitted >= limit.value
            sample = AttemptSample(
                signal, loop_time(), seconds, counts.submitted, counts.submitted, saturated
            )
            self._on_limit_change(limit.update(sample))

    # The feed scope: read the source, feed, back off, collect -------------------------------------

    async def _run_feed(self, attempt_tasks: TaskGroup) -> None:
        await self._queue.clamp_future_times(self._clock())
        await self._recorder.reload_counts()
        if self._collector is not None:
            await self._collector.recover_submissions()
        self._feeder.start()
        async with anyio.create_task_group() as feed_tasks:
            if self._collector is not None and self._collects:
                feed_tasks.start_soon(self._run_guarded, self._collector.listen)
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

    # The writer -----------------------------------------------------------------------------------

    async def _run_writer(self) -> None:
        try:
            while records := await self._recorder.write_batch():
                await self._save_limit_changes()
                event = Committed(records, self.progress)
                self._observer.notify(event)
                if self._on_commit is not None:
                    await self._on_commit(event)
                failed = self._recorder.failed_by_code.total()
                finished = failed + self._recorder.succeeded_count
                if self._policy.has_too_many_failures(failed, finished):
                    self._abort(make_too_many_failures_error(failed, event.progress))
            await self._save_limit_changes()
        finally:
            self._recorder.close_receiver()

    async def _save_limit_changes(self) -> None:
        changes, self._unsaved_limit_changes = self._unsaved_limit_changes, []
        if changes:
            await self._sink.save_limit_changes(changes)

    # Ends -----------------------------------------------------------------------------------------

    async def _run_guarded(self, part: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a part of the engine; if it fails, the run ends with that cause."""
        try:
            await part(*args)
        except FatalError as error:
            self._abort(RunAborted(error.code, error.message))
        except Exception as error:  # noqa: BLE001 - raised again, alone, by run()
            self._abort(error)

    def _abort(self, cause: Exception) -> None:
        self._failure_cause = self._failure_cause or cause
        self.cancel()
