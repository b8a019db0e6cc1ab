"""What a job would send, without sending it: nothing is written but a manifest from standard input,
to a temporary file.

Every item is looked at as a backend would look at it: can its parameters be sent, is its file there
and not empty? Small files are read, for they must not hold a secret; of others only the first bytes
of the first one.
"""  # noqa: D205 - one thought, one sentence

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from batchinfer.api.curl import curl
from batchinfer.api.job import Job
from batchinfer.api.preparing import checked, items_of, known, source_of
from batchinfer.api.validating import rechecked
from batchinfer.backends.files import LIMIT, SMALL, read_files
from batchinfer.backends.redact import Redactor
from batchinfer.config import BucketAccess, Config, Resolved, ServiceAccess
from batchinfer.domain import Failure, Item, Json, Mode
from batchinfer.errors import SourceError
from batchinfer.oscar import payload
from batchinfer.oscar.sniff import HEAD
from batchinfer.ports import Notice


@dataclass(frozen=True, slots=True)
class Refused:
    """Items that would fail before they are sent, for one reason."""

    count: int
    key: str
    """The first of them."""
    message: str
    """What is wrong with that one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a job would send."""

    mode: Mode
    destination: str
    """Where to: the service's endpoint, or the bucket's folder. No secret."""
    items: int = 0
    """All items of the source."""
    bytes: int = 0
    """Of all their files."""
    taken: int = 0
    """Files that were taken from folders, by patterns, or because they were named."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Files and folders that were not, by kind (`.xmp`, `Thumbs.db`, `@eaDir/`)."""
    refused: Mapping[str, Refused] = field(default_factory=dict)
    """Items that could not be sent, by the code they would fail with."""
    key: str | None = None
    """The first item that can be sent; None: there is none."""
    payload: str | None = None
    """What would be sent for it: JSON, indented, data elided, secrets masked."""
    curl: str | None = None
    """A shell command that would send it; without any secret."""
    notices: Sequence[Notice] = ()
    """What else a person should know: folders that cannot be read, an unencrypted endpoint."""

    def as_json(self) -> dict[str, Json]:
        """The object that `batchinfer run --dry-run --json` prints (docs/scripting.md)."""
        return {
            "mode": self.mode.value,
            "destination": self.destination,
            "items": self.items,
            "bytes": self.bytes,
            "taken": self.taken,
            "skipped": dict(self.skipped),
            "refused": {code: asdict(each) for code, each in self.refused.items()},
            "key": self.key,
            "payload": None if self.payload is None else json.loads(self.payload),
            "curl": self.curl,
            "notices": [asdict(notice) for notice in self.notices],
        }


def preview(job: Job) -> Preview:
    """Look at everything a job would send. Blocks for as long as its source is long.

    Raises ConfigError, SourceError, RunMismatch as the job itself would.
    """
    config, resolved = checked(job, known(job.run))
    with TemporaryDirectory(prefix="batchinfer-") as folder:
        source = source_of(job, config, resolved, job.run if job.stdin is None else Path(folder))
        if source is None:
            raise SourceError("There is nothing left to read: name a source to look at.")
        told = rechecked(job, config, resolved, source)
        tally = _Tally(resolved)
        for item in items_of(source):
            tally.note(item)
        taken, skipped = source.skipped
        return replace(
            tally.preview(),
            taken=taken,
            skipped=skipped,
            curl=tally.curl(config, job.env),
            notices=(*resolved.notices, *told, *source.notices),
        )


class _Tally:
    def __init__(self, resolved: Resolved) -> None:
        self._resolved = resolved
        self._redact = Redactor(resolved.secrets)
        self.items = self._bytes = 0
        self._refused: dict[str, Refused] = {}
        self._first: Item | None = None

    def note(self, item: Item) -> None:
        """Take note of one item."""
        self.items += 1
        self._bytes += sum(file.size or 0 for file in item.files)
        failure = self._failure(item)
        if failure is None:
            self._first = self._first or item
            return
        before = self._refused.get(failure.code, Refused(0, item.key, failure.message))
        self._refused[failure.code] = replace(before, count=before.count + 1)

    def preview(self) -> Preview:
        """All that was noted."""
        first = self._first
        return Preview(
            mode=self._resolved.mode,
            destination=_destination(self._resolved),
            items=self.items,
            bytes=self._bytes,
            refused=self._refused,
            key=None if first is None else first.key,
            payload=None if first is None else self._payload(first),
        )

    def curl(self, config: Config, env: Mapping[str, str]) -> str | None:
        """The command for the first item that can be sent."""
        params = None if self._first is None else self._params(self._first)
        if self._first is None or params is None or isinstance(params, Failure):
            return None
        files = [
            (file.param, payload.file_format(file.path, _head(file.path)), file.path)
            for file in self._first.files
        ]
        return curl(config, env, self._resolved, params, files)

    def _failure(self, item: Item) -> Failure | None:
        """Why an item cannot be sent, as its backend would say."""
        params = self._params(item)
        if isinstance(params, Failure):
            return params
        left = LIMIT
        for file in item.files:
            left -= file.size or 0
            # A large one is opened only if it is bad in one of these ways, and then not read.
            size = file.size or 0
            if size <= SMALL or left < 0 or not os.access(file.path, os.R_OK):
                found = read_files((file,), left, self._redact)
                if isinstance(found, Failure):
                    return found
        return None

    def _params(self, item: Item) -> Mapping[str, payload.Sendable] | Failure:
        files = [file.param for file in item.files]
        return payload.sendable(
            {**self._resolved.params, **item.params}, files, self._resolved.mode
        )

    def _payload(self, item: Item) -> str:
        params = self._params(item)
        spelled = {} if isinstance(params, Failure) else params
        files = [
            (file.param, payload.file_format(file.path, _head(file.path)), file.size or 0)
            for file in item.files
        ]
        return self._redact.text(payload.preview(spelled, files))


def _head(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - paths of items are plain strings
        return file.read(HEAD)


def _destination(resolved: Resolved) -> str:
    match resolved.access:
        case ServiceAccess() as service:
            return service.endpoint
        case BucketAccess() as bucket:
            return f"{bucket.endpoint}/{bucket.name}/inputs/"
