"""What a picture is, by its header: size, orientation, where and when it was taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from batchinfer.extras import import_optional
from batchinfer.images.exif import read_position, read_taken_at
from batchinfer.images.image_file import UnreadableImageError, open_image, suppress_warnings
from batchinfer.images.orientation import read_orientation

_TIFF_WIDTH_TAG, _TIFF_HEIGHT_TAG = 256, 257
"""Tags of a TIFF."""
_SIDEWAYS_ORIENTATIONS: Final = (5, 6, 7, 8)
"""Orientations whose width as stored is the upright height."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
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
    def stored_size(self) -> tuple[int, int]:
        """Width and height of the pixels as they are stored."""
        is_sideways = self.orientation in _SIDEWAYS_ORIENTATIONS
        return (self.height, self.width) if is_sideways else (self.width, self.height)


@dataclass(frozen=True, slots=True)
class UnreadableImage:
    """A file that cannot be looked at."""

    reason: str
    """For people."""


def read_image_info(path: str) -> ImageInfo | UnreadableImage:
    """What a picture's header says, however big the picture is.

    Raises ConfigError when Pillow is not installed.
    """
    import_optional("PIL.Image", "Looking at pictures", "report")
    try:
        with suppress_warnings(), open_image(path) as picture:
            return image_info_of(picture)
    except UnreadableImageError as error:
        return UnreadableImage(str(error))
    except Exception:  # noqa: BLE001 - Pillow raises whatever a broken file leads it to
        return UnreadableImage("its header is broken")


def image_info_of(picture: Any) -> ImageInfo:
    """The same of a picture of Pillow, opened and not loaded yet. Raises UnreadableError."""
    width, height = picture.size
    if picture.format == "TIFF":  # whose size Pillow gives upright already
        width, height = picture.tag_v2[_TIFF_WIDTH_TAG], picture.tag_v2[_TIFF_HEIGHT_TAG]
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        raise UnreadableImageError("it is empty")
    exif_orientation = read_orientation(picture)
    if exif_orientation in _SIDEWAYS_ORIENTATIONS:
        width, height = height, width
    latitude, longitude = read_position(picture)
    return ImageInfo(
        width,
        height,
        exif_orientation,
        latitude,
        longitude,
        read_taken_at(picture),
        picture.format or "",
    )
