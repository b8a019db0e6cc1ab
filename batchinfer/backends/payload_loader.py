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
file_too_large   the item's files are larger together than `MAX_ITEM_BYTES`
file_holds_secret  a small file holds a secret of the configuration: it is never sent
===============  ================================================================================
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import chain
from typing import Final

from batchinfer.backends.input_reader import (
    MAX_ITEM_BYTES,
    SECRET_SCAN_MAX_BYTES,
    add_sizes,
    read_checked,
    read_files,
    read_timeout_failure,
)
from batchinfer.backends.loaded_payload import LoadedPayload
from batchinfer.backends.protocol_calls import call_protocol
from batchinfer.backends.redaction import Redactor
from batchinfer.backends.thread_pool import WORK_TIMEOUT_SECONDS, DaemonThreadPool
from batchinfer.domain import Failure, InputFile, Item, Json, Mode, SentFile, ServiceSignal
from batchinfer.errors import FatalError
from batchinfer.flow.memory_budget import Reservation
from batchinfer.inputs import OpenInput
from batchinfer.machine_limits import detect_shortage
from batchinfer.protocols.inference_protocol import (
    HEAD_BYTES,
    EncodedItem,
    FileHead,
    InferenceProtocol,
)

MAX_READER_THREADS: Final = 32
"""Items being read at once, at most: so many can hang before the others cannot be read."""
STREAMED_ENCODING_MIN_BYTES: Final = 1 << 20
"""Bytes of an item's files from which on they are encoded as they are read."""
ENCODE_CHUNK_BYTES: Final = 3 << 16
"""Bytes that are encoded at a time; a multiple of 3, so that the parts fit together."""


class PayloadLoader:
    """Makes the payloads of a run's items, as its protocol encodes them.

    `params`: the run's own; an item's win over them. `redactor`: knows the secrets that no small
    file may hold. `max_bytes`: of all files of one item. `read_timeout`: seconds after which a file
    that is being read is left to itself.
    """

    def __init__(
        self,
        protocol: InferenceProtocol,
        params: Mapping[str, Json],
        mode: Mode,
        *,
        redactor: Redactor | None = None,
        max_bytes: int = MAX_ITEM_BYTES,
        read_timeout: float = WORK_TIMEOUT_SECONDS,
    ) -> None:
        self._protocol = protocol
        self._redactor = redactor
        self._params = params
        self._mode = mode
        self._max_bytes = max_bytes
        self._read_timeout = read_timeout
        self._thread_pool = DaemonThreadPool(MAX_READER_THREADS)
        self._encoded_params: dict[tuple[str, ...], Mapping[str, Json] | Failure] = {}

    async def load(self, item: Item) -> bytes | Failure:
        """The payload of an item, or why it cannot be sent: a parameter, a file."""
        loaded = await self.load_within(None, item)
        return loaded if isinstance(loaded, Failure) else bytes(loaded.body)

    async def load_within(
        self, reservation: Reservation | None, item: Item
    ) -> LoadedPayload | Failure:
        """As `load`, as soon as there is room for it, which is then as large as the payload."""
        redact = str if self._redactor is None else self._redactor.redact_text
        try:
            loaded = await self._load_payload(item, reservation)
        except FatalError as error:
            raise FatalError(error.code, redact(error.message)) from None
        if isinstance(loaded, Failure):
            signal = loaded.signal or ServiceSignal.UNSENT
            return replace(loaded, signal=signal, message=redact(loaded.message))
        return loaded

    async def _load_payload(
        self, item: Item, reservation: Reservation | None
    ) -> LoadedPayload | Failure:
        params = self._encode_item_params(item)
        if isinstance(params, Failure):
            return params
        if not item.files:
            return call_protocol(_encode_without_files, self._protocol, params)
        try:
            if reservation is not None:
                await reservation.acquire(await self._peak_bytes(item.files))
            loaded: LoadedPayload | Failure = await self._thread_pool.run(
                lambda: _read_and_encode(
                    self._protocol, item.files, params, self._max_bytes, self._redactor
                ),
                self._read_timeout,
            )
        except TimeoutError:
            return read_timeout_failure(item.files[0], self._read_timeout)
        except (OSError, MemoryError, RuntimeError) as error:
            if machine_shortage := detect_shortage(error):
                return machine_shortage
            raise
        if reservation is not None and not isinstance(loaded, Failure):
            reservation.shrink(loaded.size)
        return loaded

    async def _peak_bytes(self, files: Sequence[InputFile]) -> int:
        """Bytes that are in memory while files are made a payload, at the most."""
        if any(file.size is None for file in files):
            files = await self._thread_pool.run(lambda: add_sizes(files), self._read_timeout)
        size = sum(file.size or 0 for file in files)
        encoded = self._protocol.get_encoded_size(size)
        # The payload; of a small one also the files themselves, and what they were encoded to.
        return encoded if size > STREAMED_ENCODING_MIN_BYTES else encoded + size + encoded

    def _encode_item_params(self, item: Item) -> Mapping[str, Json] | Failure:
        """The encoded parameters; most items have none of their own, then it is done only once."""
        names = tuple(file.param for file in item.files)
        encode = self._protocol.encode_params
        if item.params:
            params = {**self._params, **item.params}
            return call_protocol(encode, params, names, self._mode)
        if names not in self._encoded_params:
            encoded = call_protocol(encode, self._params, names, self._mode)
            self._encoded_params = {names: encoded}
        return self._encoded_params[names]


