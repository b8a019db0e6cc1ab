"""Items as images: the file, its size, and where detections are on it.

Positions are those in the upright image (EXIF orientation applied), which is what every viewer
shows and every consumer of these formats reads. The headers of the next few files are read while
one is written; nothing else is held in memory.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from batchinfer.domain import ResultDetails, State
from batchinfer.exports.export_source import ExportSource
from batchinfer.exports.omissions import ExportOmissions
from batchinfer.images import (
    ImageInfo,
    UnreadableImage,
    read_image_info,
    to_upright_box,
    to_upright_points,
)
from batchinfer.inputs import is_local
from batchinfer.inputs.source_access import carry_context
from batchinfer.predictions import (
    Box,
    Detection,
    Detections,
    Interpretation,
    Keypoint,
    Mask,
    Outline,
    polygon_area,
)
from batchinfer.text_format import escape_undecodable

UNLABELLED_CLASS: Final = "unlabelled"
"""The class of detections without a label, where a format needs one."""
_READER_THREADS: Final = 4
_MAX_ITEMS_AHEAD: Final = 32
_MAX_DETECTION_POSITION: Final = 1e7
"""Pixels, or widths of the image; a detection beyond is left out."""


@dataclass(frozen=True, slots=True)
class UprightDetection:
    """A detection with its position in the upright image; the box encloses the outline."""

    label: str
    score: float | None
    box: Box
    outlines: tuple[Outline, ...] = ()
    """In the box's unit."""
    mask: Mask | None = None
    """Of the size of the upright image."""
    keypoints: tuple[Keypoint, ...] = ()
    """In the box's unit."""

    @property
    def largest_outline(self) -> Outline:
        """The largest of the outlines; empty without any."""
        return max(self.outlines, key=polygon_area, default=())


@dataclass(frozen=True, slots=True)
class ImageItem:
    """An item whose first file is an image that can be read."""

    details: ResultDetails
    path: str
    """Absolute, exact; the URI of what is not on this machine."""
    image_info: ImageInfo
    interpretation: Interpretation

    @property
    def key(self) -> str:
        """The item's key, as UTF-8 can hold it."""
        return escape_undecodable(self.details.result.key)


def iter_items(source: ExportSource) -> Iterator[tuple[ResultDetails, ImageInfo | UnreadableImage]]:
    """Every item in input order, and what is known of its first file as an image."""
    futures: deque[tuple[ResultDetails, Future[ImageInfo | UnreadableImage]]] = deque()
    read_image_info = carry_context(_read_image_info)
    with ThreadPoolExecutor(_READER_THREADS) as executor:
        try:
            for details in source.iter_details():
                futures.append((details, executor.submit(read_image_info, details)))
                if len(futures) > _MAX_ITEMS_AHEAD:
                    yield _resolve(futures.popleft())
            while futures:
                yield _resolve(futures.popleft())
        finally:
            executor.shutdown(cancel_futures=True)


def iter_images(source: ExportSource, omissions: ExportOmissions) -> Iterator[ImageItem]:
    """The items that are images, whatever their state."""
    for details, image_info in iter_items(source):
        result = details.result
        if isinstance(image_info, UnreadableImage):
            omissions.add(
                "item", "no readable image, skipped", result.key, detail=image_info.reason
            )
        else:
            yield ImageItem(
                details, details.files[0].path, image_info, source.interpret_result(result)
            )


def iter_detection_images(source: ExportSource, omissions: ExportOmissions) -> Iterator[ImageItem]:
    """The images that have detections as prediction, also those with none on them.

    An image that failed is not among them: without detections it would count as empty.
    """
    for image in iter_images(source, omissions):
        if image.details.result.state is not State.SUCCEEDED:
            omissions.add("item", "without a prediction", image.key)
        elif not isinstance(image.interpretation, Detections):
            omissions.add("item", "no detections in the prediction", image.key)
        else:
            yield image


def locate_in_pixels(
    image: ImageItem, source: ExportSource, omissions: ExportOmissions
) -> list[UprightDetection]:
    """The detections, in pixels of the upright image; they may reach beyond it."""
    return _locate_detections(image, source, omissions, relative=False)


def locate_in_fractions(
    image: ImageItem, source: ExportSource, omissions: ExportOmissions
) -> list[UprightDetection]:
    """The same in fractions of its width and height."""
    return _locate_detections(image, source, omissions, relative=True)


def locate_clipped(
    image: ImageItem, source: ExportSource, omissions: ExportOmissions
) -> list[UprightDetection]:
    """The same, clipped to the image; what is completely outside is left out."""
    detections = locate_in_fractions(image, source, omissions)
    with_area = list(filter(_has_area, detections))
    omissions.add("detection", "without an area", image.key, count=len(detections) - len(with_area))
    clipped = list(filter(_has_area, map(_clip_detection, with_area)))
    omissions.add(
        "detection", "outside the picture", image.key, count=len(with_area) - len(clipped)
    )
    return clipped


def is_falsely_empty(
    image: ImageItem, detections: Sequence[UprightDetection], omissions: ExportOmissions
) -> bool:
    """Whether there are detections, and all of them had to be left out, which is noted.

    Without any of them the image would count as one with nothing on it, also in training.
    """
    has_detections = (
        isinstance(image.interpretation, Detections) and image.interpretation.detections
    )
    if detections or not has_detections:
        return False
    reason = "whose detections all had to be left out, so that they would pass for empty"
    omissions.add("image", reason, image.key)
    return True


