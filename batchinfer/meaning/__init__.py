"""What predictions mean: detections, classes, GeoJSON, text, files. Pure."""

from batchinfer.meaning.fields import Fields
from batchinfer.meaning.reading import read
from batchinfer.meaning.words import (
    Box,
    Class,
    Classes,
    Data,
    Detection,
    Detections,
    Features,
    Meaning,
    Output,
    Point,
    Words,
)

__all__ = [
    "Box",
    "Class",
    "Classes",
    "Data",
    "Detection",
    "Detections",
    "Features",
    "Fields",
    "Meaning",
    "Output",
    "Point",
    "Words",
    "read",
]
