"""What an output watcher knows by notifications: which outputs to look at, and when to list next.

Only names of this run that carry a tag count: what is older could be another process's leftover,
which the listing knows how to tell apart.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

import anyio

from batchinfer.backends.bucket_client import ListedObject
from batchinfer.backends.named_outputs import NamedOutputs
from batchinfer.backends.notification_listener import NotificationListener, NotificationSource
from batchinfer.backends.notification_trust import MAX_TRUSTED_PAUSE, NotificationTrust
from batchinfer.backends.output_pairs import OutputPair, group_pairs
from batchinfer.ports import PollAdvice
from batchinfer.protocols.inference_protocol import BucketProtocol

MIN_UNDECIDED_PAUSE: Final = 5.0
"""Seconds between two listings for a missing half, at least."""
ORPHAN_PAUSE: Final = 1.6
"""Seconds between two listings for orphans: two of them make up the time in which one settles."""


class OutputNotifications:
    """The notifications of one run's outputs; without a `source` there are none.

    `undecided_pause`: seconds between two listings while outputs wait for what only a listing can
    show. `max_pause`: seconds between two listings, at most.
    """

    def __init__(
        self,
        protocol: BucketProtocol,
        run_id: str,
        source: NotificationSource | None = None,
        *,
        undecided_pause: float = MIN_UNDECIDED_PAUSE,
        max_pause: float = MAX_TRUSTED_PAUSE,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._protocol, self._run_id, self._source = protocol, run_id, source
        self._undecided_pause = max(undecided_pause, MIN_UNDECIDED_PAUSE)
        self._jitter = jitter
        self._named, self._trust = NamedOutputs(), NotificationTrust(max_pause)
        self._has_undecided = False

    async def listen(self, wakeup: Callable[[], None]) -> None:
        """Follow the store's notifications until cancelled; see `ports.NotifiedWatcher`."""
        if self._source is None:
            return

        def on_connected() -> None:
            self._trust.connect()
            wakeup()

        def on_dropped() -> None:
            self._trust.disconnect()
            wakeup()

        def on_written(entries: Sequence[ListedObject]) -> None:
            if self._add(entries):
                wakeup()

        prefix = f"{self._protocol.outputs_prefix}{self._run_id}-"
        listener = NotificationListener(self._source, prefix, jitter=self._jitter)
        await listener.run(on_connected=on_connected, on_written=on_written, on_dropped=on_dropped)

    def _add(self, entries: Sequence[ListedObject]) -> bool:
        """Take note of what was written; whether any of it is this run's."""
        now, is_ours = anyio.current_time(), False
        for entry in entries:
            output = self._protocol.parse_output_key(self._run_id, entry.key)
            if output is None or not output.parsed_name.tag:
                continue
            is_ours = True
            self._trust.hear(output.base_name)
            if not self._named.add(output.base_name, entry, now):
                self._trust.want_poll()  # a flood: the listing finds what there was no room for
        return is_ours

    # For the watcher ------------------------------------------------------------------------------

    def advise(self, *, has_orphans: bool) -> PollAdvice:
        """See `ports.NotifiedWatcher`. `has_orphans`: whether orphans have to be found."""
        pause = self._trust.pause
        if pause is not None and (self._has_undecided or self._named.has_undecided()):
            pause = min(pause, ORPHAN_PAUSE if has_orphans else self._undecided_pause)
        return PollAdvice(pause, self._named.next_due_at)

    def take_due(self) -> Sequence[OutputPair]:
        """What was named and is due, as pairs of outputs; not more than can be read in a while."""
        due = self._named.take_due(anyio.current_time())
        return [
            pair
            for entries in due
            for pair in group_pairs(self._protocol, self._run_id, [*entries])
        ]

    def postpone(self, base_name: str) -> None:
        """What was named is of a submission that is not on record yet."""
        self._named.postpone(base_name, anyio.current_time())

    def forget(self, base_name: str) -> None:
        """What was named is decided."""
        self._named.forget(base_name)

    def want_poll(self) -> None:
        """What was named could not be read: the listing shows it again."""
        self._trust.want_poll()

    def begin_poll(self) -> None:
        """A listing of all outputs begins."""
        self._trust.begin_poll()

    def note_listed(self, pair: OutputPair) -> None:
        """The listing has decided a pair."""
        if not self._named.has_all(pair.base_name, pair.listed_objects):
            self._trust.find_unnamed(pair.base_name, anyio.current_time())
        self._named.forget(pair.base_name)

    def complete_poll(self, undecided: frozenset[str]) -> None:
        """The listing is complete; `undecided`: names of the pairs that are to be seen again."""
        self._has_undecided = bool(undecided)
        self._named.forget_settled(undecided)
        self._trust.complete_poll(undecided, anyio.current_time())
