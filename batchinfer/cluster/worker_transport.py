"""What carries calls to workers, as narrow as the pool needs it.

Three kinds of trouble, each an exception:

* `OSError`: the call was not answered. Whether it arrived is not known; it may be made again.
* `WorkerGone`: the worker has forgotten the coordinator, or never knew it: nothing is in flight.
* `WorkerRefusal`: the worker is there and cannot take part; the message says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

from batchinfer.domain import Item, Outcome, Submitted
from batchinfer.errors import FatalError

AttemptRequest: TypeAlias = tuple[int, Item, int, bool]
"""An attempt that a worker is to begin: its id, the item, the attempt's number, and whether it may
have been made already, by a worker that was lost or was not answered."""


@dataclass(frozen=True, slots=True)
class LargeOutcome:
    """Stands for an outcome that waits at its worker, to be fetched in pieces."""

    size: int
    """Bytes."""
    memory_size: int
    """Bytes that it takes up in memory once it is here."""


AttemptResult: TypeAlias = tuple[int, bytes | LargeOutcome]
"""How an attempt ended: its id, and its pickled `AttemptEnd`."""
AttemptEnd: TypeAlias = Outcome | Submitted | FatalError
"""What came of an attempt, or the error that ends the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSetup:
    """What a worker gets when it is opened."""

    versions: Mapping[str, str]
    """What `describe_versions` says at the coordinator."""
    protocol: str
    """Name of the run's protocol."""
    lease_seconds: float
    """A worker that does not hear of its coordinator for so long gives up what it has in flight."""
    bandwidth: float | None = None
    """Bytes per second that all workers of the run send together, at most; None: any number."""
    sealed_factory: bytes = field(repr=False)
    """See `seal_factory`."""


@runtime_checkable
class ResumableBackend(Protocol):
    """A backend that can find out whether an attempt was made already, and then adopts it."""

    def mark_unconfirmed(self, position: int, number: int) -> None:
        """This attempt may have been made already, under the name that it has here."""


class WorkerGone(Exception):  # noqa: N818 - reads as a fact
    """The worker does not know the coordinator (any more)."""


class WorkerRefusal(Exception):  # noqa: N818 - reads as a fact
    """The worker cannot take part; says why, in a sentence without its end."""


class RemoteWorker(Protocol):
    """One worker, as the coordinator calls it. Every call raises as the module says."""

    async def open(self, setup: WorkerSetup) -> int | None:
        """Open the run's backend there; how many attempts its machine bears, None: any number.

        Raises WorkerRefusal.
        """

    async def check_input(self, path: str) -> str | None:
        """Whether the worker can read an input; if not, what its system says."""

    async def start(self, sequence: int, requests: bytes, dropped: Sequence[int]) -> None:
        """Begin attempts, a pickled list of `AttemptRequest`.

        `dropped`: ids of attempts that nobody waits for; they are cut off, or their outcomes
        forgotten. Made again with the same `sequence`, it does nothing.
        """

    async def collect(self, sequence: int, max_seconds: float) -> bytes:
        """Wait for attempts that have ended; a pickled list of `AttemptResult`, perhaps empty.

        Made again with the same `sequence`, it brings the same ones, so that none is lost.
        """

    async def limit_bandwidth(self, bytes_per_second: float) -> None:
        """Send no faster than this from now on; the run has a bandwidth (`WorkerSetup`)."""

    async def fetch(self, attempt_id: int, offset: int, size: int) -> bytes:
        """A piece of a pickled outcome that is large."""

    async def close(self) -> None:
        """Let the worker cut off what is in flight, and forget everything."""


class WorkerTransport(Protocol):
    """The cluster, as the pool sees it."""

    async def list_addresses(self) -> Sequence[str]:
        """The workers that there are now. Raises OSError when nobody can tell."""

    async def connect(self, address: str) -> RemoteWorker:
        """Reach a worker, which does not know the run yet. Raises as the module says."""
