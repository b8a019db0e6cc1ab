"""Making one body of an item's files, as its protocol encodes them.

Small files are read first. Large ones are encoded as they are read, into memory of their own
(`body_memory`): only the payload itself is ever held. The sha256 of each file is taken of the bytes
that go into the body, there and then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Final

from batchinfer.backends.body_memory import BodyMemory, BodyMemoryPool
from batchinfer.backends.input_reader import read_checked
from batchinfer.backends.loaded_payload import LoadedPayload
from batchinfer.domain import Failure, InputFile, Json, SentFile
from batchinfer.inputs import OpenInput
from batchinfer.protocols.inference_protocol import (
    HEAD_BYTES,
    EncodedItem,
    FileHead,
    InferenceProtocol,
)

ENCODE_CHUNK_BYTES: Final = 3 << 14
"""Bytes that are encoded at a time; a multiple of 3, so that the parts fit together. They and what
they are encoded to stay in the processor's cache, and malloc takes them from what it has; for
larger ones it asks the system, each time (128 KiB by default)."""


def encode_without_files(protocol: InferenceProtocol, params: Mapping[str, Json]) -> LoadedPayload:
    """The payload of an item that is only its parameters. Raises what the protocol raises."""
    encoded = protocol.encode_item(params, ())
    (body,) = encoded.parts
    return LoadedPayload((_check_bytes(body),), headers=encoded.headers, query=encoded.query)


def encode_contents(
    protocol: InferenceProtocol,
    params: Mapping[str, Json],
    contents: Sequence[tuple[InputFile, bytes]],
) -> LoadedPayload:
    """The payload of an item whose files were read. Raises what the protocol raises."""
    heads = [FileHead(f.param, f.path, data[:HEAD_BYTES], len(data)) for f, data in contents]
    encoded = protocol.encode_item(params, heads)
    first, *others = encoded.parts
    parts, inputs = [_check_bytes(first)], list[SentFile]()
    for (file, data), text in zip(contents, others, strict=True):
        parts += (_check_bytes(protocol.encode_content(data)), _check_bytes(text))
        inputs.append(SentFile(file.param, len(data), sha256(data).hexdigest()))
    return LoadedPayload(parts, tuple(inputs), encoded.headers, query=encoded.query)


def encode_streaming(
    protocol: InferenceProtocol,
    files: Sequence[InputFile],
    params: Mapping[str, Json],
    max_bytes: int,
    memory_pool: BodyMemoryPool,
) -> LoadedPayload | Failure:
    """What `encode_contents` makes of the files, a chunk at a time. All sizes are known."""
    unread = [FileHead(file.param, file.path, b"", file.size or 0) for file in files]
    text_size = sum(map(len, protocol.encode_item(params, unread).parts))
    content_size = sum(protocol.get_encoded_size(file.size or 0) for file in files)
    body = _GrowingBody(memory_pool, text_size + content_size + HEAD_BYTES)
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
    return LoadedPayload((body.get(),), tuple(inputs), encoded.headers, encoded.query, body.memory)


def _check_bytes(part: bytes) -> bytes:
    """The part; TypeError here, where it is the protocol's, when it is something else."""
    if not isinstance(part, bytes):
        raise TypeError(f"a part of the request is a {type(part).__name__} instead of bytes")
    return part


class _GrowingBody:
    """A body of which is known how large it will probably be."""

    def __init__(self, memory_pool: BodyMemoryPool, capacity: int) -> None:
        self._memory_pool = memory_pool
        self.memory: BodyMemory = memory_pool.lend(capacity)
        self._view = self.memory.view
        self._end = 0

    def append(self, text: bytes) -> None:
        end = self._end + len(text)
        if end > len(self._view):  # a protocol encodes to more bytes than it said
            self._grow(2 * end)
        self._view[self._end : end] = text
        self._end = end

    def _grow(self, capacity: int) -> None:
        larger = self._memory_pool.lend(capacity)
        view = larger.view
        view[: self._end] = self._view[: self._end]
        self._view = view
        self.memory.give_back()
        self.memory = larger

    def get(self) -> memoryview:
        return self._view[: self._end]
