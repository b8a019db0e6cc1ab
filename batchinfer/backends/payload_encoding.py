"""Making one body of an item's files, as its protocol encodes them.

Small files are read first. Large ones are encoded as they are read, into memory that the system has
back at once (malloc would keep it): only the payload itself is ever held. The sha256 of each file
is taken of the bytes that go into the body, there and then.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from typing import Final

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

ENCODE_CHUNK_BYTES: Final = 3 << 16
"""Bytes that are encoded at a time; a multiple of 3, so that the parts fit together."""


def encode_without_files(protocol: InferenceProtocol, params: Mapping[str, Json]) -> LoadedPayload:
    """The payload of an item that is only its parameters. Raises what the protocol raises."""
    encoded = protocol.encode_item(params, ())
    (body,) = encoded.parts
    return LoadedPayload((_check_bytes(body),), headers=encoded.headers)


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
    return LoadedPayload(parts, tuple(inputs), encoded.headers)


def encode_streaming(
    protocol: InferenceProtocol,
    files: Sequence[InputFile],
    params: Mapping[str, Json],
    max_bytes: int,
) -> LoadedPayload | Failure:
    """What `encode_contents` makes of the files, a chunk at a time. All sizes are known."""
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


def _check_bytes(part: bytes) -> bytes:
    """The part; TypeError here, where it is the protocol's, when it is something else."""
    if not isinstance(part, bytes):
        raise TypeError(f"a part of the request is a {type(part).__name__} instead of bytes")
    return part


class _GrowingBody:
    """A body in memory that the system has back at once (malloc would keep it)."""

    def __init__(self, capacity: int) -> None:
        self._memory = memoryview(_map_memory(capacity))
        self._end = 0

    def append(self, text: bytes) -> None:
        end = self._end + len(text)
        if end > len(self._memory):  # a protocol encodes to more bytes than it said
            larger = memoryview(_map_memory(2 * end))
            larger[: self._end] = self._memory[: self._end]
            self._memory = larger
        self._memory[self._end : end] = text
        self._end = end

    def get(self) -> memoryview:
        return self._memory[: self._end]


def _map_memory(size: int) -> mmap.mmap:
    """Memory of the system's. Private and in huge pages, where there are any, to fill it takes half
    the time.
    """  # noqa: D205 - one thought
    if sys.platform == "win32":
        return mmap.mmap(-1, size)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
