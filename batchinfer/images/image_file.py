"""Opens inputs as images without decoding them, in formats that need no other program."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

from batchinfer.extras import import_optional
from batchinfer.inputs import NotRegularFileError, open_stream

_PILLOW_FORMATS: Final = (
    *("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "MPO", "JPEG2000", "AVIF", "HEIF"),
    *("PPM", "ICO", "QOI", "DDS", "FITS", "SGI", "SUN"),
)
"""Pillow's names. EPS and WMF are missing, because other programs would draw them,
and formats without a signature, because anything can be taken for them."""
_SIGNATURE_BYTES: Final = 16
"""Bytes by which a plugin knows its format."""


class UnreadableImageError(Exception):
    """A file is no picture, or none that can be opened; its text is for people."""


@contextmanager
def open_image(path: str) -> Iterator[Any]:
    """An image of Pillow, its header read. Raises UnreadableImageError, and what Pillow raises."""
    with _open_input(path) as file:
        picture = _open_with_pillow(file, path)
        try:
            yield picture
        finally:
            picture.close()


@contextmanager
def suppress_warnings() -> Iterator[None]:
    """Without Pillow's warnings: what is odd about a file is nothing its user can act on here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _open_input(path: str) -> BinaryIO:
    try:
        return open_stream(path)
    except FileNotFoundError as error:
        raise UnreadableImageError("the file is not there any more") from error
    except NotRegularFileError as error:
        raise UnreadableImageError("it is no regular file") from error
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise UnreadableImageError(f"the file cannot be opened: {reason}") from error
    except ValueError as error:  # a name with a NUL
        raise UnreadableImageError("the file cannot be opened: no name of a file") from error


def _open_with_pillow(file: BinaryIO, path: str) -> Any:
    """As Pillow's own `open`, without its limit: a header is read of pictures of any size."""
    image = import_optional("PIL.Image", "Looking at pictures", "report")
    image.init()
    prefix = file.read(_SIGNATURE_BYTES)
    for name in _PILLOW_FORMATS:
        if name not in image.OPEN:
            continue
        factory, accept = image.OPEN[name]
        try:
            accepted = accept is not None and accept(prefix)
            if accepted and not isinstance(accepted, str):  # a text is why it cannot be read
                file.seek(0)
                picture = factory(file, path)
                # By it Pillow would turn a TIFF, which nobody else does.
                picture.info.pop("xmp", None)
                return picture
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue  # Pillow's way to say that it is another format
    raise UnreadableImageError("its image format is not supported")
