"""A small real run over real pictures: what the exports for people with pictures are tried on."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from PIL import Image, TiffImagePlugin

from batchinfer.api.result_export import build_export_source
from batchinfer.domain import (
    TEXT_MEDIA_TYPE,
    Attempt,
    Failure,
    InputFile,
    Item,
    Record,
    Reply,
    State,
)
from batchinfer.store.sqlite import SqliteStore
from support.records import INFO

ODD = r"odd\xff.jpg"
"""The key of a file whose name is not UTF-8."""
POINT = (8.436, 49.095)
"""Longitude and latitude of the pictures with GPS."""
NASTY = (
    'bear\n"><script>alert(1)</script>\ndownload: "rm -rf /" \u202e\u2028 {{x}} \x00\U0001f43b =1+1'
)
LONG = "ü" * 150 + ".jpg"
PNG = b"\x89PNG\r\n\x1a\n the model's picture"
SQUARE = {"type": "Polygon", "coordinates": [[[8, 49], [9, 49], [9, 50], [8, 50], [8, 49]]]}
MAP = {
    "type": "FeatureCollection",
    "features": [
        {"type": "Feature", "id": 1, "geometry": SQUARE, "properties": {"crop": "wheat"}},
        {"type": "Feature", "id": 1, "geometry": None, "properties": {"key": "theirs"}},
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}},
        "not a feature",
    ],
}
PROJECTED = {
    "type": "FeatureCollection",
    "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::25832"}},
    "features": [{"type": "Feature", "geometry": SQUARE, "properties": {}}],
}


def thing(label, score, *corners, **more):
    """As YOLO's `to_json` has it."""
    box = dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True))
    return {"name": label, "class": 0, "confidence": score, "box": box, **more}


OUTLINE = {"x": [20.0, 120.0, 120.0], "y": [10.0, 10.0, 90.0]}
"""A triangle of 100 by 80 pixels."""

PREDICTIONS = MappingProxyType(
    {
        "site-1/bear.jpg": [thing("bear", 0.9, 64, 48, 320, 240), thing("dog", 0.25, 0, 0, 64, 48)],
        "site-1/turned.jpg": [thing("bear", 0.5, 30, 40, 150, 200)],
        "site-2/relative.png": [thing("dog", 0.75, 0.25, 0.5, 0.75, 1.0, normalized=True)],
        "site-2/outlined.png": [
            thing("cell", 0.5, 20, 10, 120, 90, segments=OUTLINE),
            thing("cell", 0.25, 100, 50, 200, 100),
        ],
        "site-2/outside.png": [
            thing("dog", 0.5, -20, -10, 20, 10),
            thing("dog", 0.5, 300, 0, 320, 9),
        ],
        "nothing.jpg": [],
        "classes.jpg": {"labels": ["cat", "dog"], "probabilities": [0.75, 0.25]},
        "map.jpg": MAP,
        "projected.jpg": PROJECTED,
        "data.jpg": {"temperature": {"unit": "K", "of": [[1, [2]]]}},
        "broken.jpg": [thing("bear", 0.5, 1, 2, 3, 4)],
        "missing.jpg": [thing("bear", 0.5, 1, 2, 3, 4)],
        "site-1/bear.png": [thing("same stem", 0.5, 0, 0, 10, 10)],
        "Site-1/Bear.jpg": [thing("same but for case", 0.5, 0, 0, 10, 10)],
        "images/images/inside.jpg": [thing("bear", 0.5, 0, 0, 10, 10)],
        "no ending": [thing("bear", 0.5, 0, 0, 10, 10)],
        "../../etc/x.jpg": [thing(NASTY, 0.5, 0, 0, 10, 10)],
        "/etc/passwd": [thing("bear", 0.5, 0, 0, 10, 10)],
        "C:\\Windows\\x.jpg": [thing("bear", 0.5, 0, 0, 10, 10)],
        "CON": [thing("bear", 0.5, 0, 0, 10, 10)],
        "new\nline\t.jpg": [thing("bear", 0.5, 0, 0, 10, 10)],
        "dots. . /.git/config": [thing("bear", 0.5, 0, 0, 10, 10)],
        "=cmd|' /C calc'!A0": [thing("bear", 0.5, 0, 0, 10, 10)],
        "index.csv/x.jpg": [thing("bear", 0.5, 0, 0, 10, 10)],
        "site-1/bear.txt/x.jpg": [thing("bear", 0.5, 0, 0, 10, 10)],
        LONG: [thing("bear", 0.5, 0, 0, 10, 10)],
    }
)
"""Key -> prediction of the items that succeeded with JSON."""
HOSTILE = tuple(PREDICTIONS)[tuple(PREDICTIONS).index("site-1/bear.png") :]
"""Keys that make bad names of files; a picture of 100 by 50 with one thing at its upper left."""
SIZES = {
    "site-1/bear.jpg": (640, 480),
    "site-1/turned.jpg": (400, 300),
    "site-2/relative.png": (200, 100),
    "site-2/outlined.png": (200, 100),
    "site-2/outside.png": (200, 100),
}
"""As stored; all others are 100 by 50."""
DETECTED = (
    *(
        key
        for key, prediction in PREDICTIONS.items()
        if isinstance(prediction, list) and key not in {"broken.jpg", "missing.jpg"}
    ),
    ODD,
)
"""Keys of pictures that can be read and on which the model looked for things."""


