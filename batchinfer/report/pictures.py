"""The pictures of the page, as large as their number allows.

How many bytes a pixel takes depends on the pictures: a few are made first, and measured.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from batchinfer.images import Job, Thumbnail, Unseen, thumbnails

LARGEST, SMALLEST = 1024, 160
"""Pixels of the longer side."""
_PILOTS: Final = 24
_GUESS: Final = 0.25
"""Bytes a pixel, in base64: of a photograph full of detail."""
_NO_ROOM: Final = "there is no more room for pictures in this file"


@dataclass(frozen=True, slots=True)
class Picture:
    """One that stands in the page."""

    source: str
    """A data URI."""
    width: int
    height: int


def pictures(paths: Sequence[str], room: int) -> Iterator[Picture | Unseen]:
    """One for each path, in their order; `room` bytes at most for all of them together."""
    if not paths:
        return
    # Evenly over all: neighbours are alike.
    pilots = paths[:: math.ceil(len(paths) / _PILOTS)]
    density = _density(list(thumbnails(Job(path, 320) for path in pilots)))
    edge = _edge(room / len(paths), density)
    left = room
    for made in thumbnails(Job(path, edge) for path in paths):
        match made:
            case Thumbnail(data=data, media_type=media_type, width=width, height=height):
                source = f"data:{media_type};base64,{b64encode(data).decode()}"
                if (left := left - len(source)) < 0:
                    yield Unseen(_NO_ROOM)
                else:
                    yield Picture(source, width, height)
            case Unseen():
                yield made


def _density(pilots: Sequence[Thumbnail | Unseen]) -> float:
    seen = [each for each in pilots if isinstance(each, Thumbnail)]
    pixels = sum(each.width * each.height for each in seen)
    return sum(len(each.data) for each in seen) * 4 / 3 / pixels if pixels else _GUESS


def _edge(room: float, density: float) -> int:
    """The side of pictures of three to four, with some room to spare."""
    edge = math.sqrt(room * 0.9 / density * 4 / 3)
    return int(min(max(edge, SMALLEST), LARGEST))
