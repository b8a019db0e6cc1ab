"""What the engine needs from outside: a backend, a queue, a sink of records, an observer.

Each port is as narrow as its user. One contract suite (`tests/contracts/`) holds for every
implementation. Ports return sequences, never async generators: a cancelled `async for` leaves its
generator open. Values and exceptions can be pickled, so that they may cross to another process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

from batchinfer.domain import Counts, InputFile, Item, OpenItem, Outcome, Record, State, Submitted
from batchinfer.values import value_class

Clock: TypeAlias = Callable[[], float]
"""Seconds since the epoch. Durations are measured on the event loop's own clock instead."""


class Backend(Protocol):
    """Carries one item to the model. Sync mode brings a reply back; async mode only submits."""

    async def attempt(self, item: Item, number: int) -> Outcome | Submitted:
        """Try once. Whatever happens to this item is returned as a value.

        Raises FatalError when no item can succeed. Cancelled, it leaves nothing behind here.
        """


class CallClock(Protocol):
    """What a backend tells of a call that it cannot make at once, or has to make again."""

    def hold(self) -> None:
        """The call is on hold: nothing is known to be with the service. Twice is as once."""

    def resume(self) -> None:
        """It is no longer on hold, and began when it did."""

    def restart(self) -> None:
        """It begins now, or begins again."""


@runtime_checkable
class HoldingBackend(Backend, Protocol):
    """A backend whose calls may wait for something of its own, or be begun again by it.

    Time on hold counts for nothing: neither against the service, nor against the item.
    """

    async def attempt_timed(self, item: Item, number: int, clock: CallClock) -> Outcome | Submitted:
        """As `Backend.attempt`; `clock` is told when the call really begins."""


@value_class
class OutputArrival:
    """An outcome that has arrived in the bucket."""

    item: OpenItem
    attempt: int
    """The attempt it belongs to: may be older than `item.attempt`."""
    outcome: Outcome
    size: int = 0
    """Bytes that were read for it."""


EmitOutput: TypeAlias = Callable[[OutputArrival], Awaitable[None]]


class OutputWatcher(Protocol):
    """Looks into the bucket, for all items of the run at once, for outputs that have arrived."""

    async def poll(self, items: OpenItems, emit: EmitOutput) -> None:
        """Page once through the run's outputs, emit what is decided, remember incomplete pairs.

        Raises FatalError as a backend does, and OSError when the bucket does not answer: then the
        poll was not complete, and says nothing about what is missing.
        """

    async def find_unrecorded(
        self,
        items: RecoverableItems,
        mark_submitted: Callable[[Sequence[SubmittedObject]], Awaitable[None]],
    ) -> None:
        """Page through the run's input objects for those that a killed process did not record.

        Only those that surely hold what their item would be sent as now are marked.
        """

    async def cleanup(self, items: OpenItems) -> None:
        """Delete what is no longer needed, now that all that was emitted is on record."""


@dataclass(frozen=True, slots=True)
class PollAdvice:
    """When a watcher that is notified should be asked again."""

    pause: float | None = None
    """Seconds from one poll to the next; None: as many as without notifications."""
    named_at: float | None = None
    """When outputs that were named are worth a look, on the event loop's clock; None: none is."""


@runtime_checkable
class NotifiedWatcher(OutputWatcher, Protocol):
    """A watcher that may be told of outputs when they are written.

    Notifications are hints: all of them may be missing, late, repeated or wrong. Only what the
    bucket holds counts, and only a poll says what is missing.
    """

    async def listen(self, wakeup: Callable[[], None]) -> None:
        """Follow the notifications until cancelled; ends when there are none to be had.

        `wakeup`: called when `advise` says something new. Raises nothing.
        """

    def advise(self) -> PollAdvice:
        """When to look again, as things are now."""

    async def poll_named(self, items: OpenItems, emit: EmitOutput) -> None:
        """Look at outputs that were named and are due, emit what is decided. Raises as `poll`."""


@dataclass(frozen=True, slots=True)
class SubmittedObject:
    """An input object found in the bucket."""

    position: int
    attempt: int
    name: str
    """Object name without folder and `.json`."""


@dataclass(frozen=True, slots=True)
class AddResult:
    """What came of adding a page of items."""

    new_count: int
    """Items that were not in the run before."""
    changed_file_keys: tuple[str, ...] = ()
    """Keys of items whose file is no longer the one that was sent."""
    changed_param_keys: tuple[str, ...] = ()
    """Keys of items whose parameters are no longer those that were sent."""
    known_positions: tuple[int, ...] = ()
    """Positions of the items that were in the run before."""


@value_class
class KnownItem:
    """What a run knows of an item whose key has come again."""

    position: int
    state: State
    attempts: int
    """Recorded so far."""
    files: tuple[InputFile, ...]
    """As they were when the item was added, or put back."""
    code: str | None = None
    """Of the failure that its latest attempt ended with; None: it did not."""


@dataclass(frozen=True, slots=True)
class PutBack:
    """What became of finished items that were put back to pending."""

    succeeded: int = 0
    """How many had a reply before."""
    failed_by_code: Mapping[str, int] = field(default_factory=dict)
    """The same of failures."""


class RecordsTooLarge(Exception):  # noqa: N818 - reads as a fact
    """Records that the sink cannot hold, by the positions of their items; nothing was recorded."""

    def __init__(self, positions: Collection[int]) -> None:
        super().__init__(f"too large to record: items {sorted(positions)}")
        self.positions = frozenset(positions)

    def __reduce__(self) -> tuple[type[RecordsTooLarge], tuple[Collection[int]], dict[str, object]]:
        return type(self), (self.positions,), vars(self)


