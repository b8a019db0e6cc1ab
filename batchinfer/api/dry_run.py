"""What a job would send, without sending it: nothing is written but a manifest from standard input,
to a temporary file.

Every item is looked at as a backend would look at it: can its parameters be sent, is its file there
and not empty? Small files are read, for they must not hold a secret; of others only the first bytes
of the first one.
"""  # noqa: D205 - one thought, one sentence

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from batchinfer.api.chosen_items import check_choice, choose_items
from batchinfer.api.curl import build_curl_command
from batchinfer.api.deliveries import DELIVERIES
from batchinfer.api.job import Job, ResolvedJob, check_job, resolve
from batchinfer.api.job_sources import open_job_sources, read_items
from batchinfer.api.param_validation import validate_dry_run
from batchinfer.backends.input_reader import MAX_ITEM_BYTES, SECRET_SCAN_MAX_BYTES, read_files
from batchinfer.backends.protocol_calls import call_protocol
from batchinfer.backends.redaction import Redactor
from batchinfer.config import Config, RunSettings
from batchinfer.domain import Failure, Item, Json, Mode
from batchinfer.errors import SourceError
from batchinfer.inputs import is_local, may_be_readable, read_head
from batchinfer.inputs.source_access import open_source_access
from batchinfer.ports import Notice
from batchinfer.protocols.inference_protocol import HEAD_BYTES, FileHead
from batchinfer.protocols.registry import load_protocol


@dataclass(frozen=True, slots=True)
class RefusedItems:
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
    refused: Mapping[str, RefusedItems] = field(default_factory=dict)
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
        """The object that `run --dry-run --json` prints (docs/reference/scripting.md)."""
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


def preview(job: Job | ResolvedJob) -> Preview:
    """Look at everything a job would send. Blocks for as long as its source is long.

    Raises ConfigError, SourceError, RunMismatch as the job itself would.
    """
    resolved = resolve(job)
    check_job(resolved)
    check_choice(resolved)
    with open_source_access(resolved.settings.source):
        return _preview(resolved)


def _preview(resolved: ResolvedJob) -> Preview:
    job, config, settings = resolved.job, resolved.config, resolved.settings
    with TemporaryDirectory(prefix="batchinfer-") as folder:
        source = open_job_sources(resolved, job.run if job.stdin is None else Path(folder))
        if source is None:
            raise SourceError("There is nothing left to read: name a source to look at.")
        param_notices = validate_dry_run(resolved, source)
        builder = _PreviewBuilder(settings)
        for item in read_items(source, choose_items(source, resolved, Path(folder))):
            builder.add(item)
        taken, skipped = source.taken_and_skipped
        return replace(
            builder.build(),
            taken=taken,
            skipped=skipped,
            curl=builder.build_curl_command(config, job.env),
            notices=(*settings.notices, *param_notices, *source.notices),
        )


class _PreviewBuilder:
    def __init__(self, settings: RunSettings) -> None:
        self._resolved = settings
        self._protocol = load_protocol(settings.protocol, settings.protocol_options).for_mode(
            settings.mode
        )
        self._redactor = Redactor(settings.secrets)
        self.items = self._bytes = 0
        self._refused: dict[str, RefusedItems] = {}
        self._first: Item | None = None

    def add(self, item: Item) -> None:
        """Take note of one item."""
        self.items += 1
        self._bytes += sum(file.size or 0 for file in item.files)
        failure = self._find_failure(item)
        if failure is None:
            self._first = self._first or item
            return
        refused = self._refused.get(failure.code, RefusedItems(0, item.key, failure.message))
        self._refused[failure.code] = replace(refused, count=refused.count + 1)

    def build(self) -> Preview:
        """All that was noted."""
        first = self._first
        return Preview(
            mode=self._resolved.mode,
            destination=DELIVERIES[self._resolved.mode].describe_destination(self._resolved),
            items=self.items,
            bytes=self._bytes,
            refused=self._refused,
            key=None if first is None else first.key,
            payload=None if first is None else self._format_payload(first),
        )

    def build_curl_command(self, config: Config, env: Mapping[str, str]) -> str | None:
        """The command for the first item that can be sent."""
        params = None if self._first is None else self._build_params(self._first)
        if self._first is None or params is None or isinstance(params, Failure):
            return None
        if remote := [file.path for file in self._first.files if not is_local(file.path)]:
            return f"# curl cannot read {remote[0]!r}: fetch it first, then name the copy."
        return build_curl_command(config, env, self._resolved, params, _read_heads(self._first))

    def _find_failure(self, item: Item) -> Failure | None:
        """Why an item cannot be sent, as its backend would say."""
        params = self._build_params(item)
        if isinstance(params, Failure):
            return params
        bytes_left = MAX_ITEM_BYTES
        for file in item.files:
            bytes_left -= file.size or 0
            # A large one is opened only if it is bad in one of these ways, and then not read.
            size = file.size or 0
            # A remote one was looked at just now: to fetch all of them would take as long as a run.
            is_scanned = size <= SECRET_SCAN_MAX_BYTES and (is_local(file.path) or not size)
            if is_scanned or bytes_left < 0 or not may_be_readable(file.path):
                content = read_files((file,), bytes_left, self._redactor)
                if isinstance(content, Failure):
                    return content
        return None

    def _build_params(self, item: Item) -> Mapping[str, Json] | Failure:
        files = [file.param for file in item.files]
        params = {**self._resolved.params, **item.params}
        return call_protocol(self._protocol.encode_params, params, files, self._resolved.mode)

    def _format_payload(self, item: Item) -> str | None:
        params = self._build_params(item)
        sendable = {} if isinstance(params, Failure) else params
        shown = call_protocol(self._protocol.format_preview, sendable, _read_heads(item))
        return None if isinstance(shown, Failure) else self._redactor.redact_text(shown)


def _read_heads(item: Item) -> Sequence[FileHead]:
    return [
        FileHead(file.param, file.path, _try_read_head(file.path), file.size or 0)
        for file in item.files
    ]


def _try_read_head(path: str) -> bytes:
    """The first bytes of an input; nothing where it cannot be read any more."""
    try:
        return read_head(path, HEAD_BYTES)
    except (OSError, ValueError):
        return b""
