"""Follows the store's live notifications as long as a run lasts: connect, read, connect again.

Whatever goes wrong here concerns no item and ends no run: outputs are then found by listing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

import anyio

from batchinfer.backends.bucket_client import BucketClient, InvalidS3Response, ListedObject
from batchinfer.backends.notification_parser import NotificationsUnsupported

FIRST_RECONNECT_SECONDS: Final = 1.0
MAX_RECONNECT_SECONDS: Final = 60.0
"""Seconds until another try after a stream that was dropped: doubled from the first to the longest,
less a random part of it."""
STABLE_STREAM_SECONDS: Final = 60.0
"""A stream that has lasted so long is followed by another at once."""
UNSUPPORTED_RETRY_SECONDS: Final = 900.0
"""Seconds until a store that offers no notifications is asked again: a proxy in front of it may
have spoken."""


class NotificationStream(Protocol):
    """A stream of notifications that is open."""

    async def fetch_written(self) -> Sequence[ListedObject]:
        """The objects that were written since, as told; none: it was a sign of life.

        Raises OSError when the stream has ended, or is none.
        """


class NotificationSource(Protocol):
    """A store that may offer live notifications."""

    def open_notifications(self, prefix: str) -> AbstractAsyncContextManager[NotificationStream]:
        """A stream of what is written under `prefix` from now on; it is open once it has begun.

        Raises OSError when it cannot be had now, and NotificationsUnsupported or InvalidS3Response
        when there is none.
        """


class NotifiedBucketClient(BucketClient, NotificationSource, Protocol):
    """A bucket of a store that may offer live notifications."""


class NotificationListener:
    """Tells of the objects under `prefix` that are written.

    `jitter`: uniform in [0, 1).
    """

    def __init__(
        self, source: NotificationSource, prefix: str, *, jitter: Callable[[], float]
    ) -> None:
        self._source, self._prefix, self._jitter = source, prefix, jitter

    async def run(
        self,
        *,
        on_connected: Callable[[], None],
        on_written: Callable[[Sequence[ListedObject]], None],
        on_dropped: Callable[[], None],
    ) -> None:
        """Listen until cancelled."""
        backoff = FIRST_RECONNECT_SECONDS
        while True:
            began: float | None = None
            seconds = UNSUPPORTED_RETRY_SECONDS
            try:
                async with self._source.open_notifications(self._prefix) as stream:
                    began = anyio.current_time()
                    on_connected()
                    while True:
                        on_written(await stream.fetch_written())
            except (NotificationsUnsupported, InvalidS3Response):
                pass
            except OSError:
                if began is not None and anyio.current_time() - began >= STABLE_STREAM_SECONDS:
                    backoff = FIRST_RECONNECT_SECONDS
                seconds = backoff * (1 - self._jitter() / 2)
                backoff = min(2 * backoff, MAX_RECONNECT_SECONDS)
            except Exception:  # noqa: BLE001, S110 - whatever it is, a run can do without hints
                pass
            finally:
                if began is not None:
                    on_dropped()
            await anyio.sleep(seconds)
