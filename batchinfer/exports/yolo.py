"""A folder in Ultralytics' layout: to train with, or to read with whatever reads YOLO.

    data.yaml          the classes
    images/<name>      links to the images
    labels/<name>.txt  `class x y width height` a line, or `class x1 y1 x2 y2 ...` for outlines,
                       in fractions of the upright image: what Ultralytics trains with
    scores/<name>.txt  the same with the score at the end of each line, as `yolo predict` saves it
    index.csv          which name stands for which key

Ultralytics accepts no score in `labels`, no value outside the image, and no file that mixes
outlines and boxes: there boxes become outlines. It finds labels by the last folder of a path that
is called `images`; so no other folder here has that name.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from batchinfer.exports.export_format import INTERPRETATION_OPTIONS, FolderExport
from batchinfer.exports.export_source import ExportOptions, ExportSource
from batchinfer.exports.filename_allocator import FilenameAllocator, ensure_parent
from batchinfer.exports.image_items import (
    ImageItem,
    UprightDetection,
    is_falsely_empty,
    iter_detection_images,
    locate_clipped,
    make_absolute,
    note_unsupported,
)
from batchinfer.exports.item_rows import Utf8Writer
from batchinfer.exports.omissions import ExportOmissions
from batchinfer.exports.safe_text import escape_formula
from batchinfer.exports.score_scale import find_score_scale
from batchinfer.inputs import is_local, open_stream
from batchinfer.predictions import Box
from batchinfer.text_format import escape_undecodable

INDEX_FILE: Final = "index.csv"
_IMAGE_EXTENSIONS: Final = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
"""Extensions that Ultralytics accepts as images."""
_EXTENSION_BY_IMAGE_FORMAT: Final = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}


class YoloExport(FolderExport):
    """Images, labels, scores and the classes."""

    name = "yolo"
    unit = "image"
    description = "an image with its labels"
    consumers = "Ultralytics"
    options = INTERPRETATION_OPTIONS | {"formulas", "percent_scores"}

    def write(self, source: ExportSource, folder: Path, options: ExportOptions) -> int:
        """See `FolderExport`."""
        omissions, classes, written = ExportOmissions(), dict[str, int](), 0
        score_scale = find_score_scale(source, percent_scores=options.percent_scores)
        for name in ("images", "labels"):  # there even if no picture is
            (folder / name).mkdir()
        with (
            FilenameAllocator(folder, reserved=("images",)) as allocator,
            (folder / INDEX_FILE).open("wb") as file,
        ):
            index = csv.writer(Utf8Writer(file), lineterminator="\r\n")
            index.writerow(("key", "image", "labels", "path"))
            for image in iter_detection_images(source, omissions):
                detections = locate_clipped(image, source, omissions)
                if is_falsely_empty(image, detections, omissions):
                    continue
                stem, extension = _split_extension(image)
                name = allocator.allocate(stem, ("", extension, ".txt"))
                target = ensure_parent(folder / "images", name + extension)
                if not _link_or_copy(image.path, target):
                    omissions.add("image", "that could not be copied", image.key)
                    continue
                note_unsupported(detections, image, omissions, outlines=False)
                for detection in detections:
                    classes.setdefault(detection.label, len(classes))
                _write_lines(folder / "labels", name, _iter_lines(detections, classes))
                unit_scores = [
                    score_scale.to_unit_interval(one.score, image.key, omissions)
                    for one in detections
                ]
                if any(score is not None for score in unit_scores):
                    _write_lines(
                        folder / "scores",
                        name,
                        _iter_scored_lines(detections, unit_scores, classes),
                    )
                paths = (
                    f"images/{name}{extension}",
                    f"labels/{name}.txt",
                    escape_undecodable(image.path),
                )
                cells = (image.key, *paths)
                index.writerow(cells if options.formulas else map(escape_formula, cells))
                written += 1
        (folder / "data.yaml").write_text(
            _make_data_yaml(source, classes), encoding="utf-8", newline="\n"
        )
        omissions.report(source)
        return written


def _split_extension(image: ImageItem) -> tuple[str, str]:
    """The key without its extension, and an extension of an image format."""
    stem, extension = os.path.splitext(image.key)  # noqa: PTH122 - a key, no path of this machine
    if extension.lower() in _IMAGE_EXTENSIONS:
        return stem, extension
    image_format = image.image_info.format
    return image.key, _EXTENSION_BY_IMAGE_FORMAT.get(image_format, f".{image_format.lower()}")


def _link_or_copy(path: str, link_path: Path) -> bool:
    """Make a link to a picture, or a copy where that cannot be; False: it cannot be read."""
    if is_local(path):
        with suppress(OSError):
            link_path.symlink_to(make_absolute(path))
            return True
    try:
        source = open_stream(path)
    except OSError:
        return False
    with source, link_path.open("xb") as file:
        shutil.copyfileobj(source, file)
    return True


def _write_lines(folder: Path, name: str, lines: Iterator[str]) -> None:
    with ensure_parent(folder, f"{name}.txt").open("x", encoding="ascii", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def _iter_lines(
    detections: Sequence[UprightDetection], classes: Mapping[str, int]
) -> Iterator[str]:
    has_outlines = any(detection.largest_outline for detection in detections)
    for one in detections:
        values = _make_outline_values(one) if has_outlines else _make_box_values(one.box)
        yield " ".join([str(classes[one.label]), *(f"{value:.8f}" for value in values)])


def _iter_scored_lines(
    detections: Sequence[UprightDetection],
    scores: Sequence[float | None],
    classes: Mapping[str, int],
) -> Iterator[str]:
    for score, line in zip(scores, _iter_lines(detections, classes), strict=True):
        yield line if score is None else f"{line} {score!r}"


def _make_box_values(box: Box) -> tuple[float, ...]:
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2, box.width, box.height


def _make_outline_values(detection: UprightDetection) -> tuple[float, ...]:
    box = detection.box
    left, top, right, bottom = box.left, box.top, box.right, box.bottom
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return tuple(value for point in detection.largest_outline or corners for value in point)


def _make_data_yaml(source: ExportSource, classes: Mapping[str, int]) -> str:
    head = f"# Predictions of the run {source.info.id}, by batchinfer\ntrain: images\nval: images\n"
    if not classes:
        return head + "names: {}\n"
    return (
        head + "names:\n" + "".join(f"  {n}: {_quote_yaml(name)}\n" for name, n in classes.items())
    )


def _quote_yaml(text: str) -> str:
    """A YAML scalar in double quotes; special characters are escaped."""
    plain = (
        char if char.isprintable() and char not in '"\\' else f"\\U{ord(char):08x}" for char in text
    )
    return '"' + "".join(plain) + '"'
