"""The process that decodes pictures: jobs in, thumbnails out, until nobody sends any more.

Everything here may be killed at any time: nothing is kept. It ends by itself when its parent is
gone, also in the middle of a picture that takes for ever.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import Any, BinaryIO, Final

from batchinfer.extras import import_optional
from batchinfer.images.thumbnail_maker import Thumbnail, make_thumbnail
from batchinfer.images.worker_protocol import encode_message

_MAX_ADDRESS_SPACE: Final = 2 << 30
"""Bytes of address space."""


def main() -> None:
    """Answer jobs from stdin on what was stdout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to act on
    with os.fdopen(os.dup(1), "wb") as replies:
        os.dup2(2, 1)  # what decoders print must not get among the replies
        _limit_memory()
        image: Any = import_optional("PIL.Image", "A thumbnail", "report")
        image.MAX_IMAGE_PIXELS = None  # the limit is `thumbnail_maker.MAX_PIXELS`
        _send(replies, {"ready": True})
        for line in sys.stdin.buffer:
            job = json.loads(line)
            _limit_time(job["seconds"])
            _handle_job(replies, job)
            _limit_time(0)


def _handle_job(replies: BinaryIO, job: dict[str, Any]) -> None:
    match make_thumbnail(job["path"], job["edge"], job["quality"]):
        case Thumbnail(data, media_type, width, height, info):
            head = {"media_type": media_type, "width": width, "height": height}
            _send(replies, {**head, "facts": asdict(info)}, data)
        case unseen:
            _send(replies, {"reason": unseen.reason})


def _send(replies: BinaryIO, head: dict[str, Any], data: bytes = b"") -> None:
    replies.write(encode_message(head, data))
    replies.flush()


def _limit_memory() -> None:
    with suppress(ImportError, OSError, ValueError):  # not on every system
        import resource  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_AS, (_MAX_ADDRESS_SPACE, _MAX_ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time(seconds: float) -> None:
    """Die after so many seconds, even inside a decoder, and without a parent to see to it."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    main()
