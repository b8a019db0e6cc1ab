"""What a worker opens its backend with, made unreadable for whatever prints or logs a message.

A backend needs secrets. They cross to a worker once, in one direct call, protected by the TLS of
the cluster where it has it. Libraries in between log messages that they cannot read, and keep texts
of what went wrong: so the bytes are combined with random ones, and neither they nor the object show
anything. This is no encryption: who reads the whole message has the key.
"""

from __future__ import annotations

import pickle
import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, TypeAlias

from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.ports import Backend

BackendFactory: TypeAlias = Callable[
    [Path, BandwidthLimiter | None], AbstractAsyncContextManager[Backend]
]
"""Opens a backend; it can be pickled. The folder is for large replies while they are read, the
limiter for all that is sent."""

_KEY_BYTES: Final = 32


class UnsealError(Exception):
    """What was sealed cannot be made here; the message shows nothing of it."""


def seal_factory(factory: BackendFactory) -> bytes:
    """The factory as bytes in which nothing of it can be read."""
    data = pickle.dumps(factory)
    key = secrets.token_bytes(_KEY_BYTES)
    return key + _combine(data, key)


def unseal_factory(sealed: bytes) -> BackendFactory:
    """The factory. Raises UnsealError, without the cause: that might quote a secret."""
    key, data = sealed[:_KEY_BYTES], sealed[_KEY_BYTES:]
    try:
        factory: BackendFactory = pickle.loads(_combine(data, key))  # noqa: S301 - the coordinator's
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises
        name = type(error).__name__
        raise UnsealError(f"the settings of the run cannot be read here ({name})") from None
    return factory


def _combine(data: bytes, key: bytes) -> bytes:
    """Exclusive or with the repeated key; twice, it is the data again."""
    repeated = key * (len(data) // len(key) + 1)
    number = int.from_bytes(data) ^ int.from_bytes(repeated[: len(data)])
    return number.to_bytes(len(data))
