"""Defaults of settings, each in one place: the schema, the engine and the backends take them from
here. Durations in seconds.
"""  # noqa: D205 - one thought

from __future__ import annotations

from typing import Final

from batchinfer.mode import Mode

ATTEMPT_TIMEOUT: Final = {Mode.SYNC: 600.0, Mode.ASYNC: 3600.0}
"""Of one attempt; in async mode from submission to output."""
CONNECT_TIMEOUT: Final = 30.0
SEND_TIMEOUT: Final = 60.0
"""While a body is sent, without any of it being accepted."""
COLD_START_TIMEOUT: Final = 900.0
"""How long a service that has never answered is waited for."""
GIVE_UP_AFTER: Final = 14_400.0
"""How long a service that has answered before is waited for."""
MAX_ATTEMPTS: Final = 5
MEMORY_BYTES: Final = 256_000_000
"""For files and replies that are in memory at a time."""
MAX_REPLY_BYTES: Final = 64_000_000
"""Of one reply, at most."""
LEASE_SECONDS: Final = 30.0
"""That a worker of a cluster goes on without hearing of its coordinator."""
WATCH_SETTLE_SECONDS: Final = 2.0
"""That a file of a watched folder stays as it is before it is taken."""
WATCH_INTERVAL_SECONDS: Final = 2.0
"""Between two scans of what is watched, at least."""
BUCKET_REGION: Final = "us-east-1"
FILE_PARAM: Final = "files"
"""The model's parameter that receives an item's file."""