def _encode_without_files(protocol: InferenceProtocol, params: Mapping[str, Json]) -> LoadedPayload:
    encoded = protocol.encode_item(params, ())
    return LoadedPayload(tuple(encoded.parts), headers=encoded.headers)


def _read_and_encode(
    protocol: InferenceProtocol,
    files: Sequence[InputFile],
    params: Mapping[str, Json],
    max_bytes: int,
    redactor: Redactor | None = None,
) -> LoadedPayload | Failure:
    sized = add_sizes(files)
    if sum(file.size or 0 for file in sized) > STREAMED_ENCODING_MIN_BYTES:
        # Small ones beside a large one are read twice: seldom, and cheap.
        small_files = [file for file in sized if (file.size or 0) <= SECRET_SCAN_MAX_BYTES]
        scanned = read_files(small_files, max_bytes, redactor) if redactor is not None else ()
        if isinstance(scanned, Failure):
            return scanned
        return call_protocol(_encode_streaming, protocol, sized, params, max_bytes)
    contents = read_files(files, max_bytes, redactor)
    if isinstance(contents, Failure):
        return contents
    return call_protocol(_encode_contents, protocol, params, contents)


def _encode_contents(
    protocol: InferenceProtocol,
    params: Mapping[str, Json],
    contents: Sequence[tuple[InputFile, bytes]],
) -> LoadedPayload:
    heads = [FileHead(f.param, f.path, data[:HEAD_BYTES], len(data)) for f, data in contents]
    encoded = protocol.encode_item(params, heads)
    encoded_contents = [protocol.encode_content(data) for _, data in contents]
    first, *others = encoded.parts
    pairs = zip(encoded_contents, others, strict=True)
    inputs = [SentFile(f.param, len(data), sha256(data).hexdigest()) for f, data in contents]
    return LoadedPayload((first, *chain.from_iterable(pairs)), tuple(inputs), encoded.headers)


def _encode_streaming(
    protocol: InferenceProtocol,
    files: Sequence[InputFile],
    params: Mapping[str, Json],
    max_bytes: int,
) -> LoadedPayload | Failure:
    """What `_encode_contents` makes of the files, a chunk at a time. All sizes are known."""
    unread = [FileHead(file.param, file.path, b"", file.size or 0) for file in files]
    text_size = sum(map(len, protocol.encode_item(params, unread).parts))
    content_size = sum(protocol.get_encoded_size(file.size or 0) for file in files)
    body = _GrowingBody(text_size + content_size + HEAD_BYTES)
    heads: list[FileHead] = []
    inputs: list[SentFile] = []
    encoded = EncodedItem((b"",))

    def encode_file(file: InputFile, opened: OpenInput, size: int) -> range:
        nonlocal encoded
        chunk = opened.read(min(size, ENCODE_CHUNK_BYTES))
        heads.append(FileHead(file.param, file.path, chunk[:HEAD_BYTES], size))
        encoded = protocol.encode_item(params, heads)
        body.append(encoded.parts[-2])
        bytes_read, digest = 0, sha256()
        while chunk:
            body.append(protocol.encode_content(chunk))
            digest.update(chunk)
            bytes_read += len(chunk)
            chunk = opened.read(min(size - bytes_read, ENCODE_CHUNK_BYTES))
        inputs.append(SentFile(file.param, bytes_read, digest.hexdigest()))
        return range(bytes_read)  # as long as what was read

    for file in files:
        read = read_checked(file, max_bytes, partial(encode_file, file))
        if isinstance(read, Failure):
            return read
        max_bytes -= len(read)
    body.append(encoded.parts[-1])
    return LoadedPayload((body.get(),), tuple(inputs), encoded.headers)


class _GrowingBody:
    """A body in memory that the system has back at once (malloc would keep it)."""

    def __init__(self, capacity: int) -> None:
        self._memory = memoryview(mmap.mmap(-1, capacity))
        self._end = 0

    def append(self, text: bytes) -> None:
        end = self._end + len(text)
        if end > len(self._memory):  # a protocol encodes to more bytes than it said
            larger = memoryview(mmap.mmap(-1, 2 * end))
            larger[: self._end] = self._memory[: self._end]
            self._memory = larger
        self._memory[self._end : end] = text
        self._end = end

    def get(self) -> memoryview:
        return self._memory[: self._end]
