"""The adaptive limit: as many attempts in flight as the service serves, and a few that wait.

The service gives each call a container and lets the others wait (docs/platform.md); it never says
how many containers there are, and starts more only while calls wait. So neither errors nor a slow
rise of latency show the right number. What shows it is *waiting*. A call that joined n others and
waited W seconds, while X calls a second were answered, had X * W calls before it in the queue
(Little's law); the others were being served::

    servers = n - X * W

Where the service reports `X-Duration-Seconds`, this can be counted, answer by answer
(`queue_estimators`).

Rules:

1. *Windows.* Samples are gathered until as many answers came as are served at a time: one change
   per window, so at most one cut per window in flight. A window ends at once when it is evident
   that more are served; such a window never cuts. All samples count; of answers that come faster
   than `MAX_STUDIED_PER_SECOND` only some are studied (`AnswerSelection`).
2. *Target*: what is served, and some that wait. While the number served still rises
   (`SERVERS_RISE_FACTOR`), up to `GROWTH_QUEUE_FACTOR` times as many wait as are served, for a
   scaling service starts containers for those that wait. Once it has not risen for
   `SETTLED_AFTER_SECONDS` seconds, only `SETTLED_QUEUE_SHARE` of it: enough that no container is
   ever idle and that a rise shows (the knee test). For a small service more wait
   (`SMALL_SERVICE_QUEUE_CALLS`): it may become a large one, and only waiting calls show that.
3. Nothing grows unless the limit is what held it back.
4. *Overload* (429, 503): see `overload_ceiling`.
5. *Timeouts* show how long a proxy on the way lets calls wait (docs/platform.md: 60 s, 300 s): no
   call waits for longer than half of what that leaves beside the prediction.
6. After an outage of less than `CONTAINER_LINGER_SECONDS` seconds it begins with what was served
   before, for the containers are there still; after a longer one, carefully (`restart`).
"""

from __future__ import annotations

from math import inf
from statistics import fmean, median
from typing import Final

from batchinfer.domain import ServiceSignal
from batchinfer.flow.concurrency_limit import AttemptSample, LimitAdjustment
from batchinfer.flow.overload_ceiling import OVERLOAD_CUT_FACTOR, OverloadCeiling
from batchinfer.flow.queue_estimators import (
    MIN_EVIDENCE_ANSWERS,
    QueueTimeEstimator,
    ServerCountEstimator,
)
from batchinfer.flow.sample_window import MIN_WINDOW_ANSWERS, AnswerSelection, SampleWindow

INITIAL_LIMIT: Final = 8
"""Attempts in flight at the beginning: ten may wait for one container (docs/platform.md)."""
MIN_WINDOW_SERVICE_TIMES: Final = 0.8
"""Times the usual time on the server that it lasts at least: answers come in waves."""
SERVERS_RISE_FACTOR: Final = 1.2
SERVERS_FALL_FACTOR: Final = 1.5
"""By which factor the number served has risen, or fallen, when that is no accident."""
SERVICE_TIME_ANSWERS: Final = 200
"""Answers over which the usual time on the server is averaged."""
GROWTH_QUEUE_FACTOR: Final = 3.0
SETTLED_AFTER_SECONDS: Final = 30.0
SETTLED_QUEUE_SHARE: Final = 0.3
SMALL_SERVICE_QUEUE_CALLS: Final = 40
"""So many wait besides, less twice those served: the smaller a service, the more it may grow, and
those that wait show it at once."""
MAX_QUEUED_PER_SERVER: Final = 6.0
"""Calls that wait for each that is served, at most: ten may (docs/platform.md)."""
MAX_CALL_SECONDS: Final = 55.0
"""Seconds that no call shall take because of that: proxies end them after 60."""
UNREPORTED_QUEUE_FACTOR: Final = 1.5
"""Times as many wait where the service does not report how long it worked: less is known."""
SPARE_CALLS: Final = 4
CONTAINER_LINGER_SECONDS: Final = 60.0
"""Seconds that containers stay although nothing calls them (Knative's stable window)."""


