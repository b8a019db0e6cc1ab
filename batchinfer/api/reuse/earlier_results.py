"""What earlier runs have of the items of this one. See `earlier_runs` for which may be used.

Rules: a result is taken over whole and intact, or not at all; it is looked for by the bytes that
the file has now; nothing is written to the earlier run, and it may be going on meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final
from zlib import crc32

from batchinfer.backends.input_reader import MAX_ITEM_BYTES, read_checked
from batchinfer.domain import (
    JSON_MEDIA_TYPE,
    TEXT_MEDIA_TYPE,
    Failure,
    Item,
    Json,
    OutputFile,
    Reply,
    ResultDetails,
    ReusedFrom,
    SentFile,
    State,
)
from batchinfer.errors import BatchInferError
from batchinfer.inputs import OpenInput
from batchinfer.ports import Notice
from batchinfer.store.merge_outputs import locate_output
from batchinfer.store.output_archive import read_members
from batchinfer.store.reply_index import ReplyIndex, digest_sent
from batchinfer.store.run_reader import RunReader

_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _HashedContent:
    """What remains of a file that was read: how long it was, and its sha256."""

    size: int
    sha256: str

    def __len__(self) -> int:
        return self.size


class EarlierResults:
    """Looks up and reads. Blocks; several threads may ask at once."""

    def __init__(
        self,
        readers: Sequence[RunReader],
        index: ReplyIndex,
        params: Mapping[str, Json],
        notices: Sequence[Notice],
    ) -> None:
        """`readers`: by the numbers of the index. `params`: those of every item of this run."""
        self.notices = notices
        """What a person should know of them."""
        self._readers, self._index, self._params = readers, index, params
        self._lock = threading.Lock()

    @property
    def is_empty(self) -> bool:
        """Whether no earlier run may be used."""
        return not self._readers

    def find_reply(self, item: Item) -> Reply | None:
        """The reply to what would be sent for this item now; None: it has to be sent."""
        if not item.files:
            return None
        sent = _hash_files(item)
        if sent is None:
            return None  # it fails as it would without
        try:
            params = {**self._params, **item.params}
            digest = digest_sent(params, [(file.param, file.sha256) for file in sent])
            with self._lock:
                for number, position in self._index.find(digest):
                    if reply := self._read_reply(self._readers[number], position, sent):
                        return reply
        except (BatchInferError, OSError, ValueError, RecursionError):
            return None  # its disk has trouble, say: the service is asked
        return None

    def _read_reply(
        self, reader: RunReader, position: int, sent: tuple[SentFile, ...]
    ) -> Reply | None:
        details = reader.read_details_at(position)
        if details is None or details.result.state is not State.SUCCEEDED:
            return None
        if details.sha256 != {file.param: file.sha256 for file in sent}:
            return None  # it was sent again meanwhile
        result, directory = details.result, reader.directory
        media_type = result.media_type or JSON_MEDIA_TYPE
        data: bytes | None = None
        files: tuple[OutputFile, ...] = ()
        if details.output_name is not None:
            content = _read_output(directory, details.output_name, details)
            if content is None:
                return None
            if media_type in {JSON_MEDIA_TYPE, TEXT_MEDIA_TYPE}:  # beside it, not in its place
                files = read_members(content)
            else:
                data = content
        return Reply(
            media_type,
            None if data is not None else result.prediction,
            data,
            details.log,
            details.server_seconds,
            sent,
            files=files,
            reused=ReusedFrom(
                directory.absolute().name, reader.info.id, result.key, result.seconds or 0.0
            ),
        )


def _read_output(directory: Path, name: str, details: ResultDetails) -> bytes | None:
    """The file of a result; None when it is not what was written. Raises OSError."""
    data = locate_output(directory, name).read_bytes()
    is_intact = details.file_checksum is not None and crc32(data) == details.file_checksum
    return data if is_intact else None


def _hash_files(item: Item) -> tuple[SentFile, ...] | None:
    """The files as they are now; None when one cannot be sent as it is."""
    sent = []
    for file in item.files:
        content = read_checked(file, MAX_ITEM_BYTES, _hash_content)
        if isinstance(content, Failure):
            return None
        sent.append(SentFile(file.param, content.size, content.sha256))
    return tuple(sent)


def _hash_content(opened: OpenInput, size: int) -> _HashedContent:
    digest, length = sha256(), 0
    for chunk in _iter_chunks(opened, size):
        digest.update(chunk)
        length += len(chunk)
    return _HashedContent(length, digest.hexdigest())


def _iter_chunks(opened: OpenInput, size: int) -> Iterator[bytes]:
    while size > 0 and (chunk := opened.read(min(size, _CHUNK_BYTES))):
        size -= len(chunk)
        yield chunk
