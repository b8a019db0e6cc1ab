"""What predictions mean: detections, classes, GeoJSON, text, files. Pure."""

from batchinfer.meaning.evidence import Sample, decide
from batchinfer.meaning.fields import Fields
from batchinfer.meaning.reading import read, sample
from batchinfer.meaning.run_reading import Reading, reading_of
from batchinfer.meaning.words import (
    Box,
    Class,
    Classes,
    Data,
    Detection,
    Detections,
    Features,
    Keypoint,
    Mask,
    Meaning,
    Outline,
    Output,
    Point,
    Words,
    area_within,
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
    "Keypoint",
    "Mask",
    "Meaning",
    "Outline",
    "Output",
    "Point",
    "Reading",
    "Sample",
    "Words",
    "area_within",
    "decide",
    "read",
    "reading_of",
    "sample",
]
