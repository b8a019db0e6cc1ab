"""What predictions mean: detections, classes, GeoJSON, text, files. Pure."""

from batchinfer.predictions.evidence import PredictionEvidence, decide_prediction_format
from batchinfer.predictions.field_map import FieldMap
from batchinfer.predictions.format_choices import PredictionFormat, parse_prediction_format
from batchinfer.predictions.interpreter import interpret, make_evidence
from batchinfer.predictions.prediction_types import (
    Box,
    Classification,
    ClassScore,
    Detection,
    Detections,
    FeatureCollection,
    Interpretation,
    Keypoint,
    Mask,
    OtherData,
    Outline,
    PlainText,
    Point,
    PredictionFile,
    polygon_area,
)

__all__ = [
    "Box",
    "ClassScore",
    "Classification",
    "Detection",
    "Detections",
    "FeatureCollection",
    "FieldMap",
    "Interpretation",
    "Keypoint",
    "Mask",
    "OtherData",
    "Outline",
    "PlainText",
    "Point",
    "PredictionEvidence",
    "PredictionFile",
    "PredictionFormat",
    "decide_prediction_format",
    "interpret",
    "make_evidence",
    "parse_prediction_format",
    "polygon_area",
]
