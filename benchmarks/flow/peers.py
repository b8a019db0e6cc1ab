"""The controllers to compare with: their published rules in our words, as limits.

Each is set up as it is published, but where that would only make it look bad here:

* AIMD counts a call as a drop when it took more than 5 s. For a model that works for 6 s that is
  nonsense: here a drop is what was refused, broken, timed out, or found nobody.
* Gradient2 never goes below 20, and says itself that this is not for batches: here it may go to 1.
* aibrix starts with what its endpoints are known to take, and stops at eight times that: here it
  starts with 16. Tokens per second, its other sign, do not exist here.
* inspect_ai does not count an answer after a retry as a good sign; samples do not tell it, so here
  it counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, floor

from batchinfer.flow import AttemptSample, LimitAdjustment, ServiceSignal


@dataclass(slots=True)
class Peer:
    """What they have in common: a limit that is moved with a reason."""

    value: int
    estimated_servers: float | None = None
    learns: bool = True

    def restart(self, now: float) -> None:
        """See `Limit`: with the plain gate nobody calls this."""

    def _move(self, now: float, value: float, reason: str) -> LimitAdjustment | None:
        was, self.value = self.value, int(value)
        return LimitAdjustment(now, was, self.value, reason) if was != self.value else None


@dataclass(slots=True)
class Aimd(Peer):
    """Netflix's AIMDLimit: one more per answer, a tenth less per drop."""

    value: int = 10

    def update(self, sample: AttemptSample) -> LimitAdjustment | None:
        """See `Limit`."""
        if sample.signal is not ServiceSignal.ANSWERED:
            less = max(1, min(self.value - 1, int(self.value * 0.9)))
            return self._move(sample.ended_at, less, "drop")
        if sample.in_flight * 2 >= self.value:
            return self._move(sample.ended_at, self.value + 1, "answer")
        return None


@dataclass(slots=True)
class Gradient2(Peer):
    """Netflix's Gradient2Limit: follows the quotient of long-term and present latency.

    It does not tell a drop from an answer: what is refused at once is a short latency to it.
    """

    value: int = 20
    _estimate: float = 20.0
    _long: float = 0.0
    _count: int = 0

    def update(self, sample: AttemptSample) -> LimitAdjustment | None:
        """See `Limit`."""
        self._note(sample.seconds)
        if self._long > 2 * sample.seconds:
            self._long *= 0.9
        if sample.in_flight < self._estimate / 2:
            return None
        gradient = max(0.5, min(1.0, self._long / max(sample.seconds, 1e-9)))
        aim = self._estimate * gradient + 4
        self._estimate = max(1.0, min(200.0, 0.8 * self._estimate + 0.2 * aim))
        return self._move(sample.ended_at, self._estimate, f"gradient {gradient:.2f}")

    def _note(self, seconds: float) -> None:
        """The long-term latency: a mean of the first ten, then a moving one over about 600."""
        self._count += 1
        share = 1 / self._count if self._count <= 10 else 2 / 601
        self._long += (seconds - self._long) * share


@dataclass(slots=True)
class Aibrix(Peer):
    """aibrix's controller: a quarter more per eight answers until the first cut, then one more.

    Errors are counted in windows as long as the limit, so that one burst cuts once: by a tenth, if
    a tenth of the window were errors, and two at least.
    """

    value: int = 16
    _highest: int = 16 * 8
    _probing: bool = True
    _healthy: int = 0
    _window: int = 0
    _seen: int = 0
    _errors: int = 0

    def update(self, sample: AttemptSample) -> LimitAdjustment | None:
        """See `Limit`."""
        is_error = sample.signal is not ServiceSignal.ANSWERED
        if self._is_overload(is_error=is_error):
            self._healthy, self._probing = 0, False
            less = min(floor(self.value * 0.9), self.value - 1)
            return self._move(sample.ended_at, max(1, less), "overload")
        self._healthy += not is_error
        if is_error or self._healthy < 8:
            return None
        self._healthy = 0
        more = max(1, ceil(self.value * 0.25)) if self._probing else 1
        return self._move(sample.ended_at, min(self._highest, self.value + more), "healthy")

    def _is_overload(self, *, is_error: bool) -> bool:
        if self._seen == 0:
            self._window = max(8, self.value)
        self._seen += 1
        self._errors += is_error
        if self._seen < self._window:
            return False
        seen, errors = self._seen, self._errors
        self._seen = self._errors = 0
        return errors >= 2 and errors / seen >= 0.1


@dataclass(slots=True)
class Inspect(Peer):
    """inspect_ai's controller: doubles per round of answers until the first retry, then adds 5 %.

    A retry cuts to four fifths, at most once in 15 s; in that time answers do not count. Numbers
    from ten on are multiples of five.
    """

    value: int = 20
    _answers: int = 0
    _retried: bool = False
    _rest_until: float = field(default=0.0)

    def update(self, sample: AttemptSample) -> LimitAdjustment | None:
        """See `Limit`."""
        now = sample.ended_at
        if sample.signal is not ServiceSignal.ANSWERED:
            self._answers, self._retried = 0, True
            if now < self._rest_until:
                return None
            self._rest_until = now + 15.0
            less = int(self.value * 0.8)
            return self._move(now, max(1, less if less < 10 else less // 5 * 5), "retry")
        if now < self._rest_until:
            return None
        self._answers += 1
        if self._answers < max(self.value, 4):
            return None
        self._answers = 0
        if not self._retried:
            return self._move(now, min(self.value * 2, 200), "slow start")
        more = self.value + max(1, round(self.value * 0.05))
        return self._move(now, min(more if more < 10 else -(-more // 5) * 5, 200), "steady")
