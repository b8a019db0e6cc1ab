"""Which way up a picture is, is what OpenCV makes of it: every format, every orientation."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from batchinfer.images import ImageInfo, read_image_info
from batchinfer.images.thumbnail_maker import Thumbnail, make_thumbnail
from support.image_files import exif, quarters, scene

XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
    ' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{}"/></rdf:RDF></x:xmpmeta>'
)
TAG, SHORT = 0x0112, 3


def saved(form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    scene().save(file, form, **options)
    return file.getvalue()


def lossy(form: str, **options: Any) -> bytes:
    return saved(form, quality=95, **options)


def xmp(turn: int) -> bytes:
    return XMP.format(turn).encode()


def directory(*entries: tuple[int, int, bytes], order: str = "<", further: bytes = b"") -> bytes:
    """EXIF of one directory: tag, type and value of each entry."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order]
    made = head + struct.pack(order + "IH", 8, len(entries))
    for tag, kind, value in entries:
        made += struct.pack(order + "HHI", tag, kind, 1) + value.ljust(4, b"\0")
    return made + struct.pack(order + "I", len(made) + 4 if further else 0) + further


def turned(turn: int, order: str = "<", kind: int = SHORT, form: str = "H") -> bytes:
    return directory((TAG, kind, struct.pack(order + form, turn)), order=order)


def jpeg(*segments: bytes, behind: bool = False) -> bytes:
    """A JPEG with these APP1 segments, before or behind its own first one."""
    plain = lossy("JPEG")
    place = 4 + int.from_bytes(plain[4:6]) if behind else 2
    made = b"".join(b"\xff\xe1" + struct.pack(">H", len(one) + 2) + one for one in segments)
    return plain[:place] + made + plain[place:]


def app1(said: bytes) -> bytes:
    return b"Exif\0\0" + said


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*before: bytes, behind: bytes = b"") -> bytes:
    """A PNG with these chunks before, or behind, its pixels."""
    plain = saved("PNG")
    return plain[:33] + b"".join(before) + plain[33:-12] + behind + plain[-12:]


