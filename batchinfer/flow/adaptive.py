"""The adaptive limit: as many attempts in flight as the service serves, and a few that wait.

The service gives each call a container and lets the others wait (contract section 1); it never says
how many containers there are, and starts more only while calls wait. So neither errors nor a slow
rise of latency tell the right number. What tells it is *waiting*. A call that joined n others and
waited W seconds, while X calls a second were answered, had X * W calls before it in the queue
(Little's law); the others were being served::

    serving = n - X * W

Rules:

1. *Rounds.* Samples are gathered until as many answers came as are served at a time: one change per
   round, so at most one cut per window in flight.
2. *Aim*: what is served, and some that wait. While the number served still rises (`RISE`), up to
   `EAGER` times as many wait as are served, for a scaling service starts containers for those who
   wait; once it has not risen for `SETTLED` seconds, only `SHARE` of it, enough that no container
   is ever idle and to see a rise when there is one: the knee test.
3. Nothing grows unless the limit is what held it back.
4. *Refusals* (429, 503): the slot of a refused call is gone; once per round the limit is cut by
   `CUT` besides. Where it happened becomes a ceiling that is lifted slowly, for a gateway may count
   calls without letting any wait.
5. *Timeouts* tell how patient somebody on the way is (contract section 1: 60 s, 300 s): nobody
   waits for longer than half of what that leaves beside the prediction.
6. After an absence it begins carefully again (`restart`).
"""

from __future__ import annotations

from math import inf
from statistics import fmean, median
from typing import Final

from batchinfer.flow.limit import Change
from batchinfer.flow.signs import Sample, Sign
from batchinfer.flow.waiting import Waiting

START: Final = 8
"""Attempts in flight at the beginning: ten may wait for one container (contract section 1)."""
FEWEST: Final = 4
"""Answers that make a round, at least."""
SPAN: Final = 0.8
"""Times the usual time on the server that it lasts at least: answers come in waves."""
RISE: Final = 1.2
FALL: Final = 1.5
"""By which factor the number served has risen, or fallen, when that is no accident."""
MEMORY: Final = 200
"""Answers over which the usual time on the server is averaged."""
EAGER: Final = 3.0
SETTLED: Final = 60.0
SHARE: Final = 0.4
FEW: Final = 12
"""Calls whose waiting is no matter, and tells a small service that grows at once."""
SPARE: Final = 4
CUT: Final = 0.8
COOL: Final = 2.0
"""Times the usual time on the server after a refusal in which nothing grows."""
LIFT: Final = 30.0
LONGEST_LIFT: Final = 600.0
"""Seconds after which a ceiling is lifted by a step; doubled with every refusal at that place."""
WALL: Final = 1.4
"""Numbers in flight that differ by less are the same place."""


class Round:
    """What is gathered between two changes."""

    def __init__(self, began: float, size: float) -> None:
        self.began, self.size = began, max(FEWEST, size)
        self.answers: list[Sample] = []
        self.samples = self.saturated = self.refused = 0

    def note(self, sample: Sample) -> None:
        """Gather a sample."""
        self.samples += 1
        self.saturated += sample.saturated
        self.refused += sample.sign is Sign.FULL
        if sample.sign is Sign.ANSWERED:
            self.answers.append(sample)


