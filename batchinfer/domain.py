"""The values that all packages share: items, attempts, outcomes, records, results.

They are frozen (`values.py` says how far) and can be pickled. Nothing here knows a network, a disk,
a clock or a library.

The states of an item::

    pending ──submit──▶ submitted ──┬──▶ succeeded
       │  ▲                 │       └──▶ failed
       │  └──── retry ◀─────┘
       └──────────────▶ succeeded | failed        (sync mode has no `submitted`)

There is no `running`: that is a fact about a process, and wrong after a crash. An attempt that was
cut off (by a kill, a cancel, an abort) leaves no trace and is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from batchinfer.mode import Mode as Mode  # noqa: PLC0414 - one of these values
from batchinfer.values import value_class

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
"""Data as JSON knows it. Floats may be nan or infinite: models return them (the store spells them
as the strings "NaN", "Infinity", "-Infinity", for strict JSON has no other way)."""

JSON_MEDIA_TYPE = "application/json"
TEXT_MEDIA_TYPE = "text/plain"
"""Media types of a prediction that was read as data, and of one that could only be kept as text."""
ZIP_MEDIA_TYPE = "application/zip"
"""Of several files, where none of them is the prediction by itself."""


class State(StrEnum):
    """What is durably known of an item; the module's docstring shows the transitions."""

    PENDING = "pending"
    """No outcome yet. Interrupted, cut off and backing-off items are pending."""
    SUBMITTED = "submitted"
    """Async mode only: the input object is in the bucket and its name is known."""
    SUCCEEDED = "succeeded"
    """A reply is recorded. Final."""
    FAILED = "failed"
    """A failure that will not be tried again by itself. `retry` makes it pending."""


class FailureKind(StrEnum):
    """What a failure says about further attempts."""

    TRANSIENT = "transient"
    """This attempt failed; another may succeed. Counts as an attempt."""
    PERMANENT = "permanent"
    """This item will never succeed as it is."""
    UNAVAILABLE = "unavailable"
    """The service is not there (cold start, no connection): this says nothing about the item, is
    waited out, and is no attempt."""


class ServiceSignal(StrEnum):
    """What the end of an attempt says about the service: all that flow control learns from.

    It is decided where an answer is read; from then on no code looks at failure codes.
    """

    ANSWERED = "answered"
    """The service works, whatever the model made of this item."""
    OVERLOADED = "full"
    """More calls than it takes (429, 503); nothing was computed."""
    TIMEOUT = "slow"
    """The call was given up; its container may be busy for longer still."""
    UNREACHABLE = "away"
    """Scaled to zero, starting, or no connection."""
    ERROR = "broken"
    """Another trouble of the service or of the way to it: a 5xx, a connection that broke."""
    DENIED = "refused"
    """The request was refused (a 403, say), which may be this item's fault or hold for all."""
    LOCAL_SHORTAGE = "local"
    """Not sent: this machine is short of files, threads or memory."""
    INPUT_UNREADABLE = "unreadable"
    """Not sent: a file could not be read, which may be its fault or that of the whole source."""
    UNSENT = "unsent"
    """Not sent for another reason: nothing was heard of the service."""


@value_class
class InputFile:
    """One file of an item, as the source saw it."""

    param: str
    """The model parameter that receives the file (the `key` of an `oscar-files` entry)."""
    path: str
    """Absolute path; bytes that are not UTF-8 are surrogate escapes (`os.fsdecode`). The URI of a
    `RemoteFile`."""
    size: int | None = None
    """Bytes, when the source saw it; None when unknown (missing file, or re-read on retry)."""
    mtime_ns: int | None = None
    """Modification time in ns since the epoch; None when unknown. A file that differs from `size`
    or `mtime_ns` when it is read is not the one that was added: the item fails (`file_changed`)."""

    @property
    def fingerprint(self) -> str | None:
        """What tells contents apart beside size and time; None: nothing else is known."""
        return None

    def has_changed(
        self, size: int | None, mtime_ns: int | None, fingerprint: str | None = None
    ) -> bool:
        """Whether a file with this size, modification time and fingerprint is another than this.

        What is not known on both sides says nothing. A time that moved by whole quarters of an
        hour, to 14 hours, is the clock's doing, not the file's: FAT and exFAT keep local time.
        """
        if size is not None and self.size is not None and size != self.size:
            return True
        if fingerprint is not None and self.fingerprint is not None:
            return fingerprint != self.fingerprint
        if mtime_ns is None or self.mtime_ns is None or mtime_ns == self.mtime_ns:
            return False
        return not _is_time_zone_shift(mtime_ns, self.mtime_ns)


