"""The pictures of the page, as large as their number allows.

How many bytes a pixel takes depends on the pictures: a few are made first, and measured.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from batchinfer.images import Thumbnail, ThumbnailJob, UnreadableImage, make_thumbnails

MAX_IMAGE_EDGE_PIXELS, MIN_IMAGE_EDGE_PIXELS = 1024, 160
"""Pixels of the longer side."""
_PILOT_COUNT: Final = 24
_DEFAULT_BYTES_PER_PIXEL: Final = 0.25
"""Bytes a pixel, in base64: of a photograph full of detail."""
_FILE_FULL: Final = "there is no more room for pictures in this file"


@dataclass(frozen=True, slots=True)
class EmbeddedImage:
    """One that stands in the page."""

    data_uri: str
    """A data URI."""
    width: int
    height: int


def embed_images(paths: Sequence[str], max_bytes: int) -> Iterator[EmbeddedImage | UnreadableImage]:
    """One for each path, in their order; `room` bytes at most for all of them together."""
    if not paths:
        return
    # Evenly over all: neighbours are alike.
    pilots = paths[:: math.ceil(len(paths) / _PILOT_COUNT)]
    density = _bytes_per_pixel(list(make_thumbnails(ThumbnailJob(path, 320) for path in pilots)))
    edge = _choose_edge(max_bytes / len(paths), density)
    left = max_bytes
    for made in make_thumbnails(ThumbnailJob(path, edge) for path in paths):
        match made:
            case Thumbnail(data=data, media_type=media_type, width=width, height=height):
                source = f"data:{media_type};base64,{b64encode(data).decode()}"
                if (left := left - len(source)) < 0:
                    yield UnreadableImage(_FILE_FULL)
                else:
                    yield EmbeddedImage(source, width, height)
            case UnreadableImage():
                yield made


def _bytes_per_pixel(pilots: Sequence[Thumbnail | UnreadableImage]) -> float:
    seen = [each for each in pilots if isinstance(each, Thumbnail)]
    pixels = sum(each.width * each.height for each in seen)
    return (
        sum(len(each.data) for each in seen) * 4 / 3 / pixels
        if pixels
        else _DEFAULT_BYTES_PER_PIXEL
    )


def _choose_edge(bytes_per_image: float, bytes_per_pixel: float) -> int:
    """The side of pictures of three to four, with some room to spare."""
    edge = math.sqrt(bytes_per_image * 0.9 / bytes_per_pixel * 4 / 3)
    return int(min(max(edge, MIN_IMAGE_EDGE_PIXELS), MAX_IMAGE_EDGE_PIXELS))
