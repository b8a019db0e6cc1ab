"""What `workers` and `worker` say to each other: a JSON text, and bytes behind it.

Each message is the length of the text (four bytes, big-endian), the text, and as many bytes as its
`bytes` says. The side that listens trusts nothing: a decoder may have gone mad over a picture.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Final

_LENGTH: Final = struct.Struct(">I")
_LARGEST: Final = 64 << 20
"""Bytes."""


def message(head: dict[str, Any], data: bytes = b"") -> bytes:
    """A message as it is sent."""
    text = json.dumps({**head, "bytes": len(data)}).encode()
    return _LENGTH.pack(len(text)) + text + data


def messages(heard: bytearray) -> list[tuple[dict[str, Any], bytes]]:
    """The messages that have arrived in full; they are taken out of `heard`.

    Raises ValueError for what is no message.
    """
    found: list[tuple[dict[str, Any], bytes]] = []
    while len(heard) >= _LENGTH.size:
        body = _LENGTH.size + _LENGTH.unpack_from(heard)[0]
        if body > _LARGEST:
            raise ValueError("a message that long is none")
        if len(heard) < body:
            break
        head = json.loads(bytes(heard[_LENGTH.size : body]))
        if not isinstance(head, dict) or not isinstance(size := head.get("bytes"), int):
            raise ValueError("a message without a head")  # noqa: TRY004 - one thing to expect
        if not 0 <= size <= _LARGEST:
            raise ValueError("a message that long is none")
        if len(heard) < body + size:
            break
        found.append((head, bytes(heard[body : body + size])))
        del heard[: body + size]
    return found
