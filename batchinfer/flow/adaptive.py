"""The adaptive limit: as many attempts in flight as the service serves, and a few that wait.

The service gives each call a container and lets the others wait (contract section 1); it never says
how many containers there are, and starts more only while calls wait. So neither errors nor a slow
rise of latency tell the right number. What tells it is *waiting*. A call that joined n others and
waited W seconds, while X calls a second were answered, had X * W calls before it in the queue
(Little's law); the others were being served::

    serving = n - X * W

What the service tells by `X-Duration-Seconds` lets this be counted, answer by answer (`serving`).

Rules:

1. *Rounds.* Samples are gathered until as many answers came as are served at a time: one change per
   round, so at most one cut per window in flight. A round ends at once when it is evident that more
   are served; such a round never cuts.
2. *Aim*: what is served, and some that wait. While the number served still rises (`RISE`), up to
   `EAGER` times as many wait as are served, for a scaling service starts containers for those who
   wait; once it has not risen for `SETTLED` seconds, only `SHARE` of it, enough that no container
   is ever idle and to see a rise when there is one: the knee test. For a small service more wait
   (`FEW`), for it may become a large one, and learns of those who wait only.
3. Nothing grows unless the limit is what held it back.
4. *Refusals* (429, 503): see `refusals`.
5. *Timeouts* tell how patient somebody on the way is (contract section 1: 60 s, 300 s): nobody
   waits for longer than half of what that leaves beside the prediction.
6. After an absence of less than `STAYS` seconds it begins with what was served before, for the
   containers are there still; after a longer one, carefully (`restart`).
"""

from __future__ import annotations

from math import inf
from statistics import fmean, median
from typing import Final

from batchinfer.flow.limit import Change
from batchinfer.flow.refusals import CUT, Refusals
from batchinfer.flow.serving import EVIDENCE, Census
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
SETTLED: Final = 30.0
SHARE: Final = 0.3
FEW: Final = 40
"""So many wait besides, less twice those served: the smaller a service, the more it may grow, and
those who wait tell of it at once."""
DEEP: Final = 6.0
"""Calls that wait for each that is served, at most: ten may (contract section 1)."""
LONG: Final = 55.0
"""Seconds that no call takes longer for that reason: proxies end them after 60 (section 1)."""
UNTOLD: Final = 1.5
"""Times as many wait where the service does not tell how long it worked: less is known there."""
SPARE: Final = 4
STAYS: Final = 60.0
"""Seconds that containers stay although nobody calls them (Knative's stable window)."""


class Round:
    """What is gathered between two changes."""

    def __init__(self, began: float, served: float) -> None:
        self.began, self.served, self.size = began, served, max(FEWEST, served)
        self.answers: list[Sample] = []
        self.samples = self.saturated = self.refused = 0
        self.evident = 0.0
        """How many are served at least, if that ended it before its time."""

    def note(self, sample: Sample) -> None:
        """Gather a sample."""
        self.samples += 1
        self.saturated += sample.saturated
        self.refused += sample.sign is Sign.FULL
        if sample.sign is Sign.ANSWERED:
            self.answers.append(sample)