@dataclass(frozen=True)
class Gallery:
    """A run, its pictures, and what an export of it had to say."""

    run: Path
    paths: dict[str, str]
    """Key -> path of the picture."""
    keys: tuple[str, ...]
    """In input order."""
    notices: list[str] = field(default_factory=list)

    def book(self, boxes="upright"):
        """The run as an export reads it."""
        self.notices.clear()
        return replace(
            build_export_source(self.run, boxes=boxes),
            on_notice=self.notices.append,
        )

    def position(self, key):
        return self.keys.index(key) + 1


async def hung(folder):
    """Paint the pictures, and make a run of them in `folder`."""
    pictures = folder / "pictures"
    pictures.mkdir()
    odd = os.fsdecode(b"odd\xff.jpg")
    succeeded = {key: Reply(prediction=prediction) for key, prediction in PREDICTIONS.items()}
    succeeded["caption.jpg"] = Reply(
        TEXT_MEDIA_TYPE, "A bear,\nin the snow", log="it wrote\x1b[31m this"
    )
    succeeded["mask.png"] = Reply("image/png", data=PNG)
    succeeded[ODD] = Reply(prediction=[thing("bear", 0.5, 0, 0, 10, 10)])
    failure = Failure("model_error", "No <b>bear</b>.", log="Traceback: no bear")
    keys = (*succeeded, "failed.jpg", "pending.jpg")
    paths = {}
    for number, key in enumerate(keys):
        ending = Path(key).suffix if key in SIZES else ".jpg"
        name = odd if key == ODD else f"{number}{ending}"
        paths[key] = str(pictures / name)
        _paint(key, Path(paths[key]))
    items = [Item(key, (InputFile("image", path),)) for key, path in paths.items()]
    records = [_record(number, succeeded[key]) for number, key in enumerate(succeeded, 1)]
    records.append(_record(len(succeeded) + 1, failure))
    async with SqliteStore.create(folder / "run", INFO) as store:
        await store.add(items)
        await store.commit_records(records)
    return Gallery(folder / "run", paths, keys)


def _record(position, outcome):
    state = State.SUCCEEDED if isinstance(outcome, Reply) else State.FAILED
    return Record(position, Attempt(1, 1_700_000_000.0, 0.5, outcome), state)


def _paint(key, path):
    if key == "missing.jpg":
        return
    if key == "broken.jpg":
        path.write_bytes(b"This is no picture.")
        return
    picture = Image.new("RGB", SIZES.get(key, (100, 50)), "olive")
    exif = Image.Exif()
    if key == "site-1/turned.jpg":
        exif[0x0112] = 6  # to be turned clockwise by a quarter
    if key in {"site-1/turned.jpg", "failed.jpg"}:
        place = exif.get_ifd(0x8825)
        for tag, (sign, value) in {1: ("N", POINT[1]), 3: ("E", POINT[0])}.items():
            place[tag] = sign
            place[tag + 1] = _degrees(value)
        exif.get_ifd(0x8769)[0x9003] = "2026:05:17 06:31:07"
    with path.open("wb") as file:
        picture.save(file, "PNG" if path.suffix == ".png" else "JPEG", exif=exif)


def _degrees(value):
    """Degrees, minutes and seconds, as fractions."""
    minutes = value % 1 * 60
    parts = (int(value), int(minutes), round(minutes % 1 * 60, 4))
    return tuple(TiffImagePlugin.IFDRational(round(part * 10_000), 10_000) for part in parts)
