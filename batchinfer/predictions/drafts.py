"""Interpretations whose numbers still need the prediction format of the run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from batchinfer.predictions.box_geometry import resolve_detection
from batchinfer.predictions.draft_locations import DraftLocation
from batchinfer.predictions.format_choices import (
    DEGREES_QUESTION,
    KIND_QUESTION,
    PROBABILITIES_QUESTION,
    PredictionFormat,
)
from batchinfer.predictions.prediction_types import (
    Classification,
    Detection,
    Detections,
    FeatureCollection,
    OtherData,
    PlainText,
    PredictionFile,
)


@dataclass(frozen=True, slots=True)
class DraftDetection:
    """A detection without its box, and its location; None: it has none."""

    detection: Detection
    location: DraftLocation | None = None


@dataclass(frozen=True, slots=True)
class DraftDetections:
    """Detections with locations; empty: nothing was found."""

    detections: tuple[DraftDetection, ...] = ()


@dataclass(frozen=True, slots=True)
class DraftLabels:
    """A list of labels without locations: classes, unless other items of the run have locations."""

    classes: Classification


@dataclass(frozen=True, slots=True)
class DraftNumbers:
    """Numbers by name: classes, if the run's numbers look like probabilities."""

    classes: Classification
    is_distribution: bool
    """Whether these ones do: they add up to one, or to a hundred."""


DraftPrediction: TypeAlias = (
    DraftDetections
    | DraftLabels
    | DraftNumbers
    | Detections
    | Classification
    | FeatureCollection
    | PlainText
    | PredictionFile
    | OtherData
)
NO_DETECTIONS: Final = DraftDetections()


def resolve_draft(  # noqa: PLR0911 - one for each kind
    draft: DraftPrediction, prediction_format: PredictionFormat
) -> (
    Detections | Classification | FeatureCollection | PlainText | PredictionFile | OtherData | None
):
    """What a draft means; None: it is data."""
    match draft:
        case DraftDetections(detections=()):
            return (
                Classification(())
                if prediction_format.value_of(KIND_QUESTION) == "classes"
                else Detections(())
            )
        case DraftDetections(detections=found):
            return Detections(
                tuple(
                    resolve_detection(one.detection, one.location, prediction_format)
                    for one in found
                )
            )
        case DraftLabels(classes=classes):
            if prediction_format.value_of(KIND_QUESTION) == "detections":
                return Detections(tuple(Detection(one.label, one.score) for one in classes.classes))
            return classes
        case DraftNumbers(classes=classes):
            return classes if prediction_format.value_of(PROBABILITIES_QUESTION) == "yes" else None
        case FeatureCollection() if prediction_format.value_of(DEGREES_QUESTION) == "no":
            return replace(draft, in_degrees=False)
        case _:
            return draft
