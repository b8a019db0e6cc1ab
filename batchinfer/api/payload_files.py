"""Payload files: what would be sent for each item, for the web UI's Invoke screen, or for curl.

A file is exactly the payload that a run would send. Its name is made of `[A-Za-z0-9_-]` and one
`.json` (docs/platform.md, "Output names"), in the order of the source; it appears whole or not at
all. The index says which file belongs to which key; it appears last, when all is done. A bad item
does not stop the others. Memory use does not depend on the number of items.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Final

from batchinfer.api.job_sources import find_own_files, read_items
from batchinfer.artifacts import ArtifactKind, tag_file
from batchinfer.atomic_files import replace_file
from batchinfer.backends.payload_loader import PayloadLoader
from batchinfer.backends.redaction import Redactor
from batchinfer.config import Config, PayloadSettings, load_config, resolve_payload_settings
from batchinfer.domain import Failure, Item, Json
from batchinfer.errors import ExportError, option
from batchinfer.exports.item_rows import Utf8Writer
from batchinfer.inputs.source_access import open_source_access
from batchinfer.ports import Notice
from batchinfer.protocols.registry import load_protocol
from batchinfer.sources import CombinedSource, open_source
from batchinfer.sources.source_specs import mark_format

INDEX_FILE: Final = "index.csv"
INDEX_COLUMNS: Final = ("file", "key", "path", "code")
QUERY_COLUMN: Final = "query"
"""A further column, where requests have a query."""

_MAX_NAMED_KEY_CHARS: Final = 60
"""Signs of a key that go into a file's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareRequest:
    """What is to be prepared."""

    sources: tuple[str, ...]
    directory: Path
    """The directory."""
    config: Config | Path | None = None
    flags: Mapping[str, object] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    force: bool = False
    """Write into a directory that holds something, over files of the same names."""
    stdin: BinaryIO | None = None


@dataclass(frozen=True, slots=True)
class PrepareSummary:
    """What has been written."""

    directory: str
    written: int
    bytes: int
    failures: Mapping[str, int]
    """Items that could not be prepared, by code."""
    notices: Sequence[Notice] = ()
    """What was skipped, and what could not be read."""

    def as_json(self) -> dict[str, Json]:
        """The object that `batchinfer prepare --json` prints (docs/reference/scripting.md)."""
        return {
            "directory": self.directory,
            "written": self.written,
            "bytes": self.bytes,
            "failures": dict(self.failures),
            "notices": [asdict(notice) for notice in self.notices],
        }


async def prepare(
    request: PrepareRequest, on_refused: Callable[[Item, Failure], None] | None = None
) -> PrepareSummary:
    """Write the payload of every item; `on_refused` is called with each that has none.

    Raises ConfigError, SourceError, and ExportError when the directory is not empty or cannot be
    written to.
    """
    config = load_config(request.config, request.env, request.flags)
    settings = resolve_payload_settings(config, request.env)
    with (
        open_source_access(settings.source),
        TemporaryDirectory(prefix="batchinfer-") as spool,
    ):
        source = _open_sources(request, config, settings, Path(spool))
        items = read_items(source)
        with _translate_os_errors(request.directory):
            _make_directory(request.directory, force=request.force)
            summary = await _write_payloads(items, settings, request.directory, on_refused)
            return replace(summary, notices=source.notices)


def payload_file_name(number: int, key: str, suffix: str = ".json") -> str:
    """The name of an item's file: its place in the source, and what is left of its key."""
    stem = re.sub(r"[^A-Za-z0-9]+", "-", key).strip("-")[-_MAX_NAMED_KEY_CHARS:].strip("-")
    # The service script treats this word specially.
    stem = re.sub("event-file", "event_file", stem, flags=re.IGNORECASE)
    return f"{number:09d}-{stem}{suffix}" if stem else f"{number:09d}{suffix}"


async def _write_payloads(
    items: Iterator[Item],
    settings: PayloadSettings,
    directory: Path,
    on_refused: Callable[[Item, Failure], None] | None,
) -> PrepareSummary:
    redactor = Redactor(settings.secrets)
    options = settings.protocol_options
    protocol = load_protocol(settings.protocol, options).for_mode(settings.mode)
    loader = PayloadLoader(protocol, settings.params, settings.mode, redactor=redactor)
    more_columns = (QUERY_COLUMN,) if protocol.has_query else ()
    failures: dict[str, int] = {}
    written = size = 0
    with _open_payload_file(directory / INDEX_FILE) as file:
        index = csv.writer(Utf8Writer(file))
        index.writerow((*INDEX_COLUMNS, *more_columns))
        for number, item in enumerate(items, 1):
            payload = await loader.load_within(None, item)
            query = "" if isinstance(payload, Failure) else payload.query
            name, code = payload_file_name(number, item.key, protocol.payload_suffix), ""
            if isinstance(payload, Failure):
                name, code = "", payload.code
                failures[code] = failures.get(code, 0) + 1
                if on_refused is not None:
                    on_refused(item, payload)
            else:
                with _open_payload_file(directory / name) as payload_file:
                    payload_file.write(payload.body)
                written, size = written + 1, size + payload.size
            path = item.files[0].path if item.files else ""
            row = (name, item.key, _format_path(path), code)
            index.writerow((*row, query) if more_columns else row)
    return PrepareSummary(str(directory), written, size, failures)


def _open_sources(
    request: PrepareRequest, config: Config, settings: PayloadSettings, spool: Path
) -> CombinedSource:
    source = open_source(
        mark_format(request.sources, config.input.source_format),
        file_param=settings.file_param,
        selection=settings.selection,
        own_files=find_own_files(request.directory, config, request.config),
        spool=spool / "stdin.manifest",
        stdin=request.stdin,
    )
    source.check()
    return source


def _make_directory(directory: Path, *, force: bool) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if not force and any(directory.iterdir()):
        raise ExportError(
            f"{directory} is not empty, and nothing was written. Name another directory with "
            f"{option('run')}, or {option('force', 'True')} to write over files of the same names."
        )


@contextmanager
def _open_payload_file(path: Path) -> Iterator[BinaryIO]:
    """A file that is there completely or not at all; private, for parameters may be secret."""
    with replace_file(path, private=True) as file:
        yield file
    tag_file(path, ArtifactKind.PAYLOAD)


@contextmanager
def _translate_os_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportError(f"{directory} cannot be written: {error.strerror or error}.") from error


def _format_path(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
