"""Coordinates in the pixels as they are stored, turned into those of the upright image.

The numbers of EXIF's orientation say where the first row and the first column of the stored pixels
are in the upright image: with 6, for example, the first row is the right side.
"""

from __future__ import annotations

from collections.abc import Sequence

from batchinfer.images.image_info import ImageInfo
from batchinfer.predictions import Box, Point


def to_upright_box(box: Box, image: ImageInfo) -> Box:
    """The box in the upright picture, in its own unit."""
    corners = ((box.left, box.top), (box.right, box.bottom))
    (x1, y1), (x2, y2) = to_upright_points(corners, box.relative, image)
    return Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2), box.relative)


def to_upright_points(
    points: Sequence[Point], relative: bool, image: ImageInfo
) -> tuple[Point, ...]:
    """The points in the upright picture, in their own unit: fractions if `relative`."""
    width, height = (1, 1) if relative else image.stored_size
    return tuple(_to_upright_point(x, y, width, height, image.orientation) for x, y in points)


def _to_upright_point(x: float, y: float, width: float, height: float, orientation: int) -> Point:
    across, down = width - x, height - y
    turned = {
        2: (across, y),
        3: (across, down),
        4: (x, down),
        5: (y, x),
        6: (down, x),
        7: (down, across),
        8: (y, across),
    }
    return turned.get(orientation, (x, y))
