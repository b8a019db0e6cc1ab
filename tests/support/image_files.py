"""Pictures to look at: real files, made by Pillow."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

from PIL import Image, TiffImagePlugin

ORIENTATION, EXIF, GPS = 0x0112, 0x8769, 0x8825
CORNERS = {"red": (200, 30, 30), "green": (30, 160, 30), "blue": (30, 30, 200), "gray": (90,) * 3}
"""Left top, right top, left bottom, right bottom of `scene`, upright."""


def scene(width: int = 120, height: int = 80) -> Image.Image:
    """Four quarters, each in its colour."""
    image = Image.new("RGB", (width, height))
    for index, colour in enumerate(CORNERS.values()):
        left, top = (index % 2) * width // 2, (index // 2) * height // 2
        image.paste(colour, (left, top, left + width // 2, top + height // 2))
    return image


def quarters(image: Image.Image) -> list[str]:
    """The names of the colours nearest to those in the four quarters."""
    picture = image.convert("RGB")
    width, height = picture.size
    found: list[str] = []
    for down in (1, 3):
        for across in (1, 3):
            pixel: Any = picture.getpixel((across * width // 4, down * height // 4))
            found.append(min(CORNERS, key=lambda name: _distance(CORNERS[name], pixel)))
    return found


def _distance(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))


STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera stores an upright scene in each orientation."""


def stored(image: Image.Image, orientation: int) -> Image.Image:
    turn = STORED.get(orientation)
    return image if turn is None else image.transpose(turn)


def exif(orientation: int | None = None, **parts: dict[int, Any]) -> bytes:
    made = Image.Exif()
    if orientation is not None:
        made[ORIENTATION] = orientation
    for name, tags in parts.items():
        made[GPS if name == "gps" else EXIF] = tags
    return made.tobytes()


def photograph(path: Path, orientation: int | None = None, **parts: dict[int, Any]) -> str:
    """A JPEG with EXIF."""
    image = stored(scene(), orientation or 1)
    image.save(path, quality=95, subsampling=0, exif=exif(orientation, **parts))
    return str(path)


def ratio(above: int, below: int) -> TiffImagePlugin.IFDRational:
    return TiffImagePlugin.IFDRational(above, below)


def bomb(path: Path, side: int = 60_000) -> str:
    """A PNG of a few kilobytes whose pixels would fill gigabytes."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 5_000_000, 9)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, body in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
            crc = struct.pack(">I", zlib.crc32(kind + body))
            file.write(struct.pack(">I", len(body)) + kind + body + crc)
    return str(path)
