"""Carries out commands on a running engine, and answers them. No socket, no file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict

from batchinfer.api.control.commands import (
    ControlCommand,
    SetConcurrency,
    SetRate,
    SimpleCommand,
    decode_command,
)
from batchinfer.api.deliveries import DELIVERIES
from batchinfer.config import Concurrency
from batchinfer.domain import Json, Mode
from batchinfer.engine import Engine
from batchinfer.errors import ConfigError
from batchinfer.flow import AdaptiveLimit, ConcurrencyLimit, FixedLimit
from batchinfer.ports import Committed, Event, Notice, Observer, OutageEnded, OutageOngoing
from batchinfer.progress import format_rate
from batchinfer.progress.progress_format import format_done, format_progress, format_wait_reason
from batchinfer.text_format import format_duration


class Controller:
    """Controls one engine. An observer that passes events on, and remembers an outage."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._outage: OutageOngoing | None = None
        self._engine: Engine
        self._mode: Mode
        self._started_at: float

    def attach(self, engine: Engine, mode: Mode) -> None:
        """The engine to control, which was made with this observer."""
        self._engine, self._mode, self._started_at = engine, mode, time.time()

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        match event:
            case OutageOngoing():
                self._outage = event
            case OutageEnded():
                self._outage = None
            case _:
                pass
        self._observer.notify(event)

    def handle_line(self, line: bytes) -> bytes:
        """Do what a line asks for; the line that answers it. Raises nothing."""
        try:
            answer: dict[str, Json] = {"ok": True, "said": self.execute(decode_command(line))}
            answer["status"] = self.status()
        except ConfigError as error:
            answer = make_refusal(str(error))
        return json.dumps(answer).encode() + b"\n"

    def execute(self, command: ControlCommand) -> str:
        """Do it; what is true now, in words. Raises ConfigError when it cannot be done here."""
        engine, progress = self._engine, self._engine.progress
        if command is SimpleCommand.STATUS:
            return self._describe_status()
        if command is SimpleCommand.STOP:
            message = _describe_stopping(engine.stop())
            self._observer.notify(Notice("stopping", f"ctl: {message}"))
            return message
        if progress.limit is None:
            raise ConfigError(
                "this process only collects outputs: it starts no calls that could be limited"
            )
        if engine.stopped:
            raise ConfigError(f"the run is about to end ({_describe_stopping(progress.in_flight)})")
        message = self._apply(command)
        self._observer.notify(Notice("told", f"ctl: {message}"))
        self._observer.notify(Committed((), engine.progress))  # shows it, though nothing ends
        return message

    def _apply(self, command: ControlCommand) -> str:
        engine = self._engine
        match command:
            case SetConcurrency(value):
                engine.limit = self._build_limit(value)
                is_over_limit = self._count_limited() > engine.limit.value
                return _describe_limit(engine.limit) + (
                    f"; {self._describe_in_flight()}" if is_over_limit else ""
                )
            case SetRate(per_second):
                engine.rate = per_second
                return _describe_rate(per_second)
            case SimpleCommand.PAUSE:
                engine.paused = True
                return f"paused; {self._describe_in_flight() or 'no call is running'}"
            case SimpleCommand():
                engine.paused = False
                return f"resumed; {_describe_limit(engine.limit)}"

    def status(self) -> Mapping[str, Json]:
        """How it goes, for programs (`docs/reference/scripting.md`)."""
        engine, progress = self._engine, self._engine.progress
        estimated_servers = progress.estimated_servers
        return {
            "pid": os.getpid(),
            "since": round(self._started_at, 3),
            "total": progress.counts.total,
            "complete": progress.is_source_complete,
            **asdict(progress.counts),
            "failures": dict(progress.failed_by_code),
            "in_flight": progress.in_flight,
            "limit": progress.limit,
            "adapts": not isinstance(engine.limit, FixedLimit),
            "serving": None if estimated_servers is None else round(estimated_servers, 1),
            "rate": engine.rate,
            "paused": progress.paused,
            "watching": progress.is_watching,
            "stopping": engine.stopped,
            "condition": engine.service_state.value,
            "waiting": None if self._outage is None else asdict(self._outage),
        }

    def _build_limit(self, concurrency: Concurrency) -> ConcurrencyLimit:
        if concurrency.lowest == concurrency.highest:
            return FixedLimit(concurrency.lowest)
        delivery = DELIVERIES[self._mode]
        highest = concurrency.highest or delivery.max_adaptive_limit
        start = self._engine.limit.value
        return AdaptiveLimit(
            concurrency.lowest, highest, start, unlimited_wait=self._mode.uses_bucket
        )

    def _count_limited(self) -> int:
        """How many of what the limit is for there are."""
        progress = self._engine.progress
        submitted = progress.counts.submitted if self._mode.uses_bucket else 0
        return submitted + progress.in_flight

    def _describe_in_flight(self) -> str:
        count = self._count_limited()
        noun = DELIVERIES[self._mode].limited_noun
        return f"waiting for {count:,} {noun}{'s' * (count > 1)}" if count else ""

    def _describe_status(self) -> str:
        engine, progress = self._engine, self._engine.progress
        summary = ", ".join(
            filter(None, (" ".join(format_done(progress).split()), format_progress(progress)))
        )
        parts = [summary]
        if engine.rate is not None:
            parts.append(_describe_rate(engine.rate))
        if self._outage is not None:
            parts.append(
                f"{format_wait_reason(self._outage.code)} for "
                f"{format_duration(self._outage.seconds)}"
            )
        if engine.stopped:
            parts.append(_describe_stopping(progress.in_flight))
        return "; ".join(parts)


def make_refusal(message: str) -> dict[str, Json]:
    """The answer to what cannot be done."""
    return {"ok": False, "code": "refused", "message": message}


def _describe_stopping(in_flight: int) -> str:
    if not in_flight:
        return "stopping: no call is running"
    return f"stopping: waiting for {in_flight:,} running call{'s' * (in_flight > 1)}"


def _describe_limit(limit: ConcurrencyLimit) -> str:
    return f"concurrency is {limit.value:,}{'' if isinstance(limit, FixedLimit) else ', adaptive'}"


def _describe_rate(value: float | None) -> str:
    if value is None:
        return "rate limit removed"
    amount, _, unit = format_rate(value).partition("/")
    units = {"s": "second", "min": "minute", "h": "hour"}
    return f"at most {amount.removesuffix('.0')} calls per {units[unit]} are started"
