"""A folder in Ultralytics' layout: to train with, or to read with whatever reads YOLO.

    data.yaml          the classes
    images/<name>      links to the pictures where they lie
    labels/<name>.txt  `class x y width height` a line, or `class x1 y1 x2 y2 ...` for outlines,
                       in fractions of the upright picture: what Ultralytics trains with
    scores/<name>.txt  the same with the score at the end of each line, as `yolo predict` saves it
    index.csv          which name stands for which key

Ultralytics takes no score in `labels`, no value beyond the picture, and no file in which outlines
stand beside boxes: there boxes become outlines. It finds labels by the last folder of a path that
is called `images`; so none of ours is called that but the first.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from batchinfer.meaning import Box
from batchinfer.sinks.book import Book
from batchinfer.sinks.cells import harmless, printable
from batchinfer.sinks.left_out import LeftOut
from batchinfer.sinks.names import Names, below
from batchinfer.sinks.pictures import (
    Picture,
    Placed,
    absolute,
    detected,
    inside,
    is_no_negative,
    leave_out,
)
from batchinfer.sinks.rows import Utf8
from batchinfer.sinks.scores import scores_of

INDEX: Final = "index.csv"
_KNOWN: Final = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
"""Endings of which Ultralytics knows that they are pictures."""
_ENDINGS: Final = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}


def write(book: Book, folder: Path) -> int:
    """The folder; how many pictures."""
    left_out, classes, written = LeftOut(), dict[str, int](), 0
    scores = scores_of(book)
    for name in ("images", "labels"):  # there even if no picture is
        (folder / name).mkdir()
    with Names(folder, reserved=("images",)) as names, (folder / INDEX).open("wb") as file:
        index = csv.writer(Utf8(file), lineterminator="\r\n")
        index.writerow(("key", "image", "labels", "path"))
        for picture in detected(book, left_out):
            placed = inside(picture, book, left_out)
            if is_no_negative(picture, placed, left_out):
                continue
            stem, ending = _split(picture)
            name = names.place(stem, ("", ending, ".txt"))
            _link(picture.path, below(folder / "images", name + ending))
            leave_out(placed, picture, left_out, outlines=False)
            for placed_one in placed:
                classes.setdefault(placed_one.label, len(classes))
            _write(folder / "labels", name, _lines(placed, classes))
            told = [scores.of(one.score, picture.key, left_out) for one in placed]
            if any(score is not None for score in told):
                _write(folder / "scores", name, _scored(placed, told, classes))
            paths = (f"images/{name}{ending}", f"labels/{name}.txt", printable(picture.path))
            cells = (picture.key, *paths)
            index.writerow(cells if book.options.formulas else map(harmless, cells))
            written += 1
    (folder / "data.yaml").write_text(_described(book, classes), encoding="utf-8", newline="\n")
    left_out.tell(book)
    return written


def _split(picture: Picture) -> tuple[str, str]:
    """The key without an ending, and an ending that tells a picture."""
    stem, ending = os.path.splitext(picture.key)  # noqa: PTH122 - a key, no path of this machine
    if ending.lower() in _KNOWN:
        return stem, ending
    kind = picture.facts.format
    return picture.key, _ENDINGS.get(kind, f".{kind.lower()}")


def _link(path: str, place: Path) -> None:
    """A link to the picture where it lies; a copy where links cannot be made."""
    try:
        place.symlink_to(absolute(path))
    except OSError:
        shutil.copyfile(path, place)


def _write(folder: Path, name: str, lines: Iterator[str]) -> None:
    with below(folder, f"{name}.txt").open("x", encoding="ascii", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def _lines(placed: Sequence[Placed], classes: Mapping[str, int]) -> Iterator[str]:
    outlined = any(one.outline for one in placed)
    for one in placed:
        values = _outline(one) if outlined else _box(one.box)
        yield " ".join([str(classes[one.label]), *(f"{value:.8f}" for value in values)])


def _scored(
    placed: Sequence[Placed], scores: Sequence[float | None], classes: Mapping[str, int]
) -> Iterator[str]:
    for score, line in zip(scores, _lines(placed, classes), strict=True):
        yield line if score is None else f"{line} {score!r}"


def _box(box: Box) -> tuple[float, ...]:
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2, box.width, box.height


def _outline(one: Placed) -> tuple[float, ...]:
    box = one.box
    left, top, right, bottom = box.left, box.top, box.right, box.bottom
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return tuple(value for point in one.outline or corners for value in point)


def _described(book: Book, classes: Mapping[str, int]) -> str:
    head = f"# Predictions of the run {book.info.id}, by batchinfer\ntrain: images\nval: images\n"
    if not classes:
        return head + "names: {}\n"
    return head + "names:\n" + "".join(f"  {n}: {_quoted(name)}\n" for name, n in classes.items())


def _quoted(text: str) -> str:
    """A YAML scalar in double quotes; what YAML could take amiss is escaped."""
    plain = (
        sign if sign.isprintable() and sign not in '"\\' else f"\\U{ord(sign):08x}" for sign in text
    )
    return '"' + "".join(plain) + '"'
