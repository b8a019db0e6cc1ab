"""Ctrl-C, SIGTERM, SIGHUP: the first one stops, the second one cancels. Both leave a resumable run.

A terminal that closes sends SIGHUP, often twice (by the shell and by the kernel), so SIGHUP only
ever counts as the first one. Where it is ignored (`nohup`), it stays ignored.
"""

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
from batchinfer.engine import Engine
from batchinfer.ports import Event, Notice, Observer, Progress, Recorded
from batchinfer.progress import duration

_HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none


class Attendant:
    """Knows what a signal means right now."""

    def __init__(self, observer: Observer, under_way: Callable[[], None] | None = None) -> None:
        self.observer = _Noting(observer)
        self.progress: Progress | None = None
        """Where the engine left the run; None while it has not."""
        self.patience: float | None = None
        """Seconds that an attempt in flight may take, for the person who waits for it."""
        self.beginning: anyio.CancelScope | None = None
        """Cancelled, it ends the job before its engine runs."""
        self._engine: Engine | None = None
        self._count = 0
        self._under_way = under_way

    def started(self, engine: Engine) -> None:
        """From now on there is something to stop."""
        self._engine = engine
        if self._under_way is not None:
            self._under_way()

    def ended(self) -> None:
        """The engine has done what it could."""
        if self._engine is not None:
            self.progress = self._engine.progress

    @property
    def has_started(self) -> bool:
        """Whether the engine was there: before, nothing was shown and nothing sent."""
        return self._engine is not None

    @property
    def has_recorded(self) -> bool:
        """Whether anything came of this go: an attempt was made, an output was found."""
        return self.observer.has_recorded

    def signalled(self, number: int = signal.SIGINT) -> None:
        """A signal has come."""
        if number == _HANGUP and self._count:
            return
        self._count += 1
        match self._engine, self._count:
            case None, 1:
                self._say("Stopping before anything was sent.")
                if self.beginning is not None:
                    self.beginning.cancel()
            case None, _:
                os._exit(api.EXIT_INTERRUPTED)
            case Engine() as engine, 1:
                self._say(_stopping(engine.stop(), self.patience))
            case Engine() as engine, 2:
                engine.cancel()
                self._say("Cancelled the running calls: they will be sent again.")
            case _:
                pass

    def _say(self, message: str) -> None:
        self.observer.notify(Notice("stopping", message))


class _Noting:
    """Passes events on, and remembers whether an attempt was among them."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.has_recorded = False

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        self.has_recorded |= isinstance(event, Recorded) and bool(event.records)
        self._observer.notify(event)


async def attended(job: api.Job, attendant: Attendant) -> api.Summary | None:
    """`api.do`, with an eye on signals; None when one came before the engine ran."""
    summary: api.Summary | None = None
    cause: Exception | None = None
    async with anyio.create_task_group() as group:
        await group.start(_heed, attendant.signalled)
        with anyio.CancelScope() as attendant.beginning:
            try:
                summary = await api.do(job, attendant.observer, started=attendant.started)
                attendant.ended()
            except Exception as error:  # noqa: BLE001 - raised below, alone, not in a group
                cause = error
        group.cancel_scope.cancel()
    if cause is not None:
        raise cause
    return summary


def leave() -> NoReturn:
    """End the process of a job that never began, without waiting for its threads: one that reads a
    terminal or a dead disk would never let go.
    """  # noqa: D205 - one thought
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(api.EXIT_INTERRUPTED)


def _stopping(in_flight: int, patience: float | None) -> str:
    if in_flight == 0:
        return "Stopping: no call is running."
    calls = "1 running call" if in_flight == 1 else f"{in_flight} running calls"
    limit = f" (up to {duration(patience)})" if patience is not None else ""
    them = "it" if in_flight == 1 else "them"
    return f"Stopping: waiting for {calls}{limit}. Press Ctrl-C again to cancel {them}."


def _signals() -> tuple[signal.Signals, ...]:
    """The signals that stop a run in this process."""
    both = (signal.SIGINT, signal.SIGTERM)
    if _HANGUP is None or signal.getsignal(_HANGUP) is signal.SIG_IGN:
        return both
    return (*both, _HANGUP)


async def _heed(
    signalled: Callable[[int], None], *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    try:
        with anyio.open_signal_receiver(*_signals()) as received:
            task_status.started()
            async for number in received:
                signalled(number)
    except NotImplementedError:  # Windows
        await _heed_by_handler(signalled, task_status)


async def _heed_by_handler(signalled: Callable[[int], None], task_status: TaskStatus[None]) -> None:
    loop = asyncio.get_running_loop()

    def handle(number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(signalled, number)

    before = {number: signal.signal(number, handle) for number in _signals()}
    try:
        task_status.started()
        await anyio.sleep_forever()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