# A store implements the following protocols; each verb is one transaction, and what has returned is
# durable.


class WorkQueue(Protocol):
    """Items to do, in input order. A record that its sink has committed counts here at once."""

    async def add(self, items: Sequence[Item], maybe_in_flight: Container[int] = ()) -> AddResult:
        """Add a page, in order. An item whose key is known (same first path) is not added again.

        A pending item that was never tried takes over changed files and parameters, unless its
        position is in `maybe_in_flight`. Raises SourceError naming both places when one key stands
        for two paths.
        """

    async def fetch_pending(self, after: int, limit: int, due: float) -> Sequence[Item]:
        """At most `limit` pending items with position > `after` and no `retry_at` beyond `due`."""

    async def fetch_next_retry_at(self, after: float) -> float | None:
        """Earliest `retry_at` of a pending item that is later than `after`, if there is one."""

    async def clamp_future_times(self, now: float) -> None:
        """Set times that lie in the future to `now`: this machine's clock was once ahead.

        These are submissions, and retries of attempts that began in the future; without it they
        would be waited for until the clock is there again.
        """

    async def mark_source_complete(self) -> None:
        """Record that the source has been read to its end: resuming need not read it again."""

    async def find_known(self, keys: Sequence[str]) -> Mapping[str, KnownItem]:
        """Those of these keys that are in the run, and what is known of their items."""

    async def put_back(self, items: Sequence[Item]) -> PutBack:
        """Put finished items back to pending, with these files, due now, with all attempts again.

        An item is known by its key. One that is not finished stays as it is. A reply that there
        was is no result any more; its attempt stays on record.
        """


class RecordSink(Protocol):
    """Takes what has happened. One writer at a time."""

    async def commit_records(self, records: Sequence[Record]) -> Sequence[State | None]:
        """Commit a batch, in order; for each record the state its item was in before.

        None: it came too late and changed nothing, for its item has a final outcome, or its attempt
        is already recorded (a reply counts even then: a late output is a result). Raises
        RecordsTooLarge, and records nothing, when replies or logs are more than it can hold.
        """

    async def save_limit_changes(self, changes: Sequence[LimitChanged]) -> None:
        """Record how the limit moved."""

    async def fetch_counts(self) -> Counts:
        """Items by state."""


class OpenItems(Protocol):
    """What a watcher asks when it looks for outputs."""

    async def fetch_open(self, positions: Collection[int]) -> Mapping[int, OpenItem]:
        """Those of `positions` that have no final outcome yet."""

    async def fetch_lowest_open_position(self) -> int | None:
        """Lowest position whose output may still turn up: submitted, or pending after attempts."""


class RecoverableItems(OpenItems, Protocol):
    """What a watcher asks when it looks for inputs that were put and not recorded."""

    async def fetch_pending(self, after: int, limit: int, due: float) -> Sequence[Item]:
        """As `WorkQueue.fetch_pending`."""

    async def fetch_counts(self) -> Counts:
        """As `RecordSink.fetch_counts`."""


class Submissions(RecoverableItems, Protocol):
    """Async mode: what the collector needs to know and to change about submitted items."""

    async def mark_submitted(self, objects: Sequence[SubmittedObject], at: float) -> int:
        """Mark pending items submitted whose next attempt is already in the bucket; how many."""

    async def fetch_overdue(self, submitted_before: float, limit: int) -> Sequence[OpenItem]:
        """Submitted items whose submission is older than that, oldest first."""

    async def clamp_future_times(self, now: float) -> None:
        """As `WorkQueue.clamp_future_times`."""


class Store(WorkQueue, RecordSink, Submissions, Protocol):
    """All that a run needs to remember, in one place."""


@value_class
class Progress:
    """Where the run stands; counts only what is durable."""

    counts: Counts
    in_flight: int
    """Attempts that hold a slot."""
    is_source_complete: bool
    """Whether `counts.total` is all there will be (the source has been read to its end)."""
    failed_by_code: Mapping[str, int] = field(default_factory=dict)
    """Items failed in this process, by code."""
    limit: int | None = None
    """Attempts in flight (async mode: objects submitted and unfinished) that are allowed now."""
    estimated_servers: float | None = None
    """How many containers seem to serve this run; None while it is unknown."""
    paused: bool = False
    """Whether a person has stopped new attempts for now."""
    is_watching: bool = False
    """Whether the source is watched: there will be more, nobody knows how much."""


@value_class
class Committed:
    """Something has become durable: records, or (then without any) items of the source."""

    records: Sequence[Record]
    progress: Progress


@dataclass(frozen=True, slots=True)
class OutageOngoing:
    """The service is not there; it is being waited for."""

    code: str
    message: str
    seconds: float
    """How long already."""
    limit: float | None
    """After how long the run is given up; None: never."""


@dataclass(frozen=True, slots=True)
class OutageEnded:
    """The service that was waited for answers again."""

    code: str
    """Of the `OutageOngoing` that is over."""
    seconds: float
    """How long it was away."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should know and no result says (changed files, a skipped check)."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class LimitChanged:
    """The limit has moved."""

    at: float
    """Seconds since the epoch."""
    was: int
    value: int
    """Attempts in flight (async mode: objects submitted and unfinished) that are allowed now."""
    reason: str
    """Why, in a few words for a person."""


Event: TypeAlias = Committed | OutageOngoing | OutageEnded | Notice | LimitChanged


class Observer(Protocol):
    """Receives events; records only once they are durable. Runs on the event loop, so be quick."""

    def notify(self, event: Event) -> None:
        """Handle one event. What it raises ends the run: it must not raise."""
