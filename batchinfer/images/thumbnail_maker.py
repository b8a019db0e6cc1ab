"""Makes one thumbnail. Runs in a worker process, which a hostile image may kill."""

from __future__ import annotations

import io
import math
from array import array
from dataclasses import dataclass
from typing import Any, Final

from batchinfer.extras import import_optional
from batchinfer.images.image_file import UnreadableImageError, open_image, suppress_warnings
from batchinfer.images.image_info import ImageInfo, UnreadableImage, image_info_of

MAX_PIXELS: Final = 200_000_000
"""Pixels; what has more is not decoded."""
_NO_DATA_LIMIT: Final = 1e30
"""Measurements beyond (either way) stand for "none"."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture, upright, without the metadata of the large one."""

    data: bytes
    media_type: str
    width: int
    """Pixels of the thumbnail; those of the image itself are in `info`."""
    height: int
    info: ImageInfo


def make_thumbnail(path: str, edge: int, quality: int) -> Thumbnail | UnreadableImage:
    """The picture with no side longer than `edge` pixels; it never grows. Total."""
    try:
        with suppress_warnings(), open_image(path) as picture:
            info = image_info_of(picture)
            if info.width * info.height > MAX_PIXELS:
                return UnreadableImage(
                    f"it has {info.width} x {info.height} pixels, and more than "
                    f"{MAX_PIXELS // 1_000_000} million are not decoded"
                )
            small = _rotate_upright(_downscale(picture, edge), info)
            data, media_type = _encode(small, quality)
            return Thumbnail(data, media_type, small.width, small.height, info)
    except UnreadableImageError as error:
        return UnreadableImage(str(error))
    except MemoryError:
        return UnreadableImage("decoding it needs too much memory")
    except OSError as error:
        cut = "truncated" in str(error)
        return UnreadableImage("the picture is cut off" if cut else "its pixels cannot be decoded")
    except Exception:  # noqa: BLE001 - Pillow raises whatever a broken file leads it to
        return UnreadableImage("its pixels cannot be decoded")


def _downscale(picture: Any, edge: int) -> Any:
    """Small, in shades of gray (L) or in colours (RGB), transparent parts white."""
    image = import_optional("PIL.Image", "A thumbnail", "report")
    size = (edge, edge)
    if picture.mode.startswith(("I", "F")):
        picture.thumbnail(size, image.Resampling.NEAREST)  # a mean with "no data" would be neither
        return _stretch_to_gray(picture)
    if picture.mode in {"1", "P", "PA"} or "transparency" in picture.info:
        transparent = picture.mode == "PA" or "transparency" in picture.info
        picture = picture.convert("RGBA" if transparent else "RGB")
    picture.thumbnail(size)
    if picture.mode in {"RGBA", "LA", "La", "RGBa"}:
        colours = picture.convert("RGBA")
        white = image.new("RGB", colours.size, "white")
        white.paste(colours, mask=colours.getchannel("A"))
        return white
    return picture if picture.mode == "L" else picture.convert("RGB")


def _stretch_to_gray(measured: Any) -> Any:
    """Measurements as shades of gray, the least black and the greatest white."""
    image = import_optional("PIL.Image", "A thumbnail", "report")
    if measured.mode not in {"I", "F"}:
        measured = measured.convert("I")
    values = array("f", measured.convert("F").tobytes())
    sound = [value for value in values if math.isfinite(value) and abs(value) < _NO_DATA_LIMIT]
    low, high = min(sound, default=0.0), max(sound, default=0.0)
    scale = 255 / (high - low) if high > low else 0.0
    shades = bytes(round((value - low) * scale) if low <= value <= high else 0 for value in values)
    return image.frombytes("L", measured.size, shades)


def _rotate_upright(picture: Any, info: ImageInfo) -> Any:
    transpose = import_optional("PIL.Image", "A thumbnail", "report").Transpose
    turns = {
        2: transpose.FLIP_LEFT_RIGHT,
        3: transpose.ROTATE_180,
        4: transpose.FLIP_TOP_BOTTOM,
        5: transpose.TRANSPOSE,
        6: transpose.ROTATE_270,
        7: transpose.TRANSVERSE,
        8: transpose.ROTATE_90,
    }
    # A TIFF Pillow turns by itself when it decodes it.
    turn = None if info.format == "TIFF" else turns.get(info.orientation)
    return picture if turn is None else picture.transpose(turn)


def _encode(picture: Any, quality: int) -> tuple[bytes, str]:
    """As WebP, which is smaller at the same looks; as JPEG where Pillow was built without."""
    webp = import_optional("PIL.features", "A thumbnail", "report").check("webp")
    file = io.BytesIO()
    if webp:
        picture.save(file, "WEBP", quality=quality, method=2)  # twice as fast, hardly larger
    else:
        picture.save(file, "JPEG", quality=quality, optimize=True, progressive=False)
    return file.getvalue(), "image/webp" if webp else "image/jpeg"