class Adaptive:
    """See the rules above. `lowest`, `highest`: the bounds it never leaves."""

    def __init__(self, lowest: int = 1, highest: int = 512, start: int = START) -> None:
        self._lowest, self._highest, self._start = lowest, highest, start
        self.value = self._within(start)
        self.serving: float | None = None
        self._waiting, self._usual, self._rounds = Waiting(), 0.0, 0
        self._round: Round | None = None
        self._best, self._rose_at = 0.0, 0.0
        self._ceiling: float = highest
        self._lift_at, self._lift, self._walled_at = 0.0, LIFT, 0
        self._refused_at = -inf
        self._known = 0.0
        """How many were served when nothing was refused."""
        self._given_up: float | None = None
        self._told = self.value

    def learn(self, sample: Sample) -> Change | None:
        """See `Limit`."""
        if self._round is None:
            self._round = Round(sample.now - sample.seconds, FEWEST)
            self._rose_at = sample.now
        self._round.note(sample)
        if sample.sign is Sign.FULL:
            return self._refused(self._round, sample)
        if sample.sign is Sign.SLOW and sample.seconds > self._usual:
            self._given_up = min(self._given_up or sample.seconds, sample.seconds)
        lasted = sample.now - self._round.began
        if len(self._round.answers) < self._round.size or lasted < SPAN * self._usual:
            return None
        return self._concluded(self._round, sample.now)

    def restart(self, now: float) -> Change | None:
        """See `Limit`."""
        self._round = Round(now, FEWEST)
        self._rose_at, self._best = now, 0.0
        again = max(self._start, self._known / 2)
        return self._move(again, now, "the service is there again")

    # One round ------------------------------------------------------------------------------------

    def _concluded(self, done: Round, now: float) -> Change | None:
        seen = self._seen(done, now)
        self.serving = seen if self.serving is None else (self.serving + seen) / 2
        if self.serving > RISE * self._best:
            self._best, self._rose_at = self.serving, now
        elif self.serving < self._best / FALL:
            self._best = self.serving
        if self.serving > self._known or (not done.refused and now > self._lift_at):
            self._known = self.serving
        settled = now - self._rose_at > SETTLED
        self._round = Round(now, seen)
        wanted = self._wanted(seen, now, settled=settled)
        if wanted < self.value / 1.1:
            waiting = max(done.answers[-1].in_flight - seen, 0)
            return self._move(wanted, now, f"about {seen:.0f} are served, {waiting:.0f} wait")
        calm = now - self._refused_at > COOL * self._usual
        if wanted > self.value and done.saturated > done.samples / 2 and calm:
            return self._move(wanted, now, f"about {seen:.0f} are served, and few wait")
        return None

    def _seen(self, done: Round, now: float) -> float:
        """How many were being served, as the round's answers tell."""
        rate = len(done.answers) / max(now - done.began, 1e-9)
        waits = self._waiting.of(done.answers)
        pairs = list(zip(done.answers, waits, strict=True))
        busy = fmean(answer.seconds - wait for answer, wait in pairs)
        weight = max(len(pairs) / MEMORY, 1 / (self._rounds + 1))
        self._usual += min(weight, 1.0) * (busy - self._usual)
        self._rounds += 1
        served = rate * self._usual
        most = max(answer.in_flight for answer in done.answers)
        queued = rate * median(waits)
        if queued < served:  # else all are busy: what they do is known better than who waits
            served = max(served, median(a.joined - rate * wait for a, wait in pairs))
        return min(max(served, 1.0), most)

    def _wanted(self, serving: float, now: float, *, settled: bool) -> float:
        if now > self._lift_at and self._ceiling < self._highest:
            self._ceiling, self._lift_at = self._ceiling * 1.5 + 1, now + self._lift
        if settled:
            wanted = serving + max(SHARE * serving, min(EAGER * serving, FEW))
        else:
            wanted = serving * (1 + EAGER) + SPARE
        if self._given_up is not None:
            patience = max(self._given_up - self._usual, 0.0) / 2
            wanted = min(wanted, serving * (1 + patience / max(self._usual, 1e-9)) + SPARE)
        return min(wanted, self._ceiling)

    def _refused(self, now_in: Round, sample: Sample) -> Change | None:
        self._refused_at = sample.now
        left: float = min(self.value, sample.in_flight - 1)
        if now_in.refused > 1:
            self.value = self._within(left)
            return None
        self._wall(sample)
        return self._move(min(left, CUT * self.value), sample.now, "refused: too many at once")

    def _wall(self, sample: Sample) -> None:
        """Remember where calls were refused: again at the same place, it is tried less often."""
        where = sample.in_flight
        if not self._walled_at or not 1 / WALL < where / self._walled_at < WALL:
            self._lift = LIFT
        elif sample.now > self._lift_at:
            self._lift = min(2 * self._lift, LONGEST_LIFT)
        self._walled_at, self._lift_at = where, sample.now + self._lift
        self._ceiling = max(self._known, 0.9 * where)

    def _move(self, wanted: float, now: float, reason: str) -> Change | None:
        was, self.value = self._told, self._within(wanted)
        self._told = self.value
        return Change(now, was, self.value, reason) if self.value != was else None

    def _within(self, wanted: float) -> int:
        return max(self._lowest, min(self._highest, round(wanted)))
