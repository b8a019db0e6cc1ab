"""A payload: a file's bytes, in memory, become the body of a request."""

from __future__ import annotations

import base64
import json
import os

from benchmarks.measuring import Work

SIZE = 110_000


def tutorial(count: int) -> Work:
    """As the platform's tutorial does: base64 as text, a dict, JSON."""
    image = os.urandom(SIZE)

    def work() -> int:
        for _ in range(count):
            data = base64.b64encode(image).decode("utf-8")
            payload = {"oscar-files": [{"key": "files", "file_format": "jpg", "data": data}]}
            json.dumps(payload).encode()
        return count

    return work


def quick(count: int) -> Work:
    """The same by fast libraries."""
    import orjson  # noqa: PLC0415 - each process loads its own client only
    from pybase64 import b64encode_as_string  # noqa: PLC0415 - as above

    image = os.urandom(SIZE)

    def work() -> int:
        for _ in range(count):
            data = b64encode_as_string(image)
            orjson.dumps({"oscar-files": [{"key": "files", "file_format": "jpg", "data": data}]})
        return count

    return work