def png_text(turn: int, name: str, text: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_itxt(name, text) if name.startswith("XML") else info.add_text(name, text)
    return saved("PNG", pnginfo=info)


def profile(turn: int) -> bytes:
    data = app1(turned(turn))
    return png_text(turn, "Raw profile type exif", f"\nexif\n{len(data):8}\n{data.hex()}\n")


FORMATS = {
    "JPEG": lambda turn: lossy("JPEG", exif=exif(turn)),
    "JPEG, XMP only": lambda turn: lossy("JPEG", xmp=xmp(turn)),
    "JPEG, EXIF 1 and XMP": lambda turn: lossy("JPEG", exif=exif(1), xmp=xmp(turn)),
    "JPEG, EXIF and XMP 1": lambda turn: lossy("JPEG", exif=exif(turn), xmp=xmp(1)),
    "JPEG, EXIF behind JFIF": lambda turn: jpeg(app1(turned(turn)), behind=True),
    "JPEG, big-endian": lambda turn: jpeg(app1(turned(turn, ">"))),
    "JPEG, two EXIFs": lambda turn: jpeg(app1(turned(turn)), app1(turned(9 - turn))),
    "JPEG, XMP before EXIF": lambda turn: jpeg(b"http://ns.adobe.com/\0x", app1(turned(turn))),
    "JPEG, a long": lambda turn: jpeg(app1(turned(turn, kind=4, form="I"))),
    "JPEG, a big-endian long": lambda turn: jpeg(app1(turned(turn, ">", 4, "I"))),
    "JPEG, a byte": lambda turn: jpeg(app1(turned(turn, kind=1, form="B"))),
    "JPEG, the tag twice": lambda turn: jpeg(
        app1(directory(*((TAG, SHORT, struct.pack("<H", one)) for one in (turn, 9 - turn))))
    ),
    "JPEG, of the preview": lambda turn: jpeg(
        app1(
            directory(
                (0x010E, SHORT, b""), further=struct.pack("<HHHIHxxI", 1, TAG, SHORT, 1, turn, 0)
            )
        )
    ),
    "MPO": lambda turn: lossy("MPO", save_all=True, append_images=[scene()], exif=exif(turn)),
    "PNG": lambda turn: saved("PNG", exif=exif(turn)),
    "PNG, at the end": lambda turn: png(behind=chunk(b"eXIf", turned(turn))),
    "PNG, two": lambda turn: png(chunk(b"eXIf", turned(turn)), chunk(b"eXIf", turned(9 - turn))),
    "PNG, both ends": lambda turn: png(
        chunk(b"eXIf", turned(turn)), behind=chunk(b"eXIf", turned(9 - turn))
    ),
    "PNG, with the prefix of a JPEG": lambda turn: png(chunk(b"eXIf", app1(turned(turn)))),
    "PNG, broken at the end": lambda turn: png(
        behind=chunk(b"eXIf", turned(turn))[:-4] + b"\1\2\3\4"
    ),
    "PNG, XMP": lambda turn: png_text(turn, "XML:com.adobe.xmp", XMP.format(turn)),
    "PNG, profile": profile,
    "TIFF": lambda turn: saved("TIFF", exif=exif(turn)),
    "TIFF, packed": lambda turn: saved("TIFF", exif=exif(turn), compression="tiff_lzw"),
    "TIFF, big": lambda turn: saved("TIFF", exif=exif(turn), big_tiff=True),
    "TIFF, XMP": lambda turn: saved("TIFF", tiffinfo={700: xmp(turn)}),
    "WebP": lambda turn: lossy("WEBP", exif=exif(turn)),
    "WebP, lossless": lambda turn: saved("WEBP", lossless=True, exif=exif(turn)),
    "WebP, XMP": lambda turn: lossy("WEBP", xmp=xmp(turn)),
    "AVIF": lambda turn: lossy("AVIF", exif=exif(turn)),
    "JPEG2000": lambda _: saved("JPEG2000"),
    "BMP": lambda _: saved("BMP"),
}
TURNED = frozenset(
    (
        *("JPEG", "JPEG, EXIF and XMP 1", "JPEG, EXIF behind JFIF", "JPEG, big-endian"),
        *("JPEG, two EXIFs", "JPEG, a long", "JPEG, a byte", "JPEG, the tag twice", "MPO"),
        *("PNG", "PNG, at the end", "PNG, two", "PNG, both ends"),
        *("TIFF", "TIFF, packed", "TIFF, big"),
    )
)
"""What says its orientation where OpenCV looks for it."""


def as_opencv_sees(data: bytes) -> Image.Image:
    """As Ultralytics reads: from memory (from a file, 4.12 fails at TIFFs that lie on a side)."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        pytest.skip("this OpenCV cannot read the format")
    return Image.fromarray(np.ascontiguousarray(pixels[:, :, ::-1]))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("turn", range(1, 9))
def test_facts_and_thumbnail_agree_with_opencv(tmp_path, form, turn):
    try:
        data = FORMATS[form](turn)
    except (KeyError, OSError, ValueError):
        pytest.skip("this Pillow cannot write the format")
    path = tmp_path / "picture"
    path.write_bytes(data)
    seen = as_opencv_sees(data)
    known, small = read_image_info(str(path)), make_thumbnail(str(path), 1_000, 95)
    assert isinstance(known, ImageInfo)
    assert isinstance(small, Thumbnail)
    assert known.orientation == (turn if form in TURNED else 1)
    assert (known.width, known.height) == seen.size == (small.width, small.height)
    with Image.open(io.BytesIO(small.data)) as shown:
        assert quarters(shown) == quarters(seen)


@pytest.mark.parametrize("value", [0, 9, 65535])
@pytest.mark.parametrize(
    "make", [lambda said: jpeg(app1(said)), lambda said: png(chunk(b"eXIf", said))]
)
def test_an_orientation_beyond_the_eight_is_none(tmp_path, make, value):
    path = tmp_path / "picture"
    path.write_bytes(make(turned(value)))
    assert read_image_info(str(path)) == ImageInfo(
        *as_opencv_sees(path.read_bytes()).size, format=path_format(path)
    )


def path_format(path) -> str:
    with Image.open(path) as picture:
        return picture.format or ""


@given(said=st.binary(max_size=60), order=st.sampled_from([b"II*\0", b"MM\0*", b""]))
def test_exif_of_any_bytes_never_fails_and_agrees_with_opencv(tmp_path_factory, said, order):
    path = tmp_path_factory.getbasetemp() / "any.jpg"
    path.write_bytes(jpeg(app1(order + said)))
    known = read_image_info(str(path))
    assert isinstance(known, ImageInfo)
    assert (known.width, known.height) == as_opencv_sees(path.read_bytes()).size
