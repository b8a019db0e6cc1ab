"""What an instruction does to a running engine, and what is answered. No socket, no file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from batchinfer.api.composing import MOST
from batchinfer.api.control.instructions import (
    Instruction,
    SetConcurrency,
    SetRate,
    Simple,
    instruction_of,
)
from batchinfer.config import Concurrency
from batchinfer.domain import Counts, Json, Mode
from batchinfer.engine import Engine
from batchinfer.errors import ConfigError
from batchinfer.flow import Adaptive, Fixed, Limit
from batchinfer.ports import Back, Event, Notice, Observer, Progress, Recorded, Waiting
from batchinfer.progress import duration, rate
from batchinfer.progress.text import done, going, waited_for


class Steering:
    """Looks after one engine. An observer that passes on what it hears, and remembers a wait."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._wait: Waiting | None = None
        self._engine: Engine
        self._mode: Mode
        self._since: float

    def take(self, engine: Engine, mode: Mode) -> None:
        """From now on there is something to look after."""
        self._engine, self._mode, self._since = engine, mode, time.time()

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        match event:
            case Waiting():
                self._wait = event
            case Back():
                self._wait = None
            case _:
                pass
        self._observer.notify(event)

    def answer(self, line: bytes) -> bytes:
        """Do what a line asks for; the line that answers it. Raises nothing."""
        try:
            told: dict[str, Json] = {"ok": True, "said": self.do(instruction_of(line))}
            told["status"] = self.status()
        except ConfigError as error:
            told = refusal(str(error))
        return json.dumps(told).encode() + b"\n"

    def do(self, instruction: Instruction) -> str:
        """Do it; what is true now, in words. Raises ConfigError when it cannot be done here."""
        engine, progress = self._engine, self._engine.progress
        if instruction is Simple.STATUS:
            return self._how_it_goes()
        if instruction is Simple.STOP:
            said = _stopping(engine.stop())
            self._observer.notify(Notice("stopping", f"ctl: {said}"))
            return said
        if progress.limit is None:
            raise ConfigError(
                "this process only collects outputs: it starts no calls that could be limited"
            )
        if engine.stopped:
            raise ConfigError(f"the run is about to end ({_stopping(progress.in_flight)})")
        said = self._changed(instruction)
        self._observer.notify(Notice("told", f"ctl: {said}"))
        self._observer.notify(Recorded((), engine.progress))  # shows it, though nothing ends
        return said

    def _changed(self, instruction: Instruction) -> str:
        engine = self._engine
        match instruction:
            case SetConcurrency(value):
                engine.limit = self._limit_for(value)
                over = self._count() > engine.limit.value
                return _limit(engine.limit) + (f"; {self._in_flight()}" if over else "")
            case SetRate(per_second):
                engine.rate = per_second
                return _pace(per_second)
            case Simple.PAUSE:
                engine.paused = True
                return f"paused; {self._in_flight() or 'no call is running'}"
            case Simple():
                engine.paused = False
                return f"resumed; {_limit(engine.limit)}"

    def status(self) -> Mapping[str, Json]:
        """How it goes, for programs (`docs/scripting.md`)."""
        engine, progress = self._engine, self._engine.progress
        serving = progress.serving
        return {
            "pid": os.getpid(),
            "since": round(self._since, 3),
            "total": progress.counts.total,
            "complete": progress.complete,
            **asdict(progress.counts),
            "failures": dict(progress.codes),
            "in_flight": progress.in_flight,
            "limit": progress.limit,
            "adapts": not isinstance(engine.limit, Fixed),
            "serving": None if serving is None else round(serving, 1),
            "rate": engine.rate,
            "paused": progress.paused,
            "stopping": engine.stopped,
            "condition": engine.condition.value,
            "waiting": None if self._wait is None else asdict(self._wait),
        }

    def _limit_for(self, wanted: Concurrency) -> Limit:
        if wanted.lowest == wanted.highest:
            return Fixed(wanted.lowest)
        highest = wanted.highest or MOST[self._mode]
        start, patient = self._engine.limit.value, self._mode is Mode.ASYNC
        return Adaptive(wanted.lowest, highest, start, patient=patient)

    def _count(self) -> int:
        """What the limit is of."""
        progress = self._engine.progress
        submitted = progress.counts.submitted if self._mode is Mode.ASYNC else 0
        return submitted + progress.in_flight

    def _in_flight(self) -> str:
        count = self._count()
        what = "submitted item" if self._mode is Mode.ASYNC else "running call"
        return f"waiting for {count:,} {what}{'s' * (count > 1)}" if count else ""

    def _how_it_goes(self) -> str:
        engine, progress = self._engine, self._engine.progress
        how = ", ".join(filter(None, (" ".join(done(progress).split()), going(progress))))
        parts = [how]
        if engine.rate is not None:
            parts.append(_pace(engine.rate))
        if self._wait is not None:
            parts.append(f"{waited_for(self._wait.code)} for {duration(self._wait.seconds)}")
        if engine.stopped:
            parts.append(_stopping(progress.in_flight))
        return "; ".join(parts)


def refusal(message: str) -> dict[str, Json]:
    """The answer to what cannot be done."""
    return {"ok": False, "code": "refused", "message": message}


def progress_of(status: Mapping[str, Any]) -> Progress:
    """`Steering.status`, as another process has read it, for a display."""
    return Progress(
        Counts(*(status[each.name] for each in fields(Counts))),
        status["in_flight"],
        complete=status["complete"],
        codes=status["failures"],
        limit=status["limit"],
        serving=status["serving"],
        paused=status["paused"],
    )


def _stopping(in_flight: int) -> str:
    if not in_flight:
        return "stopping: no call is running"
    return f"stopping: waiting for {in_flight:,} running call{'s' * (in_flight > 1)}"


def _limit(limit: Limit) -> str:
    return f"concurrency is {limit.value:,}{'' if isinstance(limit, Fixed) else ', adaptive'}"


def _pace(value: float | None) -> str:
    if value is None:
        return "rate limit removed"
    amount, _, unit = rate(value).partition("/")
    units = {"s": "second", "min": "minute", "h": "hour"}
    return f"at most {amount.removesuffix('.0')} calls per {units[unit]} are started"