@value_class
class RemoteFile(InputFile):
    """One file of an item that is no file of this machine: `path` is a URI of a source plugin."""

    fingerprint: str | None = None
    """Another text whenever the content is another; None: unknown."""


_NS_PER_SECOND = 1_000_000_000


def _is_time_zone_shift(one: int, other: int) -> bool:
    """Whether two times differ by a whole offset of time zones, neither in ns nor in whole s."""
    if one % _NS_PER_SECOND == 0 or other % _NS_PER_SECOND == 0:  # a disk that knows no fractions
        one, other = (
            one // _NS_PER_SECOND * _NS_PER_SECOND,
            other // _NS_PER_SECOND * _NS_PER_SECOND,
        )
    difference = abs(one - other)
    return difference % (900 * _NS_PER_SECOND) == 0 and difference <= 14 * 3600 * _NS_PER_SECOND


@value_class
class Item:
    """One unit of input: what one prediction is made from."""

    key: str
    """The item's name: unique in the run, stable across resumes, printable in every export.
    Default: the path relative to the source, `/`-separated; undecodable bytes as `\\xNN`."""
    files: tuple[InputFile, ...] = ()
    params: Mapping[str, Json] = field(default_factory=dict)
    """The item's own parameters; they win over the config's `[params]`."""
    position: int = -1
    """Place in input order, from 1; given by the store when the item is added, never changed.
    -1: not added yet."""
    attempts: int = 0
    """Attempts recorded so far; the next one is number `attempts + 1`."""
    uncounted_attempts: int = 0
    """How many of them do not count against `max_attempts`: those from before a `retry`."""


@value_class
class SentFile:
    """One file of an item as an attempt read it, to send it."""

    param: str
    """The model parameter that receives the file."""
    size: int
    """Bytes."""
    sha256: str
    """Of the very bytes that were sent, in hexadecimal."""


@value_class
class OutputFile:
    """One of several files that the model returned for an item."""

    name: str
    """Relative, `/`-separated, unique among those of the reply; from outside."""
    data: bytes = field(repr=False)


@value_class
class ReusedFrom:
    """Where a reply was taken over from, for which no call was made."""

    run: str
    """Name of the run directory."""
    run_id: str
    key: str
    """Of the item there."""
    seconds: float
    """How long the attempt took that brought it."""


@value_class
class Reply:
    """What the model returned."""

    media_type: str = JSON_MEDIA_TYPE
    """`JSON_MEDIA_TYPE` when it was read as data, `TEXT` when as text only, else the type of
    `data`.
    """
    prediction: Json = None
    """The data, or the text; None when `data` holds the prediction."""
    data: bytes | None = None
    """A prediction that is bytes: an image, a zip. Stored as a file beside the run's database."""
    log: str = ""
    """Everything the service wrote, secrets redacted: the 200 body (sync) or the `.log` (async)."""
    server_seconds: float | None = None
    """Seconds on the server, where it reports them (`X-Duration-Seconds`)."""
    inputs: tuple[SentFile, ...] = ()
    """The files that the attempt sent. Async mode: those of its `Submitted`."""
    lease: object = field(default=None, repr=False, compare=False)
    """Holds its part of the memory budget until the reply is forgotten; None in another process."""
    files: tuple[OutputFile, ...] = ()
    """All files that the model returned, where those are several: stored as one archive beside the
    run's database. `prediction` is the data of one of them, or `media_type` that of the archive."""
    reused: ReusedFrom | None = None
    """The earlier run that it was taken over from; None: the service has answered."""

    def with_inputs(self, inputs: tuple[SentFile, ...]) -> Reply:
        """A copy with the files that were sent. `dataclasses.replace` takes seven times as long."""
        return Reply(
            self.media_type,
            self.prediction,
            self.data,
            self.log,
            self.server_seconds,
            inputs,
            self.lease,
            self.files,
            self.reused,
        )