class AdaptiveLimit:
    """See the rules above.

    `lowest`, `highest`: the bounds it never leaves. `unlimited_wait`: nothing on the way cuts off
    what waits, as in async mode. `highest_reason`: why `highest` is less than was asked for, if so.
    """

    learns = True

    def __init__(
        self,
        lowest: int = 1,
        highest: int = 512,
        start: int = INITIAL_LIMIT,
        *,
        unlimited_wait: bool = False,
        highest_reason: str = "",
    ) -> None:
        self._lowest, self._highest, self._start = lowest, highest, start
        self._highest_reason = highest_reason
        self._unlimited_wait = unlimited_wait
        self.value = self._clamp(start)
        self.estimated_servers: float | None = None
        self._queue_time, self._server_count, self._overload_ceiling = (
            QueueTimeEstimator(),
            ServerCountEstimator(),
            OverloadCeiling(highest),
        )
        self._usual_service_seconds, self._window_count = 0.0, 0
        self._window: SampleWindow | None = None
        self._selection = AnswerSelection()
        self._best_servers, self._rose_at = 0.0, 0.0
        self._last_answer_at = -inf
        self._known_servers = 0.0
        """How many were served when nothing was overloaded."""
        self._shortest_timeout: float | None = None
        self._reported_value = self.value

    def update(self, sample: AttemptSample) -> LimitAdjustment | None:
        """See `ConcurrencyLimit`."""
        if self._window is None:
            self._window = SampleWindow(sample.ended_at - sample.seconds, MIN_WINDOW_ANSWERS)
            self._rose_at = sample.ended_at
        self._window.add(sample)
        self._server_count.add(sample)
        if sample.signal is ServiceSignal.OVERLOADED:
            return self._on_overload(self._window, sample)
        if sample.signal is ServiceSignal.TIMEOUT and sample.seconds > self._usual_service_seconds:
            self._shortest_timeout = min(self._shortest_timeout or sample.seconds, sample.seconds)
        if sample.signal is not ServiceSignal.ANSWERED:
            return None
        self._last_answer_at = sample.ended_at
        if not self._selection.selects(sample.ended_at):
            return None
        self._window.answers.append(sample)
        is_complete = self._is_window_complete(self._window, sample)
        change = self._conclude_window(self._window, sample.ended_at) if is_complete else None
        return change or self._climb(sample)

    def restart(self, now: float) -> LimitAdjustment | None:
        """See `ConcurrencyLimit`."""
        self._window = SampleWindow(now, MIN_WINDOW_ANSWERS)
        self._server_count.restart(now)
        self._overload_ceiling.reset()
        has_containers_left = now - self._last_answer_at < CONTAINER_LINGER_SECONDS
        if not has_containers_left:
            self._rose_at, self._best_servers, self._known_servers = now, 0.0, 0.0
        target = max(self._start, self._known_servers)
        return self._set_target(target, now, "service is back")

    def _is_window_complete(self, window: SampleWindow, answer: AttemptSample) -> bool:
        """Whether the window is long enough, or it is evident that more are served."""
        elapsed = answer.ended_at - window.started_at
        if (
            window.has_enough_answers
            and elapsed >= MIN_WINDOW_SERVICE_TIMES * self._usual_service_seconds
        ):
            return True
        if answer.server_seconds is None or (
            self._window_count and not self._queue_time.is_reported
        ):
            return False
        evident_servers = self._server_count.count_evident(answer, self._queue_time.round_trip)
        if (
            len(window.answers) < MIN_EVIDENCE_ANSWERS
            or evident_servers <= SERVERS_RISE_FACTOR * window.servers
        ):
            return False
        window.evident_servers = evident_servers
        return True

    def skip_time(self, seconds: float, now: float) -> LimitAdjustment | None:
        """See `ConcurrencyLimit`. Containers that nothing has called for long may be gone."""
        if seconds >= CONTAINER_LINGER_SECONDS:
            return self.restart(now)
        if self._window is not None:
            self._window.started_at += seconds
        self._rose_at += seconds
        return None

    # One window -----------------------------------------------------------------------------------

    def _conclude_window(self, window: SampleWindow, now: float) -> LimitAdjustment | None:
        servers = self._estimate_servers(window, now)
        self.estimated_servers = (
            servers if self.estimated_servers is None else (self.estimated_servers + servers) / 2
        )
        if self.estimated_servers > SERVERS_RISE_FACTOR * max(
            self._best_servers, self._known_servers
        ):
            self._rose_at = now
        if (
            not self._best_servers / SERVERS_FALL_FACTOR
            < self.estimated_servers
            < self._best_servers
        ):
            self._best_servers = self.estimated_servers
        self._overload_ceiling.on_servers(servers)
        is_overload_gone = not window.overload_count and self._overload_ceiling.is_expired(now)
        if self.estimated_servers > self._known_servers or is_overload_gone:
            self._known_servers = self.estimated_servers
        settled = now - self._rose_at > SETTLED_AFTER_SECONDS
        self._window = SampleWindow(now, servers)
        target = self._target_limit(servers, now, is_settled=settled)
        if target < self.value / 1.1 and not window.evident_servers:
            self._overload_ceiling.reset()
            queued = max(window.answers[-1].in_flight - servers, 0)
            return self._set_target(
                target,
                now,
                f"{_busy_containers(servers)}, {queued:.0f} calls queued: limit lowered",
            )
        has_cooled_down = self._overload_ceiling.has_cooled_down(now, self._usual_service_seconds)
        if (
            target > self.value * 1.1
            and window.saturated_count > window.sample_count / 2
            and has_cooled_down
        ):
            return self._set_target(
                target, now, f"{_busy_containers(servers)}, short queue: limit raised"
            )
        return None

    def _estimate_servers(self, window: SampleWindow, now: float) -> float:
        """How many were being served, by the window's answers."""
        rate = window.answer_rate(now)
        waits = self._queue_time.estimate(window.answers)
        pairs = list(zip(window.answers, waits, strict=True))
        busy = fmean(answer.seconds - wait for answer, wait in pairs)
        weight = max(len(pairs) / SERVICE_TIME_ANSWERS, 1 / (self._window_count + 1))
        self._usual_service_seconds += min(weight, 1.0) * (busy - self._usual_service_seconds)
        self._window_count += 1
        most = max(answer.in_flight for answer in window.answers)
        counted = (
            self._server_count.estimate(pairs, self._queue_time.round_trip)
            if self._queue_time.is_reported
            else None
        )
        if window.evident_servers or counted is not None:
            return min(window.evident_servers or counted or 0.0, most)
        servers = rate * self._usual_service_seconds
        queued = rate * median(waits)
        steady = [pair for pair in pairs if not self._server_count.is_in_burst(pair[0])]
        if len(steady) > len(pairs) / 2 and queued < servers:
            # Else all are busy: what they do is known better than what waits.
            servers = max(servers, median(a.in_flight_at_start - rate * wait for a, wait in steady))
        return min(max(servers, 1.0), most)

    def _target_limit(self, servers: float, now: float, *, is_settled: bool) -> float:
        margin = 1.0 if self._queue_time.is_reported else UNREPORTED_QUEUE_FACTOR
        if is_settled:
            max_queue_per_server = (
                MAX_QUEUED_PER_SERVER
                if self._unlimited_wait
                else MAX_CALL_SECONDS / max(self._usual_service_seconds, 1e-9) - 1
            )
            queue_for_small_service = min(
                min(max(GROWTH_QUEUE_FACTOR, max_queue_per_server), MAX_QUEUED_PER_SERVER)
                * servers,
                margin * SMALL_SERVICE_QUEUE_CALLS - 2 * servers,
            )
            target = servers + max(margin * SETTLED_QUEUE_SHARE * servers, queue_for_small_service)
        else:
            target = servers * (1 + GROWTH_QUEUE_FACTOR) + SPARE_CALLS
        if self._shortest_timeout is not None:
            max_wait = max(self._shortest_timeout - self._usual_service_seconds, 0.0) / 2
            target = min(
                target,
                servers * (1 + max_wait / max(self._usual_service_seconds, 1e-9)) + SPARE_CALLS,
            )
        return min(target, self._overload_ceiling.current_ceiling(now))

    def _climb(self, answer: AttemptSample) -> LimitAdjustment | None:
        target = self._overload_ceiling.next_step(answer, self.value, self._known_servers)
        return (
            None
            if target is None
            else self._set_target(target, answer.ended_at, "no more 429/503: limit raised")
        )

    def _on_overload(self, window: SampleWindow, sample: AttemptSample) -> LimitAdjustment | None:
        reduced = self._overload_ceiling.reduce(sample, self.value, self._known_servers)
        if window.overload_count > 1:
            self.value = self._clamp(reduced)
            return None
        self._overload_ceiling.hit(sample, self._known_servers, window.servers)
        return self._set_target(
            min(reduced, OVERLOAD_CUT_FACTOR * self.value),
            sample.ended_at,
            "service overloaded (429/503): limit lowered",
        )

    def _set_target(self, target: float, now: float, reason: str) -> LimitAdjustment | None:
        if self._clamp(target) > self.value + MIN_WINDOW_ANSWERS:
            self._server_count.on_limit_raised(now)
        was, self.value = self._reported_value, self._clamp(target)
        self._reported_value = self.value
        if self._highest_reason and target > self._highest:
            reason = f"{reason}; {self._highest_reason}"
        return LimitAdjustment(now, was, self.value, reason) if self.value != was else None

    def _clamp(self, target: float) -> int:
        return max(self._lowest, min(self._highest, round(target)))


def _busy_containers(count: float) -> str:
    return f"{count:.0f} container{'' if round(count) == 1 else 's'} busy"
