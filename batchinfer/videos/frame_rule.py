"""Which frames of a video are sent. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Self

_RULE_PATTERN: Final = re.compile(
    r"\s*(?:every=(?P<every>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|h|)|fps=(?P<fps>\d+(?:\.\d+)?)"
    r"|n=(?P<n>\d{1,6}))\s*"
)
_EXACT_SECONDS_BY_UNIT: Final = {
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_MIN_STEP: Final = Fraction(1, 1000)
"""Seconds; keys know milliseconds."""


@dataclass(frozen=True, slots=True)
class FrameRule:
    """One frame each `step` seconds from the first one on, or `count` evenly spread ones."""

    text: str
    step: Fraction | None = None
    count: int | None = None

    def __str__(self) -> str:
        """As it is written in a config."""
        return self.text

    @classmethod
    def parse(cls, text: str) -> Self:
        """The rule that "every=2s", "fps=1" or "n=20" stands for. Raises ValueError."""
        step: Fraction | None = None
        count: int | None = None
        if match := _RULE_PATTERN.fullmatch(text):
            if match["n"]:
                count = int(match["n"])
            elif match["every"]:
                step = Fraction(match["every"]) * _EXACT_SECONDS_BY_UNIT[match["unit"]]
            elif rate := Fraction(match["fps"]):
                step = 1 / rate
        if not count and (step is None or step < _MIN_STEP):
            raise ValueError('"every=2s", "fps=1" or "n=20" (at most a frame per millisecond)')
        return cls(text.strip(), step, count)

    def iter_times(self, duration: Fraction) -> Iterator[int]:
        """Times in a video of `duration` seconds, in ms, rising; at least one.

        Of `count` frames each is in the middle of its part, so that none is the black one at the
        beginning or the end. A time between two milliseconds is the later one: a frame that begins
        there is seen by then.
        """
        if self.step is None:
            times = self._iter_spread_times(duration)
        else:
            times = _iter_stepped_times(self.step, duration)
        last = -1
        for seconds in times:
            milliseconds = -(-seconds.numerator * 1000 // seconds.denominator)
            if milliseconds > last:
                last = milliseconds
                yield milliseconds

    def _iter_spread_times(self, duration: Fraction) -> Iterator[Fraction]:
        count = self.count or 1
        return (duration * (2 * number + 1) / (2 * count) for number in range(count))


def _iter_stepped_times(step: Fraction, duration: Fraction) -> Iterator[Fraction]:
    yield Fraction(0)
    number = 1
    while (time := number * step) < duration:
        yield time
        number += 1