@value_class
class Failure:
    """Why an attempt did not succeed. A value: it is recorded, never raised."""

    code: str
    """Stable and documented (`docs/reference/failure-codes.md`): programs may depend on it."""
    message: str
    """For people: what happened and what to do next. Never holds a secret. May change."""
    kind: FailureKind = FailureKind.PERMANENT
    retry_after: float | None = None
    """Seconds the server asked us to wait, if it did."""
    log: str = ""
    """What the service wrote, if anything, secrets redacted."""
    inputs: tuple[SentFile, ...] = ()
    """As in `Reply`."""
    signal: ServiceSignal | None = None
    """What it says about the service; None: what its kind says (see `get_signal`)."""
    model_killed: bool = False
    """The model was killed while it worked at the item, most likely for lack of memory."""

    @property
    def sent(self) -> bool:
        """Whether the item was sent; if not, nothing was heard of the service."""
        return self.signal not in UNSENT_SIGNALS


UNSENT_SIGNALS = frozenset(
    {ServiceSignal.LOCAL_SHORTAGE, ServiceSignal.INPUT_UNREADABLE, ServiceSignal.UNSENT}
)
"""Signals of attempts that sent nothing: nothing was heard of the service."""
_SIGNAL_BY_KIND = {
    FailureKind.PERMANENT: ServiceSignal.ANSWERED,
    FailureKind.TRANSIENT: ServiceSignal.ERROR,
    FailureKind.UNAVAILABLE: ServiceSignal.UNREACHABLE,
}

Outcome: TypeAlias = Reply | Failure


@value_class
class Submitted:
    """Async mode: the input object is in the bucket; its outcome will turn up in `outputs/`."""

    name: str
    """Object name without folder and `.json`; with another extension, if it has one."""
    inputs: tuple[SentFile, ...] = ()
    """The files that were sent."""


def get_signal(outcome: Outcome | Submitted) -> ServiceSignal:
    """What an outcome says about the service."""
    if isinstance(outcome, Reply) and outcome.reused is not None:
        return ServiceSignal.UNSENT
    if not isinstance(outcome, Failure):
        return ServiceSignal.ANSWERED
    return outcome.signal or _SIGNAL_BY_KIND[outcome.kind]


@value_class
class Attempt:
    """One attempt at one item, from the moment it held a slot to its outcome."""

    number: int
    """From 1. The output of an earlier attempt may arrive after a later one began."""
    started_at: float
    """Seconds since the epoch, by this machine's clock."""
    seconds: float
    """How long it took. In async mode from submission to the poll that found the output."""
    outcome: Outcome | Submitted
    params: Mapping[str, Json] | None = None
    """The item's own parameters, as this attempt sent them. None: not known here; those of an
    attempt in async mode are recorded with its submission."""
    service: str | None = None
    """Name of the service that ended it, where a run has several; None: there is one."""


@value_class
class Record:
    """One attempt and what follows from it: the unit that the writer commits."""

    position: int
    attempt: Attempt
    state: State
    """The item's state once this is committed."""
    retry_at: float | None = None
    """Seconds since the epoch; not before then is a `pending` item tried again."""
    key: str = field(default="", compare=False)
    """The item's, for whoever reports the outcome; empty: not known."""


