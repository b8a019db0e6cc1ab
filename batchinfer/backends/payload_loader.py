"""Reading an item's files at the moment its slot is free, and making one body of them.

A file system can hang (a dead NFS server), so the event loop reads a file only where nothing has to
be waited for (`inputs.CachedFileReader`): small files of a local disk that are in memory, which is
the case of those that were copied, made or sent a moment ago. For all others one hop into a thread
per item reads all its files and builds the whole body; a read that hangs is left to itself when its
attempt is cancelled. What becomes of the files is the same either way (`payload_encoding`), and so
is what may be sent (`input_reader` lists what is wrong with a file, each a `Failure` of its item).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias

from batchinfer.backends.input_reader import (
    MAX_ITEM_BYTES,
    SECRET_SCAN_MAX_BYTES,
    add_sizes,
    find_secret,
    read_files,
    read_timeout_failure,
)
from batchinfer.backends.loaded_payload import LoadedPayload
from batchinfer.backends.payload_encoding import (
    encode_contents,
    encode_streaming,
    encode_without_files,
)
from batchinfer.backends.protocol_calls import call_protocol
from batchinfer.backends.redaction import Redactor
from batchinfer.backends.thread_pool import WORK_TIMEOUT_SECONDS, DaemonThreadPool
from batchinfer.domain import Failure, InputFile, Item, Json, Mode, ServiceSignal
from batchinfer.errors import FatalError
from batchinfer.flow.memory_budget import Reservation
from batchinfer.inputs import MAX_CACHED_READ_BYTES, CachedFileReader
from batchinfer.machine_limits import detect_shortage
from batchinfer.protocols.inference_protocol import InferenceProtocol

MAX_READER_THREADS: Final = 32
"""Items being read at once, at most: so many can hang before the others cannot be read."""
STREAMED_ENCODING_MIN_BYTES: Final = 1 << 20
"""Bytes of an item's files from which on they are encoded as they are read."""
MAX_LOADS_PER_TURN: Final = 32
"""Items that the event loop loads before it does something else: a few ms at the most."""

