"""Ctrl-C, SIGTERM, SIGHUP, SIGUSR1: the first one stops, the second one cancels. Both leave a
resumable run.

A terminal that closes sends SIGHUP, often twice (by the shell and by the kernel). SIGUSR1 is how a
batch system says that the time limit is near, perhaps to the job's script and to its steps, and
long before anything is urgent. So these two only ever count as the first one. Where SIGHUP is
ignored (`nohup`), it stays ignored.
"""  # noqa: D205 - one thought

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import anyio
from anyio.abc import TaskStatus

from batchinfer import api
from batchinfer.api.job import ResolvedJob
from batchinfer.config import RunSettings
from batchinfer.engine import Engine
from batchinfer.ports import Committed, Event, Notice, Observer, Progress
from batchinfer.text_format import format_duration

_SIGHUP = getattr(signal, "SIGHUP", None)  # Windows has neither
_SIGUSR1 = getattr(signal, "SIGUSR1", None)


class SignalHandler:
    """What a signal does, depending on how far the job is."""

    def __init__(
        self, observer: Observer, on_engine_start: Callable[[], None] | None = None
    ) -> None:
        self.observer = _ActivityObserver(observer)
        self.final_progress: Progress | None = None
        """Where the engine left the run; None until then."""
        self.patience: float | None = None
        """Seconds that an attempt in flight may take, for the person who waits for it."""
        self.startup_scope: anyio.CancelScope | None = None
        """Cancelled, it ends the job before its engine runs."""
        self._engine: Engine | None = None
        self._signal_count = 0
        self._on_engine_start = on_engine_start

    def attach_engine(self, engine: Engine) -> None:
        """The engine that a signal stops."""
        self._engine = engine
        if self._on_engine_start is not None:
            self._on_engine_start()

    def set_patience(self, settings: RunSettings) -> None:
        """Know how long what is in flight may take after a stop."""
        limits = [settings.grace, None if settings.mode.uses_bucket else settings.timeout]
        self.patience = min((limit for limit in limits if limit is not None), default=None)

    def save_progress(self) -> None:
        """Remember where the engine left the run."""
        if self._engine is not None:
            self.final_progress = self._engine.progress

    @property
    def has_started(self) -> bool:
        """Whether the engine was started: before, nothing was shown and nothing sent."""
        return self._engine is not None

    @property
    def has_recorded(self) -> bool:
        """Whether this process recorded anything: an attempt, an output."""
        return self.observer.has_recorded

    def handle_signal(self, signum: int = signal.SIGINT) -> None:
        """Stop, then cancel."""
        if signum in {_SIGHUP, _SIGUSR1} and (self._signal_count or self._is_stopping()):
            return
        self._signal_count += 1
        match self._engine, self._signal_count:
            case None, 1:
                self._notify("Stopping before anything was sent.")
                if self.startup_scope is not None:
                    self.startup_scope.cancel()
            case None, _:
                os._exit(api.EXIT_INTERRUPTED)
            case Engine() as engine, 1:
                self._notify(_format_stopping(engine.stop(), self.patience))
            case Engine() as engine, 2:
                engine.cancel()
                self._notify("Cancelled the running calls: they will be sent again.")
            case _:
                pass

    def _is_stopping(self) -> bool:
        """Whether the engine was told to stop by something else (`stop_after`, ctl)."""
        return self._engine is not None and self._engine.stopped

    def _notify(self, message: str) -> None:
        self.observer.notify(Notice("stopping", message))


class _ActivityObserver:
    """Passes events on, and remembers whether an attempt was among them."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.has_recorded = False

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        self.has_recorded |= isinstance(event, Committed) and bool(event.records)
        self._observer.notify(event)


async def run_with_signals(job: ResolvedJob, handler: SignalHandler) -> api.Summary | None:
    """`api.run_job`, stopped by signals; None when one came before the engine ran."""
    summary: api.Summary | None = None
    cause: Exception | None = None
    async with anyio.create_task_group() as group:
        await group.start(_watch_signals, handler.handle_signal)
        with anyio.CancelScope() as handler.startup_scope:
            try:
                summary = await api.run_job(job, handler.observer, on_started=handler.attach_engine)
                handler.save_progress()
            except Exception as error:  # noqa: BLE001 - raised below, alone, not in a group
                cause = error
        group.cancel_scope.cancel()
    if cause is not None:
        raise cause
    return summary


def exit_now() -> NoReturn:
    """End the process of a job that never began, without waiting for its threads: one that reads a
    terminal or a dead disk would never let go.
    """  # noqa: D205 - one thought
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(api.EXIT_INTERRUPTED)


def _format_stopping(in_flight: int, patience: float | None) -> str:
    if in_flight == 0:
        return "Stopping: no call is running."
    calls = "1 running call" if in_flight == 1 else f"{in_flight} running calls"
    limit = f" (up to {format_duration(patience)})" if patience is not None else ""
    them = "it" if in_flight == 1 else "them"
    return f"Stopping: waiting for {calls}{limit}. Press Ctrl-C again to cancel {them}."


def _stop_signals() -> tuple[signal.Signals, ...]:
    """The signals that stop a run in this process."""
    stop_signals = [signal.SIGINT, signal.SIGTERM]
    if _SIGUSR1 is not None:
        stop_signals.append(_SIGUSR1)
    if _SIGHUP is not None and signal.getsignal(_SIGHUP) is not signal.SIG_IGN:
        stop_signals.append(_SIGHUP)
    return tuple(stop_signals)


async def _watch_signals(
    on_signal: Callable[[int], None], *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    try:
        with anyio.open_signal_receiver(*_stop_signals()) as received_signals:
            task_status.started()
            async for signum in received_signals:
                on_signal(signum)
    except NotImplementedError:  # Windows
        await _watch_signals_by_handler(on_signal, task_status)


async def _watch_signals_by_handler(
    on_signal: Callable[[int], None], task_status: TaskStatus[None]
) -> None:
    loop = asyncio.get_running_loop()

    def handle(number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(on_signal, number)

    previous_handlers = {number: signal.signal(number, handle) for number in _stop_signals()}
    try:
        task_status.started()
        await anyio.sleep_forever()
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)
