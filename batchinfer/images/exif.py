"""EXIF: where and when; `orientation` says which way up. What is broken is as good as not there."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from batchinfer.extras import bring

_EXIF, _GPS = 0x8769, 0x8825
_TAKEN: Final = ((0x9003, 0x9011), (0x9004, 0x9012))
"""When the picture was taken, when it was digitized: the time, and its offset from UTC."""
_OFFSET: Final = re.compile(r"[+-]\d\d:\d\d")
_LATITUDE: Final = (1, 2, {"N": 1, "S": -1}, 90.0)
_LONGITUDE: Final = (3, 4, {"E": 1, "W": -1}, 180.0)
"""Tags of the hemisphere and of the angle, the signs, and the greatest angle."""
_PARTS: Final = 3


def position(picture: Any) -> tuple[float, float] | tuple[None, None]:
    """Latitude and longitude in degrees; both or none.

    Exactly 0, 0 is what cameras write that found no satellite.
    """
    with suppress(Exception):
        gps = _exif(picture).get_ifd(_GPS)
        latitude, longitude = _angle(gps, *_LATITUDE), _angle(gps, *_LONGITUDE)
        if latitude is not None and longitude is not None and (latitude or longitude):
            return latitude, longitude
    return None, None


def taken_at(picture: Any) -> str | None:
    """ISO 8601."""
    with suppress(Exception):
        tags = _exif(picture).get_ifd(_EXIF)
        for time, offset in _TAKEN:
            text, zone = _text(tags.get(time)), _text(tags.get(offset))
            with suppress(ValueError):
                plain = datetime.strptime(text, "%Y:%m:%d %H:%M:%S").isoformat()  # noqa: DTZ007 - says none
                return _zoned(plain, zone)
    return None


def _exif(picture: Any) -> Any:
    # Not the picture's own method: a PNG's would decode it, for EXIF that stands at its end.
    return bring("PIL.Image", "EXIF", "report").Image.getexif(picture)


def _angle(
    gps: Mapping[int, Any], where: int, angle: int, signs: Mapping[str, int], most: float
) -> float | None:
    sign = signs.get(_text(gps.get(where)).upper())
    parts = gps.get(angle)
    if sign is None or not isinstance(parts, tuple) or len(parts) != _PARTS:
        return None
    degrees, minutes, seconds = (float(part) for part in parts)  # a rational by 0 is nan
    value = degrees + minutes / 60 + seconds / 3600
    sound = all(math.isfinite(part) and part >= 0 for part in (degrees, minutes, seconds))
    return sign * value if sound and value <= most else None


def _zoned(time: str, zone: str) -> str:
    if _OFFSET.fullmatch(zone):
        with suppress(ValueError):
            return datetime.fromisoformat(time + zone).isoformat()
    return time


def _text(value: Any) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    return text.strip("\0 ") if isinstance(text, str) else ""
