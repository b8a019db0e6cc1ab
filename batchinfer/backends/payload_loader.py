"""Reading an item's files at the moment its slot is free, and making one body of them.

A file system can hang (a dead NFS server), so no file is touched on the event loop: one hop into a
thread per item reads all its files and builds the whole body. A read that hangs is left to itself
when its attempt is cancelled. Large files are encoded as they are read, into memory that the system
gets back at once (malloc would keep it): only the payload itself is ever held. The sha256 of each
file is taken of the bytes that go into the body, there and then.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Final, TypeAlias

from batchinfer.backends.input_reader import (
    MAX_ITEM_BYTES,
    SECRET_SCAN_MAX_BYTES,
    add_sizes,
    read_checked,
    read_files,
    read_timeout_failure,
)
from batchinfer.backends.redaction import Redactor
from batchinfer.backends.thread_pool import WORK_TIMEOUT_SECONDS, DaemonThreadPool
from batchinfer.domain import (
    Failure,
    InputFile,
    Item,
    Json,
    Mode,
    RemoteFile,
    SentFile,
    ServiceSignal,
)
from batchinfer.flow.memory_budget import Reservation
from batchinfer.inputs import OpenInput
from batchinfer.machine_limits import detect_shortage
from batchinfer.oscar.payload import (
    FileContent,
    ParamValue,
    build_payload,
    detect_file_format,
    encode_base64,
    encode_params,
)

MAX_READER_THREADS: Final = 32
"""Items being read at once, at most: so many can hang before the others cannot be read."""
STREAMED_ENCODING_MIN_BYTES: Final = 1 << 20
"""Bytes of an item's files from which on they are encoded as they are read."""
ENCODE_CHUNK_BYTES: Final = 3 << 16
"""Bytes that are encoded at a time; a multiple of 3, so that the parts fit together."""

PayloadBody: TypeAlias = bytes | memoryview


@dataclass(frozen=True, slots=True)
class LoadedPayload:
    """An item as it can be sent."""

    body: PayloadBody
    inputs: tuple[SentFile, ...] = ()
    """Its files, as they stand in the body."""


class PayloadLoader:
    """Makes the payloads of a run's items (contract, section 3).

    `params`: the run's own; an item's win over them. `redactor`: knows the secrets that no small
    file may hold. `max_bytes`: of all files of one item. `read_timeout`: seconds after which a file
    that is being read is left to itself.
    """

    def __init__(
        self,
        params: Mapping[str, Json],
        mode: Mode,
        *,
        redactor: Redactor | None = None,
        max_bytes: int = MAX_ITEM_BYTES,
        read_timeout: float = WORK_TIMEOUT_SECONDS,
    ) -> None:
        self._redactor = redactor
        self._params = params
        self._mode = mode
        self._max_bytes = max_bytes
        self._read_timeout = read_timeout
        self._thread_pool = DaemonThreadPool(MAX_READER_THREADS)
        self._encoded_params: dict[tuple[str, ...], Mapping[str, ParamValue] | Failure] = {}

    async def load(self, item: Item) -> bytes | Failure:
        """The payload of an item, or why it cannot be sent: a parameter, a file."""
        loaded = await self.load_within(None, item)
        return loaded if isinstance(loaded, Failure) else bytes(loaded.body)

    async def load_within(
        self, reservation: Reservation | None, item: Item
    ) -> LoadedPayload | Failure:
        """As `load`, as soon as there is room for it, which is then as large as the payload."""
        loaded = await self._load_payload(item, reservation)
        if not isinstance(loaded, Failure):
            return loaded
        message = loaded.message
        if self._redactor and any(isinstance(file, RemoteFile) for file in item.files):
            message = self._redactor.redact_text(message)  # it may quote what a server said
        return replace(loaded, signal=loaded.signal or ServiceSignal.UNSENT, message=message)

    async def _load_payload(
        self, item: Item, reservation: Reservation | None
    ) -> LoadedPayload | Failure:
        params = self._encode_item_params(item)
        if isinstance(params, Failure):
            return params
        if not item.files:
            return LoadedPayload(build_payload(params, ()))
        try:
            if reservation is not None:
                await reservation.acquire(await self._peak_bytes(item.files))
            loaded: LoadedPayload | Failure = await self._thread_pool.run(
                lambda: _read_and_build(item.files, params, self._max_bytes, self._redactor),
                self._read_timeout,
            )
        except TimeoutError:
            return read_timeout_failure(item.files[0], self._read_timeout)
        except (OSError, MemoryError, RuntimeError) as error:
            if machine_shortage := detect_shortage(error):
                return machine_shortage
            raise
        if reservation is not None and not isinstance(loaded, Failure):
            reservation.shrink(len(loaded.body))
        return loaded

    async def _peak_bytes(self, files: Sequence[InputFile]) -> int:
        """Bytes that are in memory while files are made a payload, at the most."""
        if any(file.size is None for file in files):
            files = await self._thread_pool.run(lambda: add_sizes(files), self._read_timeout)
        size = sum(file.size or 0 for file in files)
        # In thirds: the payload; of a small one also the files themselves, and their base64.
        return size * (4 if size > STREAMED_ENCODING_MIN_BYTES else 4 + 3 + 4) // 3

    def _encode_item_params(self, item: Item) -> Mapping[str, ParamValue] | Failure:
        """The parameters as they are spelled; most items have none of their own: spelled once."""
        names = tuple(file.param for file in item.files)
        if item.params:
            return encode_params({**self._params, **item.params}, names, self._mode)
        if names not in self._encoded_params:
            self._encoded_params = {names: encode_params(self._params, names, self._mode)}
        return self._encoded_params[names]


