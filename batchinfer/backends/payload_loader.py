"""Reading an item's files at the moment its slot is free, and making one body of them.

A file system can hang (a dead NFS server), so no file is touched on the event loop: one hop into a
thread per item reads all its files (`input_reader`, which lists what is wrong with a file, each a
`Failure` of its item) and builds the whole body (`payload_encoding`). A read that hangs is left to
itself when its attempt is cancelled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from batchinfer.backends.body_memory import BodyMemoryPool
from batchinfer.backends.input_reader import (
    MAX_ITEM_BYTES,
    SECRET_SCAN_MAX_BYTES,
    add_sizes,
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
from batchinfer.flow.memory_budget import MemoryBudget, Reservation
from batchinfer.machine_limits import detect_shortage
from batchinfer.protocols.inference_protocol import InferenceProtocol

MAX_READER_THREADS: Final = 32
"""Items being read at once, at most: so many can hang before the others cannot be read."""
STREAMED_ENCODING_MIN_BYTES: Final = 1 << 20
"""Bytes of an item's files from which on they are encoded as they are read."""


class PayloadLoader:
    """Makes the payloads of a run's items, as its protocol encodes them.

    `params`: the run's own; an item's win over them. `redactor`: knows the secrets that no small
    file may hold. `max_bytes`: of all files of one item. `read_timeout`: seconds after which a file
    that is being read is left to itself. `memory_pool`: lends the memory of large bodies; None: it
    is used once.
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
        memory_pool: BodyMemoryPool | None = None,
    ) -> None:
        self._protocol = protocol.for_mode(mode)
        self._redactor = redactor
        self._params = params
        self._mode = mode
        self._max_bytes = max_bytes
        self._read_timeout = read_timeout
        self._memory_pool = memory_pool or BodyMemoryPool(MemoryBudget(0))
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

    def _load_blocking(
        self, files: Sequence[InputFile], params: Mapping[str, Json]
    ) -> LoadedPayload | Failure:
        """Read and encode the files of an item. For a thread."""
        sized = add_sizes(files)
        if sum(file.size or 0 for file in sized) > STREAMED_ENCODING_MIN_BYTES:
            # Small ones beside a large one are read twice: seldom, and cheap.
            small_files = [file for file in sized if (file.size or 0) <= SECRET_SCAN_MAX_BYTES]
            scanned = (
                read_files(small_files, self._max_bytes, self._redactor) if self._redactor else ()
            )
            if isinstance(scanned, Failure):
                return scanned
            return call_protocol(
                encode_streaming, self._protocol, sized, params, self._max_bytes, self._memory_pool
            )
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