_CachedLoad: TypeAlias = asyncio.Future[LoadedPayload | Failure | None]
_QueuedLoad: TypeAlias = tuple[Sequence[InputFile], Mapping[str, Json], _CachedLoad]


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
        self._cached_files = CachedFileReader()
        self._loop = asyncio.get_running_loop()
        self._queued: list[_QueuedLoad] = []
        self._encoded_params: dict[tuple[str, ...], Mapping[str, Json] | Failure] = {}

    async def load(self, item: Item) -> bytes | Failure:
        """The payload of an item, or why it cannot be sent: a parameter, a file."""
        loaded = await self.load_within(None, item)
        return loaded if isinstance(loaded, Failure) else bytes(loaded.body)

    async def load_within(
        self, reservation: Reservation | None, item: Item
    ) -> LoadedPayload | Failure:
        """As `load`, as soon as there is room for it, which is then as large as the payload."""
        try:
            loaded = await self._load_payload(item, reservation)
        except FatalError as error:
            raise FatalError(error.code, self._redact(error.message)) from None
        if isinstance(loaded, Failure):
            signal = loaded.signal or ServiceSignal.UNSENT
            return replace(loaded, signal=signal, message=self._redact(loaded.message))
        return loaded

    def _redact(self, message: str) -> str:
        return message if self._redactor is None else self._redactor.redact_text(message)

    async def _load_payload(
        self, item: Item, reservation: Reservation | None
    ) -> LoadedPayload | Failure:
        params = self._encode_item_params(item)
        if isinstance(params, Failure):
            return params
        if not item.files:
            return call_protocol(encode_without_files, self._protocol, params)
        size = _sum_sizes(item.files)
        try:
            if reservation is not None:
                known_size = await self._measure(item.files) if size is None else size
                await reservation.acquire(self._peak_bytes(known_size))
            loaded = None
            if size is not None and size <= min(MAX_CACHED_READ_BYTES, self._max_bytes):
                loaded = await self._load_cached(item.files, params)
            if loaded is None:
                loaded = await self._thread_pool.run(
                    partial(self._load_blocking, item.files, params), self._read_timeout
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

    async def _measure(self, files: Sequence[InputFile]) -> int:
        """Bytes of all files, as they are now."""
        sized = await self._thread_pool.run(partial(add_sizes, files), self._read_timeout)
        return sum(file.size or 0 for file in sized)

    def _peak_bytes(self, size: int) -> int:
        """Bytes that are in memory while files of `size` are made a payload, at the most."""
        encoded = self._protocol.get_encoded_size(size)
        # The payload; of a small one also the files themselves, and the payload in one piece.
        return encoded if size > STREAMED_ENCODING_MIN_BYTES else encoded + size + encoded

    def _encode_item_params(self, item: Item) -> Mapping[str, Json] | Failure:
        """The encoded parameters; most items have none of their own, then it is done only once."""
        names = tuple([file.param for file in item.files])
        encode = self._protocol.encode_params
        if item.params:
            params = {**self._params, **item.params}
            return call_protocol(encode, params, names, self._mode)
        if names not in self._encoded_params:
            encoded = call_protocol(encode, self._params, names, self._mode)
            self._encoded_params = {names: encoded}
        return self._encoded_params[names]

    def _load_cached(self, files: Sequence[InputFile], params: Mapping[str, Json]) -> _CachedLoad:
        """As `_load_blocking`, on the event loop and without waiting for a disk.

        Its result is None when that cannot be done. Items that ask together are loaded one after
        the other, which takes less time than each at its own: code and data are in the processor's
        cache.
        """
        future: _CachedLoad = self._loop.create_future()
        if not self._queued:
            self._loop.call_soon(self._load_queued)
        self._queued.append((files, params, future))
        return future

    def _load_queued(self) -> None:
        queued, self._queued = self._queued[:MAX_LOADS_PER_TURN], self._queued[MAX_LOADS_PER_TURN:]
        if self._queued:
            self._loop.call_soon(self._load_queued)
        for files, params, future in queued:
            if future.done():  # cancelled
                continue
            try:
                future.set_result(self._try_load_cached(files, params))
            except BaseException as error:  # noqa: BLE001 - who asked for it gets it
                future.set_exception(error)

    def _try_load_cached(
        self, files: Sequence[InputFile], params: Mapping[str, Json]
    ) -> LoadedPayload | Failure | None:
        contents: list[tuple[InputFile, bytes]] = []
        for file in files:
            if (data := self._cached_files.read(file)) is None:
                return None
            if failure := find_secret(file, data, self._redactor):
                return failure
            contents.append((file, data))
        return call_protocol(encode_contents, self._protocol, params, contents)

    def _load_blocking(
        self, files: Sequence[InputFile], params: Mapping[str, Json]
    ) -> LoadedPayload | Failure:
        """Read and encode the files of an item. For a thread."""
        for file in files:
            self._cached_files.learn_folder(file.path)
        sized = add_sizes(files)
        if sum(file.size or 0 for file in sized) > STREAMED_ENCODING_MIN_BYTES:
            # Small ones beside a large one are read twice: seldom, and cheap.
            small_files = [file for file in sized if (file.size or 0) <= SECRET_SCAN_MAX_BYTES]
            scanned = (
                read_files(small_files, self._max_bytes, self._redactor) if self._redactor else ()
            )
            if isinstance(scanned, Failure):
                return scanned
            return call_protocol(encode_streaming, self._protocol, sized, params, self._max_bytes)
        contents = read_files(files, self._max_bytes, self._redactor)
        if isinstance(contents, Failure):
            return contents
        return call_protocol(encode_contents, self._protocol, params, contents)


def _sum_sizes(files: Sequence[InputFile]) -> int | None:
    """Bytes of the files as their source saw them; None when it did not see one."""
    total = 0
    for file in files:
        if file.size is None:
            return None
        total += file.size
    return total