def _read_and_build(
    files: Sequence[InputFile],
    params: Mapping[str, ParamValue],
    max_bytes: int,
    redactor: Redactor | None = None,
) -> LoadedPayload | Failure:
    sized = add_sizes(files)
    if sum(file.size or 0 for file in sized) > STREAMED_ENCODING_MIN_BYTES:
        # Small ones beside a large one are read twice: seldom, and cheap.
        small_files = [file for file in sized if (file.size or 0) <= SECRET_SCAN_MAX_BYTES]
        scanned = read_files(small_files, max_bytes, redactor) if redactor is not None else ()
        return (
            scanned if isinstance(scanned, Failure) else _build_streaming(sized, params, max_bytes)
        )
    contents = read_files(files, max_bytes, redactor)
    if isinstance(contents, Failure):
        return contents
    body = build_payload(
        params,
        [FileContent(f.param, detect_file_format(f.path, data), data) for f, data in contents],
    )
    return LoadedPayload(
        body,
        tuple([SentFile(f.param, len(data), sha256(data).hexdigest()) for f, data in contents]),
    )


def _build_streaming(
    files: Sequence[InputFile], params: Mapping[str, ParamValue], max_bytes: int
) -> LoadedPayload | Failure:
    """What `build` makes of what `read_files` reads, a chunk at a time. All sizes are known."""
    entries = [FileContent(file.param, "x" * 16, b"") for file in files]
    capacity = len(build_payload(params, entries)) + sum(
        4 * -(-(file.size or 0) // 3) for file in files
    )
    body, end = memoryview(mmap.mmap(-1, capacity)), 0
    inputs: list[SentFile] = []
    entries.clear()

    def append(text: bytes) -> None:
        nonlocal end
        body[end : end + len(text)] = text
        end += len(text)

    def encode_file(file: InputFile, opened: OpenInput, size: int) -> range:
        chunk = opened.read(min(size, ENCODE_CHUNK_BYTES))
        entries.append(FileContent(file.param, detect_file_format(file.path, chunk), b""))
        append(_split_at_data(params, entries)[-2] + b'"data":"')
        bytes_read, digest = 0, sha256()
        while chunk:
            append(encode_base64(chunk))
            digest.update(chunk)
            bytes_read += len(chunk)
            chunk = opened.read(min(size - bytes_read, ENCODE_CHUNK_BYTES))
        append(b'"')
        inputs.append(SentFile(file.param, bytes_read, digest.hexdigest()))
        return range(bytes_read)  # as long as what was read

    for file in files:
        encoded = read_checked(file, max_bytes, partial(encode_file, file))
        if isinstance(encoded, Failure):
            return encoded
        max_bytes -= len(encoded)
    append(_split_at_data(params, entries)[-1])
    return LoadedPayload(body[:end], tuple(inputs))


def _split_at_data(
    params: Mapping[str, ParamValue], entries: Sequence[FileContent]
) -> Sequence[bytes]:
    """The text before, between and after the data; entries come last, and have none yet."""
    return build_payload(params, entries).rsplit(b'"data":""', len(entries))