@dataclass(frozen=True, slots=True)
class OpenItem:
    """An item without final outcome, as the watcher needs it."""

    position: int
    state: State
    attempt: int
    """Number of the newest attempt that was submitted (0: none)."""
    submitted_at: float | None
    """When that attempt was submitted, seconds since the epoch."""
    uncounted_attempts: int = 0
    """As in `Item`."""
    objects: Mapping[int, str] = field(default_factory=dict)
    """Object names (without folder and `.json`) of its submissions, by number of the attempt. Those
    of runs of a format before version 5 are missing."""
    key: str = field(default="", compare=False)
    """As in `Item`."""

    def has_submitted(self, attempt: int, name: str, *, tagged: bool) -> bool:
        """Whether it is on record that `attempt` was submitted under the object name `name`.

        `tagged`: whether the name tells process and payload, as all do since format version 5.
        """
        recorded = self.objects.get(attempt)
        if recorded is not None:
            return recorded == name
        return not tagged and attempt <= self.attempt


@dataclass(frozen=True, slots=True)
class Counts:
    """How many items of a run are in each state."""

    pending: int = 0
    submitted: int = 0
    succeeded: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """All items added so far."""
        return self.pending + self.submitted + self.succeeded + self.failed

    @property
    def finished(self) -> int:
        """Items with a final outcome."""
        return self.succeeded + self.failed


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a run directory holds about its run as a whole; written once, when it is created."""

    id: str
    """Lower-case letters and digits; the first part of every object name of this run."""
    created_at: float
    """Seconds since the epoch."""
    mode: Mode
    config: Mapping[str, Json]
    """The configuration, sections as in the TOML file, `${NAME}` unexpanded, literal secrets left
    out. Enough to resume, given the secrets."""
    sources: tuple[str, ...]
    """Where its items come from, absolute; "-" for standard input."""


@dataclass(frozen=True, slots=True)
class Result:
    """An item with its final outcome (or none yet), as exported; fields in the export's order."""

    key: str
    state: State
    prediction: Json
    """The data; the text; or, for bytes, the path of the file relative to the run directory."""
    media_type: str | None
    """None without a reply."""
    code: str | None
    """The failure's code; None when it succeeded. Of a pending item: of its latest attempt."""
    message: str | None
    attempts: int
    seconds: float | None
    """Duration of the latest recorded attempt."""
    started_at: str | None
    """Start of the latest recorded attempt, ISO 8601, UTC, milliseconds."""
    finished_at: str | None
    path: str | None
    """Of the first file."""
    params: Mapping[str, Json]
    """The item's own parameters."""
    reused: str | None = None
    """The earlier run that the prediction was taken over from, without a call; None: from none."""


@dataclass(frozen=True, slots=True)
class ResultDetails:
    """A result and everything else that is known of its item: what exports and the report read."""

    position: int
    result: Result
    files: tuple[InputFile, ...]
    """Paths are exact, byte for byte."""
    attempt: int
    """Number of the attempt that is shown: the one with the reply, else the latest; 0: none yet."""
    log: str
    """What the service wrote in that attempt; hostile text."""
    server_seconds: float | None
    sha256: Mapping[str, str] = field(default_factory=dict)
    """Of the bytes that attempt sent, in hexadecimal, by the parameter of the file."""
    session: int | None = None
    """Number of the session that sent it; None: not known."""
    file_checksum: int | None = None
    """CRC-32 of the file that `result.prediction` names, or of the archive with all files that the
    model returned; None: no file, or not known."""

    @property
    def archive_name(self) -> str | None:
        """The archive beside a prediction that is data, relative to the run directory."""
        is_data = self.result.media_type in {JSON_MEDIA_TYPE, TEXT_MEDIA_TYPE}
        if self.file_checksum is None or not is_data:
            return None
        return f"outputs/{self.position}-{self.attempt}.zip"

    @property
    def output_name(self) -> str | None:
        """The file of the result, a prediction or an archive, in the same way; None: it has none.

        From the database: it may lead anywhere.
        """
        result = self.result
        if result.media_type in {None, JSON_MEDIA_TYPE, TEXT_MEDIA_TYPE}:
            return self.archive_name
        return result.prediction if isinstance(result.prediction, str) else None
