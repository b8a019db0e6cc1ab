"""Formats that are documented in public, and what their documentation says about numbers.

A row tells by which names a format is known, and answers the questions that its names leave open
(`run_reading`). What a row does not say is told by shape like everything else. Names as
`values.spelled` makes them. Each row has a sample in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from batchinfer.domain import Json
from batchinfer.meaning.values import is_list, number, numbers, spelled

_LOOKED_AT: Final = 200
"""Dicts of one prediction that are looked at."""
_DEEPEST: Final = 7
_FRACTIONS: Final = (-0.1, 1.1)
"""Fractions of the picture may reach so far."""

Names = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Signature:
    """One format."""

    source: str
    """Where it is documented."""
    has: frozenset[str]
    """What a dict of it has."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """Its answers to the questions of `run_reading`."""
    beside: frozenset[str] = frozenset()
    """What the dict around it has."""
    fits: Callable[[Names], bool] = lambda _: True
    """Whether the values are of the kind that the format has."""
    sure: bool = True
    """Whether it can be nothing else. Otherwise evidence against it decides."""


def _are_fractions(values: Sequence[float]) -> bool:
    return all(_FRACTIONS[0] <= each <= _FRACTIONS[1] for each in values)


def _fractions_in(name: str) -> Callable[[Names], bool]:
    def fits(names: Names) -> bool:
        value = names.get(name)
        values = list(value.values()) if isinstance(value, Mapping) else value
        found = numbers(values if is_list(values) else None)
        return found is not None and _are_fractions(found)

    return fits


def _four_in(name: str) -> Callable[[Names], bool]:
    def fits(names: Names) -> bool:
        found = numbers(names.get(name))
        return found is not None and len(found) == 4  # noqa: PLR2004

    return fits


def _boxes_in(name: str, *, fractions: bool = False) -> Callable[[Names], bool]:
    def fits(names: Names) -> bool:
        value = names.get(name)
        rows = [numbers(row) for row in value] if is_list(value) else []
        found = [row for row in rows if row is not None and len(row) == 4]  # noqa: PLR2004
        if not found or len(found) != len(rows):
            return False
        return not fractions or all(map(_are_fractions, found))

    return fits


def _is_digits(names: Names) -> bool:
    kind = names.get("category")
    return _fractions_in("bbox")(names) and (
        isinstance(kind, int) or (isinstance(kind, str) and kind.isdecimal())
    )


def _holds(name: str, *inner: str) -> Callable[[Names], bool]:
    def fits(names: Names) -> bool:
        value = names.get(name)
        return isinstance(value, Mapping) and set(inner) <= spelled(value).keys()

    return fits


def _has(*names: str) -> frozenset[str]:
    return frozenset(names)


_ROBOFLOW: Final = "https://docs.roboflow.com/deploy/serverless/object-detection"
_GOOGLE: Final = "https://cloud.google.com/vision/docs/object-localizer"

SIGNATURES: Final[Mapping[str, Signature]] = {
    "MegaDetector": Signature(
        "https://github.com/agentmorris/MegaDetector: megadetector-output-format.md",
        _has("category", "conf", "bbox"),
        {"list": "xywh", "unit": "relative"},
        fits=_is_digits,
    ),
    "COCO results": Signature(
        "https://cocodataset.org/#format-results",
        _has("categoryid", "bbox"),
        {"list": "xywh", "unit": "pixels"},
        fits=lambda names: _four_in("bbox")(names) and not _fractions_in("bbox")(names),
    ),
    "Segment Anything": Signature(
        "https://github.com/facebookresearch/segment-anything#readme",
        _has("segmentation", "bbox", "predictediou"),
        {"list": "xywh", "unit": "pixels"},
    ),
    "Roboflow": Signature(
        _ROBOFLOW,
        _has("x", "y", "width", "height", "confidence"),
        {"named": "cxcywh", "unit": "pixels"},
        beside=_has("predictions", "image"),
    ),
    "Roboflow (a detection)": Signature(
        _ROBOFLOW,
        _has("x", "y", "width", "height", "confidence", "detectionid"),
        {"named": "cxcywh", "unit": "pixels"},
    ),
    "Roboflow (its names)": Signature(
        _ROBOFLOW,
        _has("x", "y", "width", "height", "confidence", "class"),
        {"named": "cxcywh"},
        sure=False,
    ),
    "Qwen-VL": Signature(
        "https://github.com/QwenLM/Qwen3-VL: cookbooks/2d_grounding.ipynb",
        _has("bbox2d"),
        fits=_four_in("bbox2d"),
    ),
    "Gemini": Signature(
        "https://ai.google.dev/gemini-api/docs/image-understanding",
        _has("box2d"),
        fits=_four_in("box2d"),
    ),
    "Google Vision": Signature(_GOOGLE, _has("boundingpoly")),
    "Vertex AI AutoML": Signature(
        "https://cloud.google.com/vertex-ai/docs/image-data/object-detection/interpret-results",
        _has("displaynames", "confidences", "bboxes"),
        {"list": "xxyy", "unit": "relative"},
        fits=_boxes_in("bboxes", fractions=True),
    ),
    "CVAT nuclio": Signature(
        "https://docs.cvat.ai/docs/guides/serverless-tutorial/",
        _has("label", "points", "type"),
        {"unit": "pixels"},
        fits=lambda names: isinstance(names["label"], str) and is_list(names["points"]),
    ),
    "CVAT nuclio (masks)": Signature(
        "https://docs.cvat.ai/docs/guides/serverless-tutorial/",
        _has("label", "mask", "type"),
        {"unit": "pixels"},
    ),
    "AWS Rekognition": Signature(
        "https://docs.aws.amazon.com/rekognition/latest/APIReference/API_BoundingBox.html",
        _has("boundingbox", "confidence"),
        {"unit": "relative"},
        fits=lambda names: (
            _holds("boundingbox", "left", "top", "width", "height")(names)
            and _fractions_in("boundingbox")(names)
        ),
    ),
    "Azure Custom Vision": Signature(
        "https://learn.microsoft.com/azure/ai-services/custom-vision-service/use-prediction-api",
        _has("probability", "tagname", "boundingbox"),
        {"unit": "relative"},
        fits=_fractions_in("boundingbox"),
    ),
    "Azure Vision": Signature(
        "https://learn.microsoft.com/azure/ai-services/computer-vision/concept-object-detection",
        _has("rectangle", "object", "confidence"),
        {"named": "xywh", "unit": "pixels"},
        fits=_holds("rectangle", "x", "y", "w", "h"),
    ),
    "Azure Vision 4": Signature(
        "https://learn.microsoft.com/azure/ai-services/computer-vision/concept-object-detection-40",
        _has("boundingbox", "tags"),
        {"named": "xywh", "unit": "pixels"},
        fits=_holds("boundingbox", "x", "y", "w", "h"),
    ),
    "Ultralytics": Signature(
        "https://docs.ultralytics.com/modes/predict/#working-with-results",
        _has("name", "class", "confidence", "box"),
        fits=_holds("box", "x1", "y1", "x2", "y2"),
    ),
    "Hugging Face pipeline": Signature(
        "https://huggingface.co/docs/transformers/main_classes/pipelines",
        _has("score", "label", "box"),
        fits=_holds("box", "xmin", "ymin", "xmax", "ymax"),
    ),
    "Label Studio": Signature(
        "https://labelstud.io/guide/predictions",
        _has("fromname", "toname", "type", "value"),
    ),
    "OpenMMLab": Signature(
        "https://mmdetection.readthedocs.io/en/latest/user_guides/inference.html",
        _has("bboxes", "labels", "scores"),
        {"list": "xyxy", "unit": "pixels"},
        fits=_boxes_in("bboxes"),
        sure=False,
    ),
    "TensorFlow": Signature(
        "https://www.tensorflow.org/hub/tutorials/tf2_object_detection",
        _has("detectionboxes", "detectionscores"),
    ),
    "torchvision": Signature(
        "https://docs.pytorch.org/vision/stable/models.html#object-detection",
        _has("boxes", "labels", "scores"),
        {"list": "xyxy"},
        fits=_boxes_in("boxes"),
        sure=False,
    ),
    "Detectron2": Signature(
        "https://detectron2.readthedocs.io/en/latest/tutorials/models.html#model-output-format",
        _has("predboxes", "scores"),
        {"list": "xyxy", "unit": "pixels"},
        sure=False,
    ),
    "supervision": Signature(
        "https://supervision.roboflow.com/latest/detection/core/",
        _has("xyxy", "confidence", "classid"),
    ),
    "Clarifai": Signature(
        "https://docs.clarifai.com/compute/inference/",
        _has("regioninfo", "data"),
        {"unit": "relative"},
    ),
    "PaddleOCR": Signature(
        "https://www.paddleocr.ai/latest/en/version3.x/pipeline_usage/OCR.html",
        _has("rectexts", "recscores"),
    ),
    "MediaPipe": Signature(
        "https://ai.google.dev/edge/mediapipe/solutions/vision/object_detector",
        _has("boundingbox", "categories"),
        fits=_holds("boundingbox", "originx", "originy", "width", "height"),
    ),
    "Instill": Signature(
        "https://www.instill-ai.dev/docs/model/ai-task",
        _has("boundingbox", "category", "score"),
        {"unit": "pixels"},
        fits=lambda names: (
            _holds("boundingbox", "width", "height")(names)
            and not _fractions_in("boundingbox")(names)
        ),
    ),
    "BirdNET": Signature(
        "https://birdnet-team.github.io/BirdNET-Analyzer/usage/cli.html",
        _has("scientificname", "commonname", "confidence"),
        fits=lambda names: number(names["confidence"]) is not None,
    ),
}
"""By the name that people know."""


def recognised(prediction: Json) -> frozenset[str]:
    """The formats of `SIGNATURES` that a prediction has the marks of."""
    return frozenset(_recognised(prediction))


def _recognised(prediction: Json) -> Iterator[str]:
    for names, beside in _dicts(prediction):
        for name, each in SIGNATURES.items():
            if each.has <= names.keys() and each.beside <= beside and each.fits(names):
                yield name


def _dicts(prediction: Json) -> Iterator[tuple[Names, frozenset[str]]]:
    """The dicts of a prediction, each with the names of the dict around it."""
    left: list[tuple[Json, frozenset[str], int]] = [(prediction, frozenset(), 0)]
    looked_at = 0
    while left and looked_at < _LOOKED_AT:
        value, beside, depth = left.pop(0)
        looked_at += 1
        inner: Sequence[Json] = ()
        if isinstance(value, Mapping):
            names = spelled(value)
            yield names, beside
            inner, beside = list(value.values()), frozenset(names)
        elif is_list(value) and not (value and isinstance(value[0], (int, float, str))):
            inner = value[:_LOOKED_AT]
        if depth < _DEEPEST:
            left += [
                (each, beside, depth + 1)
                for each in inner
                if isinstance(each, Mapping) or is_list(each)
            ]
