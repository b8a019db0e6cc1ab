"""What a prediction can mean: one vocabulary for the report and all exports.

Coordinates start at the upper left corner of the image as the model saw it: x to the right, y down.
A box is in pixels, or in fractions of the image's width and height (`relative`); nothing here knows
an image, so whoever needs the other unit passes its size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from batchinfer.domain import Json

Point: TypeAlias = tuple[float, float]
Outline: TypeAlias = tuple[Point, ...]
"""A polygon: three points at least; the last is joined to the first."""


def polygon_area(outline: Outline) -> float:
    """The area of a polygon, by the shoelace formula; 0 where it is beyond all numbers."""
    ahead = chain(outline[1:], outline[:1])
    area = sum(x * v - u * y for (x, y), (u, v) in zip(outline, ahead, strict=True))
    return abs(area) / 2 if math.isfinite(area) else 0.0


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle; `left <= right`, `top <= bottom`, all finite. May reach outside."""

    left: float
    top: float
    right: float
    bottom: float
    relative: bool = False
    """Fractions of the picture's width and height, instead of pixels."""

    @property
    def width(self) -> float:
        """In the box's own unit."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """In the box's own unit."""
        return self.bottom - self.top

    def to_pixels(self, width: float, height: float) -> Box:
        """The same box in pixels of a picture of that size."""
        return self._scaled(width, height, relative=False) if self.relative else self

    def to_fractions(self, width: float, height: float) -> Box:
        """The same box in fractions of a picture of that size."""
        return self if self.relative else self._scaled(1 / width, 1 / height, relative=True)

    def _scaled(self, x: float, y: float, *, relative: bool) -> Box:
        return Box(self.left * x, self.top * y, self.right * x, self.bottom * y, relative)


@dataclass(frozen=True, slots=True)
class Mask:
    """The pixels of a detection, run-length encoded as in COCO: down the columns, zeros first."""

    height: int
    width: int
    """Of the picture that it covers, in pixels."""
    counts: str | tuple[int, ...]
    """COCO's compressed text, or the lengths of the runs."""
    area: int
    """Pixels of the thing."""


@dataclass(frozen=True, slots=True)
class Keypoint:
    """One point of a thing, as a joint of a body, in the box's unit."""

    x: float
    y: float
    score: float | None = None
    """How sure, or COCO's visibility (0, 1, 2), as the model says it."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One object that was found in an image or a recording."""

    label: str | None = None
    """The name of its class; a class that has only a number: its digits."""
    score: float | None = None
    """How sure the model is, as it says it; finite."""
    box: Box | None = None
    outlines: tuple[Outline, ...] = ()
    """The polygons around it, in the box's unit, in the model's order; empty: it gives none."""
    mask: Mask | None = None
    keypoints: tuple[Keypoint, ...] = ()
    """In the model's order."""
    start: float | None = None
    end: float | None = None
    """Seconds of the recording in which it was found."""
    unsupported_parts: tuple[str, ...] = ()
    """What else the model says of its place and cannot be kept, in the singular: `mask` ..."""

    @property
    def largest_outline(self) -> Outline:
        """The largest of its outlines, the first of equals; empty without any."""
        return max(self.outlines, key=polygon_area, default=())


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class of a classification."""

    label: str
    score: float | None = None
    """Its probability, as the model says it; finite."""


@dataclass(frozen=True, slots=True)
class Detections:
    """Objects found in an image, in the model's order; empty: none was found."""

    detections: tuple[Detection, ...]


@dataclass(frozen=True, slots=True)
class Classification:
    """Classes of the image; the most probable first."""

    classes: tuple[ClassScore, ...]


@dataclass(frozen=True, slots=True)
class FeatureCollection:
    """GeoJSON, as a FeatureCollection."""

    collection: Mapping[str, Json]
    in_degrees: bool = True
    """Whether its positions can be degrees (WGS 84), as those of its whole run; False: some lie
    beyond 180 and 90."""


@dataclass(frozen=True, slots=True)
class PlainText:
    """Text: a transcript, a caption, or what could not be read as data."""

    text: str


@dataclass(frozen=True, slots=True)
class PredictionFile:
    """Bytes: an image, a zip."""

    path: str
    """Relative to the run directory."""
    media_type: str


@dataclass(frozen=True, slots=True)
class OtherData:
    """Anything else."""

    value: Json


Interpretation: TypeAlias = (
    Detections | Classification | FeatureCollection | PlainText | PredictionFile | OtherData
)
