"""Reading an item's files at the moment its slot is free, and making one body of them.

A file system can hang (a dead NFS server), so no file is touched on the event loop: one hop into a
thread per item reads all its files and builds the whole body. A read that hangs is left to itself
when its attempt is cancelled. Large files are encoded as they are read, into memory that the system
has back at once (malloc would keep it): only the payload itself is ever held. The sha256 of each
file is taken of the bytes that go into the body, there and then. What is wrong with a file is a
`Failure` of its item (`shared` where it may be its source that is away); that this process can open
no more files, or has no memory left, is a shortage and the fault of no item (`machine`):

===============  ================================================================================
file_missing     it is not there (any more)
file_unreadable  no permission, a read error, or not a regular file
file_empty       it has no bytes: a model can only fail on it
file_changed     it is not the one that was added (size or time differ), or changed while read
file_too_large   the item's files are larger together than `LIMIT`
file_holds_secret  a small file holds a secret of the configuration: it is never sent
===============  ================================================================================
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

from batchinfer.backends.redact import Redactor
from batchinfer.backends.threads import PATIENCE, Threads
from batchinfer.domain import Digest, Failure, InputFile, Item, Json, Kind, Mode
from batchinfer.flow.cargo import Room
from batchinfer.machine import shortage
from batchinfer.oscar.payload import FileContent, Sendable, base64, build, file_format, sendable

LIMIT: Final = 1 << 30
"""Bytes of all files of one item: the platform holds a payload in memory several times over."""
THREADS: Final = 32
"""Items being read at once, at most: so many can hang before the others cannot be read."""
LARGE: Final = 1 << 20
"""Bytes of an item's files from which on they are encoded as they are read."""
SMALL: Final = 1 << 16
"""Bytes of a file up to which it is searched for secrets: what holds them on purpose is small."""
CHUNK: Final = 3 << 16
"""Bytes that are encoded at a time; a multiple of 3, so that the parts fit together."""

Body: TypeAlias = bytes | memoryview
_T = TypeVar("_T", bound=Sized)

