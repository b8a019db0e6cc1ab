"""What the header of an image says: size, orientation, where and when it was taken.

EXIF that is broken counts as missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from batchinfer.extras import import_optional
from batchinfer.images.image_file import UnreadableImageError, open_image, suppress_warnings
from batchinfer.images.orientation import read_orientation

_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_TAKEN_AT_TAGS: Final = ((0x9003, 0x9011), (0x9004, 0x9012))
"""When the picture was taken, when it was digitized: the time, and its offset from UTC."""
_UTC_OFFSET: Final = re.compile(r"[+-]\d\d:\d\d")
_LATITUDE_TAGS: Final = (1, 2, {"N": 1, "S": -1}, 90.0)
_LONGITUDE_TAGS: Final = (3, 4, {"E": 1, "W": -1}, 180.0)
"""Tags of the hemisphere and of the angle, the signs, and the greatest angle."""
_ANGLE_PARTS: Final = 3
_TIFF_WIDTH_TAG, _TIFF_HEIGHT_TAG = 256, 257
"""Tags of a TIFF."""
_SIDEWAYS_ORIENTATIONS: Final = (5, 6, 7, 8)
"""Orientations whose width as stored is the upright height."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What is known of an image without decoding its pixels."""

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
    """A file that is no image, or one that cannot be read."""

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
    """The same of a picture of Pillow, opened and not loaded yet. Raises UnreadableImageError."""
    width, height = picture.size
    if picture.format == "TIFF":  # whose size Pillow gives upright already
        width, height = picture.tag_v2[_TIFF_WIDTH_TAG], picture.tag_v2[_TIFF_HEIGHT_TAG]
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        raise UnreadableImageError("it is empty")
    exif_orientation = read_orientation(picture)
    if exif_orientation in _SIDEWAYS_ORIENTATIONS:
        width, height = height, width
    latitude, longitude = _read_position(picture)
    return ImageInfo(
        width,
        height,
        exif_orientation,
        latitude,
        longitude,
        _read_taken_at(picture),
        picture.format or "",
    )


def _read_position(picture: Any) -> tuple[float, float] | tuple[None, None]:
    """Latitude and longitude in degrees; both or none.

    Exactly 0, 0 is what cameras write that found no satellite.
    """
    with suppress(Exception):
        gps = _read_exif(picture).get_ifd(_GPS_IFD)
        latitude, longitude = _read_angle(gps, *_LATITUDE_TAGS), _read_angle(gps, *_LONGITUDE_TAGS)
        if latitude is not None and longitude is not None and (latitude or longitude):
            return latitude, longitude
    return None, None


def _read_taken_at(picture: Any) -> str | None:
    """ISO 8601."""
    with suppress(Exception):
        tags = _read_exif(picture).get_ifd(_EXIF_IFD)
        for time, offset in _TAKEN_AT_TAGS:
            text, zone = _to_text(tags.get(time)), _to_text(tags.get(offset))
            with suppress(ValueError):
                plain = datetime.strptime(text, "%Y:%m:%d %H:%M:%S").isoformat()  # noqa: DTZ007 - says none
                return _with_utc_offset(plain, zone)
    return None


def _read_exif(picture: Any) -> Any:
    # Not the picture's own method: a PNG's would decode it, for EXIF that stands at its end.
    return import_optional("PIL.Image", "EXIF", "report").Image.getexif(picture)


def _read_angle(
    gps: Mapping[int, Any],
    hemisphere_tag: int,
    angle_tag: int,
    signs: Mapping[str, int],
    max_angle: float,
) -> float | None:
    sign = signs.get(_to_text(gps.get(hemisphere_tag)).upper())
    parts = gps.get(angle_tag)
    if sign is None or not isinstance(parts, tuple) or len(parts) != _ANGLE_PARTS:
        return None
    degrees, minutes, seconds = (float(part) for part in parts)  # a rational by 0 is nan
    value = degrees + minutes / 60 + seconds / 3600
    sound = all(math.isfinite(part) and part >= 0 for part in (degrees, minutes, seconds))
    return sign * value if sound and value <= max_angle else None


def _with_utc_offset(time: str, zone: str) -> str:
    if _UTC_OFFSET.fullmatch(zone):
        with suppress(ValueError):
            return datetime.fromisoformat(time + zone).isoformat()
    return time


def _to_text(value: Any) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    return text.strip("\0 ") if isinstance(text, str) else ""
