"""Payload files: what would be sent for each item, for the web UI's Invoke screen, or for curl.

Rules of the room: a file is the very payload that a run would send; its name is our own, of
`[A-Za-z0-9_-]` and one `.json` (contract, section 2), in the order of the source; it is there whole
or not at all. The index says which file belongs to which key; it appears last, when all is done. A
bad item never stops the others. Nothing is held per item: memory does not know how many there are.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from io import TextIOWrapper
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Final

from batchinfer.api.preparing import items_of, own_of
from batchinfer.backends.files import Loader
from batchinfer.backends.redact import Redactor
from batchinfer.config import Config, Contents, load, resolve_contents
from batchinfer.domain import Failure, Item, Json
from batchinfer.errors import ConfigError
from batchinfer.marks import Mark, set_mark
from batchinfer.ports import Notice
from batchinfer.sources import Sources, open_source

INDEX: Final = "index.csv"
COLUMNS: Final = ("file", "key", "path", "code")

_PART: Final = ".part"
_LONGEST: Final = 60
"""Signs of a key that go into a file's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be prepared."""

    sources: tuple[str, ...]
    to: Path
    """The directory."""
    config: Config | Path | None = None
    flags: Mapping[str, object] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    force: bool = False
    """Write into a directory that holds something, over files of the same names."""
    stdin: BinaryIO | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What has been written."""

    directory: str
    written: int
    bytes: int
    failures: Mapping[str, int]
    """Items that could not be prepared, by code."""
    notices: Sequence[Notice] = ()
    """What was skipped, and what could not be read."""

    def as_json(self) -> dict[str, Json]:
        """The object that `batchinfer prepare --json` prints (docs/scripting.md)."""
        return {
            "directory": self.directory,
            "written": self.written,
            "bytes": self.bytes,
            "failures": dict(self.failures),
            "notices": [asdict(notice) for notice in self.notices],
        }


async def prepare(order: Order, refused: Callable[[Item, Failure], None]) -> Prepared:
    """Write the payload of every item; `refused` is told of each that has none.

    Raises ConfigError (also when the directory cannot be written to, or is not empty), SourceError.
    """
    config = order.config
    if not isinstance(config, Config):
        config = load(config, order.env, order.flags)
    contents = resolve_contents(config, order.env)
    with TemporaryDirectory(prefix="batchinfer-") as spool:
        source = _source(order, config, contents, Path(spool))
        items = items_of(source)
        with _writing(order.to):
            _make(order.to, force=order.force)
            done = await _write_all(items, contents, order.to, refused)
            return replace(done, notices=source.notices)


def file_name(number: int, key: str) -> str:
    """The name of an item's file: its place in the source, and what is left of its key."""
    told = re.sub(r"[^A-Za-z0-9]+", "-", key).strip("-")[-_LONGEST:].strip("-")
    # The service script treats this word specially.
    told = re.sub("event-file", "event_file", told, flags=re.IGNORECASE)
    return f"{number:09d}-{told}.json" if told else f"{number:09d}.json"


async def _write_all(
    items: Iterator[Item], contents: Contents, to: Path, refused: Callable[[Item, Failure], None]
) -> Prepared:
    redact = Redactor(contents.secrets)
    loader = Loader(contents.params, contents.mode, redact=redact)
    failures: dict[str, int] = {}
    written = size = 0
    with _whole(to / INDEX) as file:
        index = csv.writer(file)
        index.writerow(COLUMNS)
        for number, item in enumerate(items, 1):
            payload = await loader.load(item)
            name, code = file_name(number, item.key), ""
            if isinstance(payload, Failure):
                name, code = "", payload.code
                failures[code] = failures.get(code, 0) + 1
                refused(item, payload)
            else:
                with _whole(to / name) as each:
                    each.buffer.write(payload)
                written, size = written + 1, size + len(payload)
            path = item.files[0].path if item.files else ""
            index.writerow((name, item.key, _printable(path), code))
    return Prepared(str(to), written, size, failures)


def _source(order: Order, config: Config, contents: Contents, spool: Path) -> Sources:
    source = open_source(
        order.sources,
        file_param=contents.file_param,
        selection=contents.selection,
        own=own_of(order.to, config, order.config),
        spool=spool / "stdin.manifest",
        stdin=order.stdin,
    )
    source.check()
    return source


def _make(to: Path, *, force: bool) -> None:
    to.mkdir(parents=True, exist_ok=True)
    if not force and any(to.iterdir()):
        raise ConfigError(
            f"{to} is not empty, and nothing was written. Name another directory with -o, or "
            "--force to write over files of the same names."
        )


@contextmanager
def _whole(path: Path) -> Iterator[TextIOWrapper]:
    """A file that is there whole, or not at all; its owner's only, for parameters may be secret."""
    part = path.with_name(f".{path.name}{_PART}")
    try:
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
        set_mark(part, Mark.PAYLOAD)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def _writing(to: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{to} cannot be written: {error.strerror or error}.") from error


def _printable(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
