"""What the engine asks of the world, on one page.

Each port has one contract suite (`tests/contracts/`) that every implementation passes, the fakes of
`testing.py` included. Ports hand out sequences, never async generators: a cancelled `async for`
leaves its generator open.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from batchinfer.domain import Counts, Item, OpenItem, Outcome, Record, State, Submitted

Clock: TypeAlias = Callable[[], float]
"""Seconds since the epoch. Durations are measured on the event loop's own clock instead."""


class Source(Protocol):
    """Where items come from."""

    def check(self) -> None:
        """Find every mistake that can be found before anything is sent; a manifest is read whole.

        Raises SourceError with the place (file, line).
        """

    def __iter__(self) -> Iterator[Item]:
        """Items in input order, positions not yet given. Holds no list of them."""


class Backend(Protocol):
    """Carries one item to the model. Sync mode brings a reply back; async mode only submits."""

    async def attempt(self, item: Item, number: int) -> Outcome | Submitted:
        """Try once. Whatever happens to this item is returned as a value.

        Raises FatalError when no item can succeed. Cancelled, it leaves nothing behind here.
        """


@dataclass(frozen=True, slots=True)
class OutputArrival:
    """An outcome that has turned up in the bucket."""

    item: OpenItem
    attempt: int
    """The attempt it belongs to: may be older than `item.attempt`."""
    outcome: Outcome
    size: int = 0
    """Bytes that were read for it."""


EmitOutput: TypeAlias = Callable[[OutputArrival], Awaitable[None]]


class OutputWatcher(Protocol):
    """Asks the bucket, for everybody, what has turned up."""

    async def poll(self, store: OpenItems, emit: EmitOutput) -> None:
        """One look: page through the run's outputs, emit what is decided, remember half pairs.

        Raises FatalError as a backend does, and OSError when the bucket does not answer: then the
        look was not whole, and says nothing about what is missing.
        """

    async def find_unrecorded(
        self, store: Store, mark_submitted: Callable[[Sequence[SubmittedObject]], Awaitable[None]]
    ) -> None:
        """Page through the run's input objects: what was submitted, but not recorded, by a kill.

        Only what surely is what its item would be sent as now is adopted.
        """

    async def cleanup(self, store: OpenItems) -> None:
        """Delete what is no longer needed, now that all that was emitted is on record."""


@dataclass(frozen=True, slots=True)
class SubmittedObject:
    """An input object found in the bucket."""

    position: int
    attempt: int
    name: str
    """Object name without folder and `.json`."""


class OpenItems(Protocol):
    """The part of a store that a watcher may see."""

    async def fetch_open(self, positions: Collection[int]) -> Mapping[int, OpenItem]:
        """Those of `positions` that have no final outcome yet."""

    async def fetch_lowest_open_position(self) -> int | None:
        """Lowest position whose output may still turn up: submitted, or pending after attempts."""


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


class RecordsTooLarge(Exception):  # noqa: N818 - reads as a fact
    """Records that the store cannot hold, by the positions of their items; nothing was recorded."""

    def __init__(self, positions: Collection[int]) -> None:
        super().__init__(f"too large to record: items {sorted(positions)}")
        self.positions = frozenset(positions)


class Store(OpenItems, Protocol):
    """Remembers the run. One writer; every verb is one transaction; returned means durable."""

    async def add(self, items: Sequence[Item], maybe_in_flight: Container[int] = ()) -> AddResult:
        """Add a page, in order. An item whose key is known (same first path) is not added again.

        A pending item that was never tried takes over changed files and parameters, unless its
        position is among `begun`: it may be on its way. Raises SourceError naming both places when
        one key stands for two paths.
        """

    async def fetch_pending(self, after: int, limit: int, due: float) -> Sequence[Item]:
        """At most `limit` pending items with position > `after` and no `retry_at` beyond `due`."""

    async def fetch_next_retry_at(self, after: float) -> float | None:
        """Earliest `retry_at` of a pending item that is later than `after`, if there is one."""

    async def commit_records(self, records: Sequence[Record]) -> Sequence[State | None]:
        """Commit a pile, in order; for each record the state its item was in before.

        None: it came too late and changed nothing, for its item has a final outcome, or its attempt
        is already recorded (a reply counts even then: a late output is a result). Raises TooLarge,
        and records nothing, when replies or logs are more than it can hold.
        """

    async def mark_submitted(self, objects: Sequence[SubmittedObject], at: float) -> int:
        """Mark pending items submitted whose next attempt is already in the bucket; how many."""

    async def fetch_overdue(self, submitted_before: float, limit: int) -> Sequence[OpenItem]:
        """Submitted items whose submission is older than that, oldest first."""

    async def clamp_future_times(self, now: float) -> None:
        """Bring what lies in the future back to `now`: this machine's clock was once ahead.

        That is submissions, and retries of attempts that began in the future: without it they
        would be waited for until the clock is there again.
        """

    async def mark_source_complete(self) -> None:
        """Note that the source has been read to its end: resuming need not read it again."""

    async def save_limit_changes(self, changes: Sequence[LimitChanged]) -> None:
        """Keep how the limit moved."""

    async def fetch_counts(self) -> Counts:
        """Items by state."""


@dataclass(frozen=True, slots=True)
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
    """How many containers seem to serve this run; None while nobody can say."""
    paused: bool = False
    """Whether nothing new begins, by a person's wish."""


@dataclass(frozen=True, slots=True)
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
    limit: float
    """After how long the run is given up."""


@dataclass(frozen=True, slots=True)
class OutageEnded:
    """The service that was waited for answers again."""

    code: str
    """Of the `Waiting` that is over."""
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
    """Is told what has become durable, after it has. Must be quick: it runs on the event loop."""

    def notify(self, event: Event) -> None:
        """Take note of one event. What it raises ends the run: it must not raise."""