def _read_image_info(details: ResultDetails) -> ImageInfo | UnreadableImage:
    return (
        read_image_info(details.files[0].path)
        if details.files
        else UnreadableImage("the item has no file")
    )


def _resolve(
    pending: tuple[ResultDetails, Future[ImageInfo | UnreadableImage]],
) -> tuple[ResultDetails, ImageInfo | UnreadableImage]:
    details, future = pending
    return details, future.result()


def _locate_detections(
    image: ImageItem, source: ExportSource, omissions: ExportOmissions, *, relative: bool
) -> list[UprightDetection]:
    if not isinstance(image.interpretation, Detections):
        return []
    is_stored_rotated = source.boxes == "stored"
    found = image.interpretation.detections
    located: list[UprightDetection] = []
    for detection in found:
        for part in detection.unsupported_parts:
            omissions.add(part, "of a kind that cannot be kept", image.key)
        if upright_detection := _locate_detection(
            detection, image.image_info, is_stored_rotated=is_stored_rotated, relative=relative
        ):
            if detection.mask is not None and upright_detection.mask is None:
                omissions.add("mask", "of another size than its picture", image.key)
            located.append(upright_detection)
    omissions.add("detection", "without a place", image.key, count=len(found) - len(located))
    return located


def note_unsupported(
    detections: Sequence[UprightDetection],
    image: ImageItem,
    omissions: ExportOmissions,
    *,
    outlines: bool = True,
    masks: bool = False,
    keypoints: bool = False,
) -> None:
    """Note what a format does not support; the flags say what it does.

    Without `outlines` it supports one per detection, the largest.
    """
    reason = "which this format has no place for"
    for detection in detections:
        outline_count = 0 if outlines else max(len(detection.outlines) - 1, 0)
        omissions.add(
            "outline", "beside the largest of its detection", image.key, count=outline_count
        )
        if not masks and detection.mask is not None:
            omissions.add("mask", reason, image.key)
        if not keypoints:
            omissions.add("keypoint", reason, image.key, count=len(detection.keypoints))


def _locate_detection(
    detection: Detection, image_info: ImageInfo, *, is_stored_rotated: bool, relative: bool
) -> UprightDetection | None:
    box = detection.box
    if box is None:
        return None
    outlines = tuple(each for each in detection.outlines if len(each) > 2)  # noqa: PLR2004 - a triangle
    points = tuple((one.x, one.y) for one in detection.keypoints)
    if is_stored_rotated:
        outlines = tuple(to_upright_points(each, box.relative, image_info) for each in outlines)
        points = to_upright_points(points, box.relative, image_info)
        box = to_upright_box(box, image_info)
    width, height = image_info.width, image_info.height
    if box.relative is not relative:
        x, y = (1 / width, 1 / height) if relative else (width, height)
        box = box.to_fractions(width, height) if relative else box.to_pixels(width, height)
        outlines = tuple(tuple((u * x, v * y) for u, v in each) for each in outlines)
        points = tuple((u * x, v * y) for u, v in points)
    if not all(
        -_MAX_DETECTION_POSITION <= value <= _MAX_DETECTION_POSITION
        for value in _iter_coordinates(box, (*outlines, points))
    ):
        return None
    pairs = zip(points, detection.keypoints, strict=True)
    return UprightDetection(
        escape_undecodable(detection.label or UNLABELLED_CLASS),
        detection.score,
        box,
        outlines,
        _fit_upright_mask(detection.mask, image_info, is_stored_rotated=is_stored_rotated),
        tuple(Keypoint(u, v, one.score) for (u, v), one in pairs),
    )


def _fit_upright_mask(
    mask: Mask | None, image_info: ImageInfo, *, is_stored_rotated: bool
) -> Mask | None:
    """The mask, if it covers the upright image without being rotated."""
    if mask is None or (mask.width, mask.height) != (image_info.width, image_info.height):
        return None
    return None if is_stored_rotated and image_info.orientation != 1 else mask


def _iter_coordinates(box: Box, outlines: Iterable[Outline]) -> Iterator[float]:
    yield from (box.left, box.top, box.right, box.bottom)
    for outline in outlines:
        for point in outline:
            yield from point


def _clip_detection(detection: UprightDetection) -> UprightDetection:
    box = detection.box
    box = Box(
        _clip_fraction(box.left),
        _clip_fraction(box.top),
        _clip_fraction(box.right),
        _clip_fraction(box.bottom),
        True,
    )
    outlines = tuple(
        tuple((_clip_fraction(x), _clip_fraction(y)) for x, y in each)
        for each in detection.outlines
    )
    return replace(detection, box=box, outlines=outlines)


def _has_area(detection: UprightDetection) -> bool:
    return detection.box.width > 0 and detection.box.height > 0


def _clip_fraction(value: float) -> float:
    return min(1.0, max(0.0, value))


def is_valid_unicode(path: str) -> bool:
    """Whether JSON can hold the path as it is."""
    return escape_undecodable(path) == path


def make_absolute(path: str) -> str:
    """The path for another program, which knows no working directory of ours; a URI as it is."""
    return os.path.abspath(path) if is_local(path) else path  # noqa: PTH100 - links are kept as they are
