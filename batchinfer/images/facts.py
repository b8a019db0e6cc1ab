"""What a picture is, by its header: size, orientation, where and when it was taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from batchinfer.extras import bring
from batchinfer.images.exif import position, taken_at
from batchinfer.images.opening import UnreadableError, opened, quietly
from batchinfer.images.orientation import orientation

_WIDTH, _HEIGHT = 256, 257
"""Tags of a TIFF."""
_LYING: Final = (5, 6, 7, 8)
"""Orientations whose width as stored is the upright height."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a picture without looking at its pixels."""

    width: int
    """Pixels, upright: as OpenCV and browsers turn it (`orientation`)."""
    height: int
    """Pixels, upright."""
    orientation: int = 1
    """How the pixels are stored, as EXIF numbers it, 1 to 8; 1: upright, or nobody turns them."""
    latitude: float | None = None
    """Degrees north (WGS84) of where it was taken."""
    longitude: float | None = None
    """Degrees east (WGS84) of where it was taken."""
    taken_at: str | None = None
    """ISO 8601, by the camera's clock; with an offset from UTC only if the camera knows it."""
    format: str = ""
    """Pillow's name: JPEG, PNG, TIFF ..."""

    @property
    def stored(self) -> tuple[int, int]:
        """Width and height of the pixels as they are stored."""
        lying = self.orientation in _LYING
        return (self.height, self.width) if lying else (self.width, self.height)


@dataclass(frozen=True, slots=True)
class Unseen:
    """A file that cannot be looked at."""

    reason: str
    """For people."""


def facts(path: str) -> Facts | Unseen:
    """What a picture's header says, however big the picture is.

    Raises ConfigError when Pillow is not installed.
    """
    bring("PIL.Image", "Looking at pictures", "report")
    try:
        with quietly(), opened(path) as picture:
            return facts_of(picture)
    except UnreadableError as error:
        return Unseen(str(error))
    except Exception:  # noqa: BLE001 - Pillow raises whatever a broken file leads it to
        return Unseen("its header is broken")


def facts_of(picture: Any) -> Facts:
    """The same of a picture of Pillow, opened and not loaded yet. Raises UnreadableError."""
    width, height = picture.size
    if picture.format == "TIFF":  # whose size Pillow gives upright already
        width, height = picture.tag_v2[_WIDTH], picture.tag_v2[_HEIGHT]
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        raise UnreadableError("it is empty")
    turn = orientation(picture)
    if turn in _LYING:
        width, height = height, width
    latitude, longitude = position(picture)
    return Facts(width, height, turn, latitude, longitude, taken_at(picture), picture.format or "")
