"""Items as pictures: the file itself, its size, and what was found on it, where it is to be seen.

Rules of the room: positions are those in the upright picture (EXIF orientation applied), which is
what every viewer shows and every consumer of these formats reads. The headers of the next few files
are read while one is written; nothing else is held.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from batchinfer.domain import Dossier, State
from batchinfer.images import Facts, Unseen, facts, upright, upright_points
from batchinfer.meaning import (
    Box,
    Detection,
    Detections,
    Keypoint,
    Mask,
    Meaning,
    Outline,
    area_within,
)
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
    outlines: tuple[Outline, ...] = ()
    """In the box's unit."""
    mask: Mask | None = None
    """Of the size of the upright picture."""
    keypoints: tuple[Keypoint, ...] = ()
    """In the box's unit."""

    @property
    def outline(self) -> Outline:
        """The largest of the outlines; empty without any."""
        return max(self.outlines, key=area_within, default=())


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
    placed: list[Placed] = []
    for detection in found:
        for part in detection.unread:
            left_out.add(part, "of a kind that cannot be kept", picture.key)
        if one := _place(detection, picture.facts, turned=turned, relative=relative):
            if detection.mask is not None and one.mask is None:
                left_out.add("mask", "of another size than its picture", picture.key)
            placed.append(one)
    left_out.add("detection", "without a place", picture.key, count=len(found) - len(placed))
    return placed


def leave_out(
    placed: Sequence[Placed],
    picture: Picture,
    left_out: LeftOut,
    *,
    outlines: bool = True,
    masks: bool = False,
    keypoints: bool = False,
) -> None:
    """Note what a format has no place for; the flags say for what it has one.

    Without `outlines` it holds one of a detection, the largest.
    """
    why = "which this format has no place for"
    for one in placed:
        more = 0 if outlines else max(len(one.outlines) - 1, 0)
        left_out.add("outline", "beside the largest of its detection", picture.key, count=more)
        if not masks and one.mask is not None:
            left_out.add("mask", why, picture.key)
        if not keypoints:
            left_out.add("keypoint", why, picture.key, count=len(one.keypoints))


def _place(found: Detection, facts: Facts, *, turned: bool, relative: bool) -> Placed | None:
    box = found.box
    if box is None:
        return None
    outlines = tuple(each for each in found.outlines if len(each) > 2)  # noqa: PLR2004 - a triangle
    points = tuple((one.x, one.y) for one in found.keypoints)
    if turned:
        outlines = tuple(upright_points(each, box.relative, facts) for each in outlines)
        points = upright_points(points, box.relative, facts)
        box = upright(box, facts)
    across, down = facts.width, facts.height
    if box.relative is not relative:
        x, y = (1 / across, 1 / down) if relative else (across, down)
        box = box.in_fractions(across, down) if relative else box.in_pixels(across, down)
        outlines = tuple(tuple((u * x, v * y) for u, v in each) for each in outlines)
        points = tuple((u * x, v * y) for u, v in points)
    if not all(-_FARTHEST <= value <= _FARTHEST for value in _numbers(box, (*outlines, points))):
        return None
    pairs = zip(points, found.keypoints, strict=True)
    return Placed(
        printable(found.label or UNLABELLED),
        found.score,
        box,
        outlines,
        _upright_mask(found.mask, facts, turned=turned),
        tuple(Keypoint(u, v, one.score) for (u, v), one in pairs),
    )


def _upright_mask(mask: Mask | None, facts: Facts, *, turned: bool) -> Mask | None:
    """The mask, where it covers the upright picture as it is."""
    if mask is None or (mask.width, mask.height) != (facts.width, facts.height):
        return None
    return None if turned and facts.orientation != 1 else mask


def _numbers(box: Box, outlines: Iterable[Outline]) -> Iterator[float]:
    yield from (box.left, box.top, box.right, box.bottom)
    for outline in outlines:
        for point in outline:
            yield from point


def _cut(placed: Placed) -> Placed:
    box = placed.box
    box = Box(_within(box.left), _within(box.top), _within(box.right), _within(box.bottom), True)
    outlines = tuple(tuple((_within(x), _within(y)) for x, y in each) for each in placed.outlines)
    return replace(placed, box=box, outlines=outlines)


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
