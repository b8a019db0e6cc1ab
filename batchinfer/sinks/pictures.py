"""Items as pictures: the file itself, its size, and what was found on it, where it is to be seen.

Rules of the room: positions are those in the upright picture (EXIF orientation applied), which is
what every viewer shows and every consumer of these formats reads. The headers of the next few files
are read while one is written; nothing else is held.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from batchinfer.domain import Dossier, State
from batchinfer.images import Facts, Unseen, facts, upright, upright_points
from batchinfer.meaning import Box, Detection, Detections, Meaning, Point
from batchinfer.sinks.book import Book
from batchinfer.sinks.cells import printable
from batchinfer.sinks.left_out import LeftOut

UNLABELLED: Final = "unlabelled"
"""The class of what the model gave no name, where a format must have one."""
_READERS: Final = 4
_AHEAD: Final = 32
_FARTHEST: Final = 1e7
"""Pixels, and widths of the picture: nothing is found beyond."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A detection with its place in the upright picture; the box encloses the outline."""

    label: str
    score: float | None
    box: Box
    outline: tuple[Point, ...]
    """Empty, or three points at least; in the box's unit."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An item whose first file is a picture that can be read."""

    dossier: Dossier
    path: str
    """Absolute, exact."""
    facts: Facts
    meaning: Meaning

    @property
    def key(self) -> str:
        """The item's name, as UTF-8 can hold it."""
        return printable(self.dossier.result.key)


def items(book: Book) -> Iterator[tuple[Dossier, Facts | Unseen]]:
    """Every item in input order, and what is known of its first file as a picture."""
    ahead: deque[tuple[Dossier, Future[Facts | Unseen]]] = deque()
    with ThreadPoolExecutor(_READERS) as readers:
        try:
            for dossier in book.dossiers():
                ahead.append((dossier, readers.submit(_look, dossier)))
                if len(ahead) > _AHEAD:
                    yield _waited(ahead.popleft())
            while ahead:
                yield _waited(ahead.popleft())
        finally:
            readers.shutdown(cancel_futures=True)


def pictures(book: Book, left_out: LeftOut) -> Iterator[Picture]:
    """The items that are pictures, whatever their state."""
    for dossier, seen in items(book):
        result = dossier.result
        if isinstance(seen, Unseen):
            left_out.add("item", "not a picture that can be read", result.key, because=seen.reason)
        else:
            yield Picture(dossier, dossier.files[0].path, seen, book.meaning(result))


def detected(book: Book, left_out: LeftOut) -> Iterator[Picture]:
    """The pictures on which the model looked for things, also those on which it found none.

    A picture that failed is not among them: without a detection it would say that nothing is there.
    """
    for picture in pictures(book, left_out):
        if picture.dossier.result.state is not State.SUCCEEDED:
            left_out.add("item", "without a prediction", picture.key)
        elif not isinstance(picture.meaning, Detections):
            left_out.add("item", "no detections in the prediction", picture.key)
        else:
            yield picture


def in_pixels(picture: Picture, book: Book, left_out: LeftOut) -> list[Placed]:
    """What was found on it, in pixels of the upright picture; may reach outside."""
    return _placed(picture, book, left_out, relative=False)


def in_fractions(picture: Picture, book: Book, left_out: LeftOut) -> list[Placed]:
    """The same in fractions of its width and height."""
    return _placed(picture, book, left_out, relative=True)


def inside(picture: Picture, book: Book, left_out: LeftOut) -> list[Placed]:
    """The same, cut at the picture's edges; what lies wholly outside is left out."""
    placed = in_fractions(picture, book, left_out)
    wide = list(filter(_has_area, placed))
    left_out.add("detection", "without an area", picture.key, count=len(placed) - len(wide))
    cut = list(filter(_has_area, map(_cut, wide)))
    left_out.add("detection", "outside the picture", picture.key, count=len(wide) - len(cut))
    return cut


def is_no_negative(picture: Picture, placed: Sequence[Placed], left_out: LeftOut) -> bool:
    """Whether things were found on it, and all of them had to be left out; tells it.

    Without any of them the picture would say that there is nothing on it, and teach that.
    """
    found = isinstance(picture.meaning, Detections) and picture.meaning.found
    if placed or not found:
        return False
    why = "whose detections all had to be left out, so that they would pass for empty"
    left_out.add("image", why, picture.key)
    return True


def _look(dossier: Dossier) -> Facts | Unseen:
    return facts(dossier.files[0].path) if dossier.files else Unseen("the item has no file")


def _waited(looked: tuple[Dossier, Future[Facts | Unseen]]) -> tuple[Dossier, Facts | Unseen]:
    dossier, future = looked
    return dossier, future.result()


def _placed(picture: Picture, book: Book, left_out: LeftOut, *, relative: bool) -> list[Placed]:
    if not isinstance(picture.meaning, Detections):
        return []
    turned = book.options.boxes == "stored"
    found = picture.meaning.found
    placed = [
        placed
        for detection in found
        if (placed := _place(detection, picture.facts, turned=turned, relative=relative))
    ]
    left_out.add("detection", "without a place", picture.key, count=len(found) - len(placed))
    return placed


def _place(found: Detection, facts: Facts, *, turned: bool, relative: bool) -> Placed | None:
    box = found.box
    outline = found.outline if len(found.outline) > 2 else ()  # noqa: PLR2004 - a triangle
    if box is None:
        return None
    if turned:
        outline = upright_points(outline, box.relative, facts)
        box = upright(box, facts)
    across, down = facts.width, facts.height
    if box.relative is not relative:
        x, y = (1 / across, 1 / down) if relative else (across, down)
        box = box.in_fractions(across, down) if relative else box.in_pixels(across, down)
        outline = tuple((point[0] * x, point[1] * y) for point in outline)
    if not all(-_FARTHEST <= value <= _FARTHEST for value in _numbers(box, outline)):
        return None
    return Placed(printable(found.label or UNLABELLED), found.score, box, outline)


def _numbers(box: Box, outline: tuple[Point, ...]) -> Iterator[float]:
    yield from (box.left, box.top, box.right, box.bottom)
    for point in outline:
        yield from point


def _cut(placed: Placed) -> Placed:
    box = placed.box
    box = Box(_within(box.left), _within(box.top), _within(box.right), _within(box.bottom), True)
    outline = tuple((_within(x), _within(y)) for x, y in placed.outline)
    return replace(placed, box=box, outline=outline)


def _has_area(placed: Placed) -> bool:
    return placed.box.width > 0 and placed.box.height > 0


def _within(value: float) -> float:
    return min(1.0, max(0.0, value))


def is_unicode(path: str) -> bool:
    """Whether JSON can hold the path as it is."""
    return printable(path) == path


def absolute(path: str) -> str:
    """The path for another program, which knows no working directory of ours."""
    return os.path.abspath(path)  # noqa: PTH100 - links are kept as they are
