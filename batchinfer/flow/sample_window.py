"""The samples between two changes of the adaptive limit, and which of them are studied."""

from __future__ import annotations

from math import inf
from typing import Final

from batchinfer.domain import ServiceSignal
from batchinfer.flow.concurrency_limit import AttemptSample

MIN_WINDOW_ANSWERS: Final = 4
"""Answers that make a window, at least."""
MAX_STUDIED_PER_SECOND: Final = 500.0
"""Answers that are studied each second, about: what more would show costs more than it tells."""
STUDIED_IN_A_ROW: Final = 8
"""Answers that are studied one after the other: only neighbours show whether there is an order."""
MIN_STUDIED_ANSWERS: Final = 100
"""Answers studied in a window of more answers, at least."""
RATE_SECONDS: Final = 1.0
"""Seconds over which the rate of answers is measured, at least: answers come in waves."""


class AnswerSelection:
    """Which answers are studied: all of them, unless they come by the thousand each second.

    Then it is `STUDIED_IN_A_ROW` of them, before some are passed over, so that about
    `MAX_STUDIED_PER_SECOND` are studied each second: the cost is bounded, and what is studied is a
    fair sample. How many are passed over follows the rate of the second before.
    """

    def __init__(self) -> None:
        self._since, self._answer_count = -inf, 0
        self._row_stride = 1
        """Of so many rows the first is studied."""

    def selects(self, ended_at: float) -> bool:
        """Whether an answer that came at `ended_at` is to be studied. Ask once for each."""
        seconds = ended_at - self._since
        if seconds >= RATE_SECONDS:
            self._row_stride = max(1, round(self._answer_count / seconds / MAX_STUDIED_PER_SECOND))
            self._since, self._answer_count = ended_at, 0
        row = self._answer_count // STUDIED_IN_A_ROW
        self._answer_count += 1
        return row % self._row_stride == 0


class SampleWindow:
    """The samples between two changes."""

    def __init__(self, began: float, servers: float) -> None:
        self.started_at, self.servers, self.min_answers = (
            began,
            servers,
            max(MIN_WINDOW_ANSWERS, servers),
        )
        self.answers: list[AttemptSample] = []
        """Those studied."""
        self.answer_count = 0
        """All that came."""
        self.sample_count = self.saturated_count = self.overload_count = 0
        self.evident_servers = 0.0
        """How many are served at least, if that ended the window early."""

    def add(self, sample: AttemptSample) -> None:
        """Count a sample."""
        self.sample_count += 1
        self.saturated_count += sample.saturated
        self.overload_count += sample.signal is ServiceSignal.OVERLOADED
        self.answer_count += sample.signal is ServiceSignal.ANSWERED

    @property
    def has_enough_answers(self) -> bool:
        """Whether as many came as are served at a time, and enough of them were studied."""
        return self.answer_count >= self.min_answers and len(self.answers) >= min(
            self.min_answers, MIN_STUDIED_ANSWERS
        )

    def answer_rate(self, now: float) -> float:
        """Answers per second until now."""
        return self.answer_count / max(now - self.started_at, 1e-9)
