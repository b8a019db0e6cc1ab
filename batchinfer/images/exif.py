"""EXIF: where and when; `orientation` says which way up. What is broken is as good as not there."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from batchinfer.extras import import_optional

_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_TAKEN_AT_TAGS: Final = ((0x9003, 0x9011), (0x9004, 0x9012))
"""When the picture was taken, when it was digitized: the time, and its offset from UTC."""
_UTC_OFFSET: Final = re.compile(r"[+-]\d\d:\d\d")
_LATITUDE_TAGS: Final = (1, 2, {"N": 1, "S": -1}, 90.0)
_LONGITUDE_TAGS: Final = (3, 4, {"E": 1, "W": -1}, 180.0)
"""Tags of the hemisphere and of the angle, the signs, and the greatest angle."""
_ANGLE_PARTS: Final = 3


def read_position(picture: Any) -> tuple[float, float] | tuple[None, None]:
    """Latitude and longitude in degrees; both or none.

    Exactly 0, 0 is what cameras write that found no satellite.
    """
    with suppress(Exception):
        gps = _read_exif(picture).get_ifd(_GPS_IFD)
        latitude, longitude = _read_angle(gps, *_LATITUDE_TAGS), _read_angle(gps, *_LONGITUDE_TAGS)
        if latitude is not None and longitude is not None and (latitude or longitude):
            return latitude, longitude
    return None, None


def read_taken_at(picture: Any) -> str | None:
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
