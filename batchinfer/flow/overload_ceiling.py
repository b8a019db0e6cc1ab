"""What an overload (429, 503) changes: a ceiling, and a way back up.

Rules:

1. The slot of an overloaded call is gone; the first of a window cuts the limit besides
   (`OVERLOAD_CUT_FACTOR`).
2. An overload although no more were in flight than had been served before is not about their number
   but, say, about calls per second: the limit is halved, once.
3. Where it happened becomes a *ceiling* that is raised slowly, for a gateway may count calls
   without letting any wait; and with the number served, for more containers let more wait.
4. When there was none for `CLIMB_DELAY_SECONDS` seconds, the limit climbs back to what was served
   before, in steps of one, two, four: an overload shows at once, and takes the step back.
"""

from __future__ import annotations

from math import inf
from typing import Final

from batchinfer.flow.concurrency_limit import AttemptSample

OVERLOAD_CUT_FACTOR: Final = 0.8
CLIMB_DELAY_SECONDS: Final = 4.0
OVERLOAD_REPLY_SECONDS: Final = 0.25
"""Seconds within which an overload shows."""
COOLDOWN_SERVICE_TIMES: Final = 2.0
"""Times the usual time on the server after an overload in which nothing else grows."""
KNOWN_SERVERS_TOLERANCE: Final = 1.05
"""Times the number known to be served: more than that is more."""
CEILING_RISE_FACTOR: Final = 1.2
CEILING_RAISE_SECONDS: Final = 30.0
MAX_CEILING_RAISE_SECONDS: Final = 600.0
"""Seconds after which a ceiling is raised by a step; doubled with every overload at that place."""
SAME_CEILING_FACTOR: Final = 1.4
"""Numbers in flight that differ by less are the same place."""


class OverloadCeiling:
    """The ceiling and the way back. `highest`: what the limit never exceeds."""

    def __init__(self, highest: int) -> None:
        self._highest = highest
        self._ceiling: float = highest
        self._raise_at, self._raise_after, self._hit_in_flight = 0.0, CEILING_RAISE_SECONDS, 0
        self._servers_at_hit = inf
        """How many were served when the ceiling was hit."""
        self._overloaded_at = self._stepped_at = -inf
        self._step = 0
        """By how much it climbs next; 0: there was no overload lately."""
        self._value_before_step = 0
        """From where the last step was made."""
        self._is_halved = False

    def reduce(self, sample: AttemptSample, value: int, known_servers: float) -> float:
        """What is left of the limit `value`, `known_servers` having been served before."""
        reduced: float = min(value, sample.in_flight - 1)
        if sample.ended_at - self._stepped_at < OVERLOAD_REPLY_SECONDS:
            reduced = min(reduced, self._value_before_step)
        elif not self._is_halved and sample.in_flight <= KNOWN_SERVERS_TOLERANCE * known_servers:
            reduced, self._is_halved = min(reduced, sample.in_flight / 2), True
        self._step, self._overloaded_at = 1, sample.ended_at
        return reduced

    def hit(self, sample: AttemptSample, known_servers: float, servers: float) -> None:
        """The first overload of a window: here is the ceiling, while `servers` are served."""
        in_flight = sample.in_flight
        if (
            not self._hit_in_flight
            or not 1 / SAME_CEILING_FACTOR < in_flight / self._hit_in_flight < SAME_CEILING_FACTOR
        ):
            self._raise_after = CEILING_RAISE_SECONDS
        elif sample.ended_at > self._raise_at:
            self._raise_after = min(2 * self._raise_after, MAX_CEILING_RAISE_SECONDS)
        self._hit_in_flight, self._raise_at = in_flight, sample.ended_at + self._raise_after
        self._ceiling, self._servers_at_hit = max(known_servers, 0.9 * in_flight), servers

    def on_servers(self, servers: float) -> None:
        """So many are served now."""
        if servers > CEILING_RISE_FACTOR * self._servers_at_hit:
            self._ceiling = min(self._ceiling * servers / self._servers_at_hit, self._highest)
            self._servers_at_hit = servers

    def current_ceiling(self, now: float) -> float:
        """What the limit must not exceed now."""
        if now > self._raise_at and self._ceiling < self._highest:
            self._ceiling, self._raise_at = self._ceiling * 1.5 + 1, now + self._raise_after
        return self._ceiling

    def is_expired(self, now: float) -> bool:
        """Whether the last overload says nothing about now."""
        return now > self._raise_at

    def has_cooled_down(self, now: float, usual_service_seconds: float) -> bool:
        """Whether the limit may grow by itself."""
        return (
            not self._step
            and now - self._overloaded_at > COOLDOWN_SERVICE_TIMES * usual_service_seconds
        )

    def reset(self) -> None:
        """It is over, for calls were let in and wait; or the service was away since."""
        self._step, self._is_halved = 0, False

    def next_step(self, answer: AttemptSample, value: int, known_servers: float) -> float | None:
        """To where the limit `value` climbs with this answer; None: it does not."""
        climb_at = (
            max(self._overloaded_at + CLIMB_DELAY_SECONDS, self._stepped_at)
            + OVERLOAD_REPLY_SECONDS
        )
        if not self._step or not answer.saturated or answer.ended_at < climb_at:
            return None
        self._value_before_step, self._stepped_at = value, answer.ended_at
        target = min(value + self._step, max(known_servers, value))
        self._step = 2 * self._step if target < known_servers else 0
        self._is_halved = self._step > 0
        return target
