"""How many calls were being served when one of them had its turn: counted, not estimated.

Where the service tells how long it worked on an answered call, it is known when its turn came. Two
counts follow from that, and neither needs a rate over many answers:

* Of the calls in flight when it joined, those that ended before its turn were in front of it no
  more; all others were being served by then, for the service takes calls in the order in which they
  come: `serving = joined - ended before its turn`. Where they overtake each other, which shows, it
  is right in the mean only (Little's law); so it is believed only while nobody overtakes and the
  counts of a round agree (`AGREED`). Calls sent all at once, or answered in waves, have no order
  that anybody knows.
* Whatever the order, as many were being served at least as were answered since, of those whose turn
  had come by then.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from math import inf
from statistics import fmean, median, stdev
from typing import Final

from batchinfer.flow.signs import Sample, Sign

KEPT: Final = 4096
"""Ends that are remembered, at least: nobody waits for longer than so many."""
ALWAYS: Final = 2
BLURRED: Final = 0.2
"""How many may end about when a call joins or has its turn, as a share of those served: answers
that come in waves tell nothing of an order."""
AT_ONCE: Final = 0.25
"""Seconds after a raise of the limit in which many are sent at once."""
RAISES: Final = 16
ENOUGH: Final = 4
"""Counts that a round must have to be judged."""
AGREED: Final = 0.25
"""Standard deviation of counts that agree, as a share of their mean."""
JUDGED: Final = 4
WATCHED: Final = 40
"""Answers after which it is forgotten that one call overtook another."""
NEWEST: Final = 8
EVIDENCE: Final = 2
"""Of the newest answers, how many must tell of as many served for it to be evident."""


class Turns:
    """The ends of attempts, in order, each with its beginning and its turn."""

    def __init__(self) -> None:
        self._ended: list[float] = []
        self._began: list[float] = []
        self._turn: list[float] = []
        """Of an answered call that told; infinite for all others."""

    def note(self, sample: Sample) -> None:
        """An attempt has ended."""
        told = sample.server_seconds if sample.sign is Sign.ANSWERED else None
        self._ended.append(sample.now)
        self._began.append(sample.now - sample.seconds)
        self._turn.append(inf if told is None else sample.now - told)
        if len(self._ended) >= 2 * KEPT:
            del self._ended[:KEPT], self._began[:KEPT], self._turn[:KEPT]

    def together(self, turn: float, way: float) -> int:
        """How many of those answered since were being served then, whatever the order."""
        return sum(other <= turn for other in self._turn[bisect_right(self._ended, turn + way) :])

    def serving(self, answer: Sample, turn: float, way: float) -> int | None:
        """How many were being served when the turn of an answered call came, if there is an order.

        `way`: seconds by which order is lost on the way. None: too many ended at once then.
        """
        joined_at = answer.now - answer.seconds
        first, last = bisect_right(self._ended, joined_at), bisect_right(self._ended, turn + way)
        before = sum(began <= joined_at for began in self._began[first:last])
        serving = max(1, answer.joined - before)
        blurred = self._near(joined_at, way) + self._near(turn, way)
        return serving if blurred <= max(ALWAYS, BLURRED * serving) else None

    def _near(self, moment: float, way: float) -> int:
        return bisect_right(self._ended, moment + way) - bisect_left(self._ended, moment - way)


class Census:
    """Both counts, and when to believe them. `way`: seconds there and back, as far as is known."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._raised: deque[float] = deque(maxlen=RAISES)
        self._agreed: deque[bool] = deque([True], maxlen=JUDGED)
        """Whether the counts of the last rounds agreed each: whether there is an order."""
        self._newest: deque[int] = deque(maxlen=NEWEST)
        self._passed: deque[tuple[float, float]] = deque(maxlen=NEWEST)
        """When each of the newest answered joined, and had its turn."""
        self._overtook: deque[bool] = deque(maxlen=WATCHED)

    def note(self, sample: Sample) -> None:
        """An attempt has ended, in whatever way."""
        self._turns.note(sample)

    def raised(self, now: float) -> None:
        """Many may be sent at once now."""
        self._raised.append(now)

    def restart(self, now: float) -> None:
        """The service is there again: what the newest told is old."""
        self._newest.clear()
        self.raised(now)

    def evident(self, answer: Sample, way: float) -> float:
        """How many are served at least, now that this answer came, which told."""
        turn = answer.now - (answer.server_seconds or 0.0)
        self._watch(answer.now - answer.seconds, turn, way)
        is_orderly = any(self._agreed) and not any(self._overtook)
        counted = self._count(answer, turn, way) if is_orderly else None
        self._newest.append(max(counted or 0, self._turns.together(turn, way)))
        return sorted(self._newest)[-EVIDENCE] if len(self._newest) >= EVIDENCE else 0.0

    def _watch(self, joined_at: float, turn: float, way: float) -> None:
        """Whether this answered call overtook another, or was overtaken."""
        self._overtook.append(
            any(
                (joined < joined_at - way and turn < its_turn - way)
                or (joined > joined_at + way and turn > its_turn + way)
                for joined, its_turn in self._passed
            )
        )
        self._passed.append((joined_at, turn))

    def of(self, pairs: Sequence[tuple[Sample, float]], way: float) -> float | None:
        """How many were being served in a round of answers, each with how long it waited.

        None: nobody can tell by counting.
        """
        turns = [(one, one.now - one.seconds + waited + way) for one, waited in pairs]
        counted = [self._count(one, turn, way) for one, turn in turns]
        counts = [count for count in counted if count is not None]
        if len(counts) < ENOUGH:
            return None
        agreed = stdev(counts) < AGREED * fmean(counts)
        self._agreed.append(agreed)
        if agreed:
            return fmean(counts)
        # There was an order, so it is the number that changes: the newest know it.
        return median(counts[-NEWEST:]) if any(self._agreed) else None

    def is_of_a_burst(self, answer: Sample) -> bool:
        """Whether it was sent with many others: in which order those arrived nobody knows."""
        joined_at = answer.now - answer.seconds
        return any(raised <= joined_at <= raised + AT_ONCE for raised in self._raised)

    def _count(self, answer: Sample, turn: float, way: float) -> int | None:
        return None if self.is_of_a_burst(answer) else self._turns.serving(answer, turn, way)
