"""The messages between `worker_pool` and `thumbnail_worker`: a JSON text, and bytes behind it.

Each message is the length of the text (four bytes, big-endian), the text, and as many bytes as its
`bytes` says. The receiving side trusts nothing: a hostile image may control the decoder.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Final

_LENGTH_PREFIX: Final = struct.Struct(">I")
_MAX_MESSAGE_BYTES: Final = 64 << 20
"""Bytes."""


def encode_message(head: dict[str, Any], data: bytes = b"") -> bytes:
    """A message as it is sent."""
    text = json.dumps({**head, "bytes": len(data)}).encode()
    return _LENGTH_PREFIX.pack(len(text)) + text + data


def decode_messages(buffer: bytearray) -> list[tuple[dict[str, Any], bytes]]:
    """The messages that have arrived in full; they are removed from `buffer`.

    Raises ValueError for what is no message.
    """
    found: list[tuple[dict[str, Any], bytes]] = []
    while len(buffer) >= _LENGTH_PREFIX.size:
        body = _LENGTH_PREFIX.size + _LENGTH_PREFIX.unpack_from(buffer)[0]
        if body > _MAX_MESSAGE_BYTES:
            raise ValueError("a message that long is none")
        if len(buffer) < body:
            break
        head = json.loads(bytes(buffer[_LENGTH_PREFIX.size : body]))
        if not isinstance(head, dict) or not isinstance(size := head.get("bytes"), int):
            raise ValueError("a message without a head")  # noqa: TRY004 - one thing to expect
        if not 0 <= size <= _MAX_MESSAGE_BYTES:
            raise ValueError("a message that long is none")
        if len(buffer) < body + size:
            break
        found.append((head, bytes(buffer[body : body + size])))
        del buffer[: body + size]
    return found