class Adaptive:
    """See the rules above.

    `lowest`, `highest`: the bounds it never leaves. `patient`: nobody on the way cuts off who
    waits, as in async mode. `bound`: why it is not `highest` that was asked for, if so.
    """

    def __init__(
        self,
        lowest: int = 1,
        highest: int = 512,
        start: int = START,
        *,
        patient: bool = False,
        bound: str = "",
    ) -> None:
        self._lowest, self._highest, self._start = lowest, highest, start
        self._bound = bound
        self._patient = patient
        self.value = self._within(start)
        self.serving: float | None = None
        self._waiting, self._census, self._refusals = Waiting(), Census(), Refusals(highest)
        self._usual, self._rounds = 0.0, 0
        self._round: Round | None = None
        self._best, self._rose_at = 0.0, 0.0
        self._answered_at = -inf
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
        self._census.note(sample)
        if sample.sign is Sign.FULL:
            return self._refused(self._round, sample)
        if sample.sign is Sign.SLOW and sample.seconds > self._usual:
            self._given_up = min(self._given_up or sample.seconds, sample.seconds)
        if sample.sign is not Sign.ANSWERED:
            return None
        self._answered_at = sample.now
        is_over = self._is_over(self._round, sample)
        change = self._concluded(self._round, sample.now) if is_over else None
        return change or self._climbed(sample)

    def restart(self, now: float) -> Change | None:
        """See `Limit`."""
        self._round = Round(now, FEWEST)
        self._census.restart(now)
        self._refusals.forget()
        stays = now - self._answered_at < STAYS
        if not stays:
            self._rose_at, self._best, self._known = now, 0.0, 0.0
        again = max(self._start, self._known)
        return self._move(again, now, "the service is there again")

    def _is_over(self, now_in: Round, answer: Sample) -> bool:
        """Whether the round is long enough, or it is evident that more are served."""
        lasted = answer.now - now_in.began
        if len(now_in.answers) >= now_in.size and lasted >= SPAN * self._usual:
            return True
        if answer.server_seconds is None or (self._rounds and not self._waiting.is_told):
            return False
        evident = self._census.evident(answer, self._waiting.way)
        if len(now_in.answers) < EVIDENCE or evident <= RISE * now_in.served:
            return False
        now_in.evident = evident
        return True

    # One round ------------------------------------------------------------------------------------

    def _concluded(self, done: Round, now: float) -> Change | None:
        seen = self._seen(done, now)
        self.serving = seen if self.serving is None else (self.serving + seen) / 2
        if self.serving > RISE * max(self._best, self._known):
            self._rose_at = now
        if not self._best / FALL < self.serving < self._best:
            self._best = self.serving
        self._refusals.served(seen)
        is_free = not done.refused and self._refusals.are_old(now)
        if self.serving > self._known or is_free:
            self._known = self.serving
        settled = now - self._rose_at > SETTLED
        self._round = Round(now, seen)
        wanted = self._wanted(seen, now, settled=settled)
        if wanted < self.value / 1.1 and not done.evident:
            self._refusals.forget()
            waiting = max(done.answers[-1].in_flight - seen, 0)
            return self._move(
                wanted, now, f"{_busy(seen)}, {waiting:.0f} calls queued: limit lowered"
            )
        calm = self._refusals.are_over(now, self._usual)
        if wanted > self.value * 1.1 and done.saturated > done.samples / 2 and calm:
            return self._move(wanted, now, f"{_busy(seen)}, short queue: limit raised")
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
        most = max(answer.in_flight for answer in done.answers)
        counted = self._census.of(pairs, self._waiting.way) if self._waiting.is_told else None
        if done.evident or counted is not None:
            return min(done.evident or counted or 0.0, most)
        served = rate * self._usual
        queued = rate * median(waits)
        steady = [pair for pair in pairs if not self._census.is_of_a_burst(pair[0])]
        if len(steady) > len(pairs) / 2 and queued < served:
            # Else all are busy: what they do is known better than who waits.
            served = max(served, median(a.joined - rate * wait for a, wait in steady))
        return min(max(served, 1.0), most)

    def _wanted(self, serving: float, now: float, *, settled: bool) -> float:
        margin = 1.0 if self._waiting.is_told else UNTOLD
        if settled:
            deep = DEEP if self._patient else LONG / max(self._usual, 1e-9) - 1
            few = min(min(max(EAGER, deep), DEEP) * serving, margin * FEW - 2 * serving)
            wanted = serving + max(margin * SHARE * serving, few)
        else:
            wanted = serving * (1 + EAGER) + SPARE
        if self._given_up is not None:
            patience = max(self._given_up - self._usual, 0.0) / 2
            wanted = min(wanted, serving * (1 + patience / max(self._usual, 1e-9)) + SPARE)
        return min(wanted, self._refusals.ceiling(now))

    def _climbed(self, answer: Sample) -> Change | None:
        wanted = self._refusals.climbs(answer, self.value, self._known)
        return (
            None
            if wanted is None
            else self._move(wanted, answer.now, "nothing is refused any more")
        )

    def _refused(self, now_in: Round, sample: Sample) -> Change | None:
        left = self._refusals.refused(sample, self.value, self._known)
        if now_in.refused > 1:
            self.value = self._within(left)
            return None
        self._refusals.met(sample, self._known, now_in.served)
        return self._move(min(left, CUT * self.value), sample.now, "refused: too many at once")

    def _move(self, wanted: float, now: float, reason: str) -> Change | None:
        if self._within(wanted) > self.value + FEWEST:
            self._census.raised(now)
        was, self.value = self._told, self._within(wanted)
        self._told = self.value
        if self._bound and wanted > self._highest:
            reason = f"{reason}; {self._bound}"
        return Change(now, was, self.value, reason) if self.value != was else None

    def _within(self, wanted: float) -> int:
        return max(self._lowest, min(self._highest, round(wanted)))


def _busy(count: float) -> str:
    return f"{count:.0f} container{'' if round(count) == 1 else 's'} busy"