_PASSING: Final = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN})
"""Troubles of a disk or a network file system: may be gone at the next attempt."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """An item as it can be sent."""

    body: Body
    inputs: tuple[Digest, ...] = ()
    """Its files, as they stand in the body."""


class Loader:
    """Makes the payloads of a run's items (contract, section 3).

    `params`: the run's own; an item's win over them. `redact`: knows the secrets that no small file
    may hold. `limit`: bytes of all files of one item. `patience`: seconds after which a file that
    is being read is left to itself.
    """

    def __init__(
        self,
        params: Mapping[str, Json],
        mode: Mode,
        *,
        redact: Redactor | None = None,
        limit: int = LIMIT,
        patience: float = PATIENCE,
    ) -> None:
        self._redact = redact
        self._params = params
        self._mode = mode
        self._limit = limit
        self._patience = patience
        self._threads = Threads(THREADS)
        self._spelled: dict[tuple[str, ...], Mapping[str, Sendable] | Failure] = {}

    async def load(self, item: Item) -> bytes | Failure:
        """The payload of an item, or why it cannot be sent: a parameter, a file."""
        loaded = await self.load_into(None, item)
        return loaded if isinstance(loaded, Failure) else bytes(loaded.body)

    async def load_into(self, room: Room | None, item: Item) -> Loaded | Failure:
        """As `load`, as soon as there is room for it, which is then as large as the payload."""
        loaded = await self._load(item, room)
        return replace(loaded, sent=False) if isinstance(loaded, Failure) else loaded

    async def _load(self, item: Item, room: Room | None) -> Loaded | Failure:
        params = self._sendable(item)
        if isinstance(params, Failure):
            return params
        if not item.files:
            return Loaded(build(params, ()))
        try:
            if room is not None:
                await room.take(await self._height(item.files))
            loaded: Loaded | Failure = await self._threads.run(
                lambda: _load(item.files, params, self._limit, self._redact), self._patience
            )
        except TimeoutError:
            return _hung(item.files[0], self._patience)
        except (OSError, MemoryError, RuntimeError) as error:
            if short := shortage(error):
                return short
            raise
        if room is not None and not isinstance(loaded, Failure):
            room.shrink(len(loaded.body))
        return loaded

    async def _height(self, files: Sequence[InputFile]) -> int:
        """Bytes that are in memory while files are made a payload, at the most."""
        if any(file.size is None for file in files):
            files = await self._threads.run(lambda: _sized(files), self._patience)
        size = sum(file.size or 0 for file in files)
        # In thirds: the payload; of a small one also the files themselves, and their base64.
        return size * (4 if size > LARGE else 4 + 3 + 4) // 3

    def _sendable(self, item: Item) -> Mapping[str, Sendable] | Failure:
        """The parameters as they are spelled; most items have none of their own: spelled once."""
        names = tuple(file.param for file in item.files)
        if item.params:
            return sendable({**self._params, **item.params}, names, self._mode)
        if names not in self._spelled:
            self._spelled = {names: sendable(self._params, names, self._mode)}
        return self._spelled[names]


def read_files(
    files: Sequence[InputFile], limit: int = LIMIT, redact: Redactor | None = None
) -> Sequence[tuple[InputFile, bytes]] | Failure:
    """The bytes of each file, or what is wrong with the first bad one. Blocks: for a thread."""
    contents: list[tuple[InputFile, bytes]] = []
    for file in files:
        data = _read(file, limit, _drain)
        if isinstance(data, Failure):
            return data
        if redact is not None and len(data) <= SMALL and redact.is_in(data):
            return _failure("file_holds_secret", file, _HELD, _KEEP_OUT)
        limit -= len(data)
        contents.append((file, data))
    return contents


def _load(
    files: Sequence[InputFile],
    params: Mapping[str, Sendable],
    limit: int,
    redact: Redactor | None = None,
) -> Loaded | Failure:
    sized = _sized(files)
    if sum(file.size or 0 for file in sized) > LARGE:
        # Small ones beside a large one are read twice: seldom, and cheap.
        small = [file for file in sized if (file.size or 0) <= SMALL]
        found = read_files(small, limit, redact) if redact is not None else ()
        return found if isinstance(found, Failure) else _poured(sized, params, limit)
    contents = read_files(files, limit, redact)
    if isinstance(contents, Failure):
        return contents
    body = build(
        params, [FileContent(f.param, file_format(f.path, data), data) for f, data in contents]
    )
    return Loaded(
        body, tuple([Digest(f.param, len(data), sha256(data).hexdigest()) for f, data in contents])
    )


def _poured(
    files: Sequence[InputFile], params: Mapping[str, Sendable], limit: int
) -> Loaded | Failure:
    """What `build` makes of what `read_files` reads, a chunk at a time. All sizes are known."""
    entries = [FileContent(file.param, "x" * 16, b"") for file in files]
    most = len(build(params, entries)) + sum(4 * -(-(file.size or 0) // 3) for file in files)
    body, end = memoryview(mmap.mmap(-1, most)), 0
    inputs: list[Digest] = []
    entries.clear()

    def put(text: bytes) -> None:
        nonlocal end
        body[end : end + len(text)] = text
        end += len(text)

    def pour(file: InputFile, handle: int, size: int) -> range:
        chunk = _drain(handle, min(size, CHUNK))
        entries.append(FileContent(file.param, file_format(file.path, chunk), b""))
        put(_around(params, entries)[-2] + b'"data":"')
        read, seen = 0, sha256()
        while chunk:
            put(base64(chunk))
            seen.update(chunk)
            read += len(chunk)
            chunk = _drain(handle, min(size - read, CHUNK))
        put(b'"')
        inputs.append(Digest(file.param, read, seen.hexdigest()))
        return range(read)  # as long as what was read

    for file in files:
        poured = _read(file, limit, partial(pour, file))
        if isinstance(poured, Failure):
            return poured
        limit -= len(poured)
    put(_around(params, entries)[-1])
    return Loaded(body[:end], tuple(inputs))


def _around(params: Mapping[str, Sendable], entries: Sequence[FileContent]) -> Sequence[bytes]:
    """The text before, between and after the data; entries come last, and have none yet."""
    return build(params, entries).rsplit(b'"data":""', len(entries))


def _sized(files: Sequence[InputFile]) -> Sequence[InputFile]:
    """The files with their sizes, also those that nobody has looked at yet. Blocks."""
    return [f if f.size is not None else replace(f, size=_size(f.path)) for f in files]


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except (OSError, ValueError):  # reading it will tell
        return 0


def _read(file: InputFile, limit: int, drain: Callable[[int, int], _T]) -> _T | Failure:
    try:
        # O_NONBLOCK: a pipe that nobody writes to would be waited for, for ever.
        handle = os.open(file.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            before = os.fstat(handle)
            if failure := _unfit(file, before, limit):
                return failure
            size = before.st_size
            data = drain(handle, size)
            after = os.fstat(handle)
        finally:
            os.close(handle)
    except ValueError:  # a NUL in the path
        return _failure("file_missing", file, "no file can have this name", _REMOVE)
    except OSError as error:
        return _unreadable(file, error)
    if (len(data), after.st_size, after.st_mtime_ns) != (size, size, before.st_mtime_ns):
        return _failure("file_changed", file, "it changed while it was read", _SETTLE)
    return data


def _drain(handle: int, size: int) -> bytes:
    data = os.read(handle, size)
    while len(data) < size and (more := os.read(handle, size - len(data))):
        data += more
    return data


def _unfit(file: InputFile, now: os.stat_result, limit: int) -> Failure | None:
    if not stat.S_ISREG(now.st_mode):
        return _failure("file_unreadable", file, "it is not a regular file", _REMOVE)
    if file.size is not None and file.size != now.st_size:
        what = f"it has {now.st_size:,} bytes now, and had {file.size:,} when it was added"
        return _failure("file_changed", file, what, _SETTLE)
    if file.differs(now.st_size, now.st_mtime_ns):
        return _failure("file_changed", file, "it was written to after it was added", _SETTLE)
    if now.st_size == 0:
        return _failure("file_empty", file, "it is empty, and was not sent", _REMOVE)
    if now.st_size > limit:
        what = f"its {now.st_size:,} bytes are more than can be sent ({limit:,} left for this item)"
        return _failure("file_too_large", file, what, "Make it smaller")
    return None


_SETTLE = "Retry it to send it as it is then; results of other files are kept"
_HELD = "it holds a secret of the configuration (not shown), and was not sent"
_KEEP_OUT = (
    "Move it out of the source, or leave it out with --exclude; if it was ever shared, have the "
    "secret renewed"
)
_REMOVE = "Repair it, then retry it; or leave it out"


def _hung(file: InputFile, seconds: float) -> Failure:
    return _failure(
        "file_unreadable",
        file,
        f"reading it took longer than {seconds:g} s",
        "Check whether its disk or file server answers",
        Kind.TRANSIENT,
        shared=True,
    )


def _unreadable(file: InputFile, error: OSError) -> Failure:
    if short := shortage(error):
        return short
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        advice = "Put it back, then retry it; or leave it out"
        return _failure("file_missing", file, "file not found", advice, shared=True)
    kind = Kind.TRANSIENT if error.errno in _PASSING else Kind.PERMANENT
    what = f"it cannot be read ({error.strerror or type(error).__name__})"
    return _failure("file_unreadable", file, what, _REMOVE, kind, shared=True)


def _failure(
    code: str,
    file: InputFile,
    what: str,
    advice: str,
    kind: Kind = Kind.PERMANENT,
    *,
    shared: bool = False,
) -> Failure:
    message = f"{_shown(file.path)}: {what}. {advice}"
    return Failure(code=code, message=message, kind=kind, shared=shared)


def _shown(path: str) -> str:
    """The path on one line, whatever bytes it has."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
