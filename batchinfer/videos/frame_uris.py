"""How a frame is named: `frame://VIDEO@00:01:02.000.jpg`, as an item's path. Pure.

VIDEO is the video's absolute path or its own URI. Without a time it is a video whose frames could
not be listed.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_FRAME_PREFIX: Final = "frame://"
_TIME_PATTERN: Final = re.compile(r"(.*)@(\d{2,}):(\d{2}):(\d{2})\.(\d{3})\.jpg", re.DOTALL)


class FramePlace(NamedTuple):
    """A frame of a video."""

    video: str
    """Path or URI."""
    milliseconds: int | None
    """None: none of its frames is known."""


def format_frame_time(milliseconds: int) -> str:
    """A time as keys have it: `00:01:02.000`."""
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{milliseconds:03}"


def make_frame_uri(video: str, milliseconds: int | None) -> str:
    """The URI of a frame, or of a video whose frames are not known."""
    if milliseconds is None:
        return _FRAME_PREFIX + video
    return f"{_FRAME_PREFIX}{video}@{format_frame_time(milliseconds)}.jpg"


def split_frame_uri(uri: str) -> FramePlace:
    """The inverse of `make_frame_uri`."""
    rest = uri[len(_FRAME_PREFIX) :]
    if (match := _TIME_PATTERN.fullmatch(rest)) is None:
        return FramePlace(rest, None)
    hours, minutes, seconds, milliseconds = map(int, match.groups()[1:])
    return FramePlace(match[1], ((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds)
