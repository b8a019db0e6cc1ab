"""Publicly documented prediction formats, and what their documentation says about numbers.

A row has the keys by which a format is recognized, and answers the questions that these leave open
(`format_choices`). What a row does not say is decided by shape, as for other formats. Keys are
normalized (`coerce.normalize_keys`). Each row has a sample in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from batchinfer.domain import Json
from batchinfer.predictions.coerce import is_list, normalize_keys, to_number, to_numbers

_MAX_DICTS_SCANNED: Final = 200
"""Dicts of one prediction that are looked at."""
_MAX_SCAN_DEPTH: Final = 7
_FRACTION_RANGE: Final = (-0.1, 1.1)
"""Fractions of the picture may reach so far."""

NormalizedDict = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class FormatSignature:
    """One format."""

    documentation: str
    """Where it is documented."""
    required_keys: frozenset[str]
    """What a dict of it has."""
    choices: Mapping[str, str] = field(default_factory=dict)
    """Its answers to the questions of `run_reading`."""
    parent_keys: frozenset[str] = frozenset()
    """What the dict around it has."""
    fits: Callable[[NormalizedDict], bool] = lambda _: True
    """Whether the values are of the kind that the format has."""
    is_certain: bool = True
    """Whether it can be nothing else. Otherwise evidence against it decides."""


def _are_fractions(values: Sequence[float]) -> bool:
    return all(_FRACTION_RANGE[0] <= each <= _FRACTION_RANGE[1] for each in values)


def _has_fractions(name: str) -> Callable[[NormalizedDict], bool]:
    def fits(names: NormalizedDict) -> bool:
        value = names.get(name)
        values = list(value.values()) if isinstance(value, Mapping) else value
        found = to_numbers(values if is_list(values) else None)
        return found is not None and _are_fractions(found)

    return fits


def _has_four_numbers(name: str) -> Callable[[NormalizedDict], bool]:
    def fits(names: NormalizedDict) -> bool:
        found = to_numbers(names.get(name))
        return found is not None and len(found) == 4  # noqa: PLR2004

    return fits


def _has_boxes(name: str, *, fractions: bool = False) -> Callable[[NormalizedDict], bool]:
    def fits(names: NormalizedDict) -> bool:
        value = names.get(name)
        rows = [to_numbers(row) for row in value] if is_list(value) else []
        found = [row for row in rows if row is not None and len(row) == 4]  # noqa: PLR2004
        if not found or len(found) != len(rows):
            return False
        return not fractions or all(map(_are_fractions, found))

    return fits


def _is_megadetector(names: NormalizedDict) -> bool:
    kind = names.get("category")
    return _has_fractions("bbox")(names) and (
        isinstance(kind, int) or (isinstance(kind, str) and kind.isdecimal())
    )


def _has_dict(name: str, *inner: str) -> Callable[[NormalizedDict], bool]:
    def fits(names: NormalizedDict) -> bool:
        value = names.get(name)
        return isinstance(value, Mapping) and set(inner) <= normalize_keys(value).keys()

    return fits


def _keys(*names: str) -> frozenset[str]:
    return frozenset(names)


_ROBOFLOW_DOCS: Final = "https://docs.roboflow.com/deploy/serverless/object-detection"
_GOOGLE_VISION_DOCS: Final = "https://cloud.google.com/vision/docs/object-localizer"

FORMAT_SIGNATURES: Final[Mapping[str, FormatSignature]] = {
    "MegaDetector": FormatSignature(
        "https://github.com/agentmorris/MegaDetector: megadetector-output-format.md",
        _keys("category", "conf", "bbox"),
        {"list": "xywh", "unit": "relative"},
        fits=_is_megadetector,
    ),
    "COCO results": FormatSignature(
        "https://cocodataset.org/#format-results",
        _keys("categoryid", "bbox"),
        {"list": "xywh", "unit": "pixels"},
        fits=lambda names: _has_four_numbers("bbox")(names) and not _has_fractions("bbox")(names),
    ),
    "Segment Anything": FormatSignature(
        "https://github.com/facebookresearch/segment-anything#readme",
        _keys("segmentation", "bbox", "predictediou"),
        {"list": "xywh", "unit": "pixels"},
    ),
    "Roboflow": FormatSignature(
        _ROBOFLOW_DOCS,
        _keys("x", "y", "width", "height", "confidence"),
        {"named": "cxcywh", "unit": "pixels"},
        parent_keys=_keys("predictions", "image"),
    ),
    "Roboflow (a detection)": FormatSignature(
        _ROBOFLOW_DOCS,
        _keys("x", "y", "width", "height", "confidence", "detectionid"),
        {"named": "cxcywh", "unit": "pixels"},
    ),
    "Roboflow (its names)": FormatSignature(
        _ROBOFLOW_DOCS,
        _keys("x", "y", "width", "height", "confidence", "class"),
        {"named": "cxcywh"},
        is_certain=False,
    ),
    "Qwen-VL": FormatSignature(
        "https://github.com/QwenLM/Qwen3-VL: cookbooks/2d_grounding.ipynb",
        _keys("bbox2d"),
        fits=_has_four_numbers("bbox2d"),
    ),
    "Gemini": FormatSignature(
        "https://ai.google.dev/gemini-api/docs/image-understanding",
        _keys("box2d"),
        fits=_has_four_numbers("box2d"),
    ),
    "Google Vision": FormatSignature(_GOOGLE_VISION_DOCS, _keys("boundingpoly")),
    "Vertex AI AutoML": FormatSignature(
        "https://cloud.google.com/vertex-ai/docs/image-data/object-detection/interpret-results",
        _keys("displaynames", "confidences", "bboxes"),
        {"list": "xxyy", "unit": "relative"},
        fits=_has_boxes("bboxes", fractions=True),
    ),
    "CVAT nuclio": FormatSignature(
        "https://docs.cvat.ai/docs/guides/serverless-tutorial/",
        _keys("label", "points", "type"),
        {"unit": "pixels"},
        fits=lambda names: isinstance(names["label"], str) and is_list(names["points"]),
    ),
    "CVAT nuclio (masks)": FormatSignature(
        "https://docs.cvat.ai/docs/guides/serverless-tutorial/",
        _keys("label", "mask", "type"),
        {"unit": "pixels"},
    ),
    "AWS Rekognition": FormatSignature(
        "https://docs.aws.amazon.com/rekognition/latest/APIReference/API_BoundingBox.html",
        _keys("boundingbox", "confidence"),
        {"unit": "relative"},
        fits=lambda names: (
            _has_dict("boundingbox", "left", "top", "width", "height")(names)
            and _has_fractions("boundingbox")(names)
        ),
    ),
    "Azure Custom Vision": FormatSignature(
        "https://learn.microsoft.com/azure/ai-services/custom-vision-service/use-prediction-api",
        _keys("probability", "tagname", "boundingbox"),
        {"unit": "relative"},
        fits=_has_fractions("boundingbox"),
    ),
    "Azure Vision": FormatSignature(
        "https://learn.microsoft.com/azure/ai-services/computer-vision/concept-object-detection",
        _keys("rectangle", "object", "confidence"),
        {"named": "xywh", "unit": "pixels"},
        fits=_has_dict("rectangle", "x", "y", "w", "h"),
    ),
    "Azure Vision 4": FormatSignature(
        "https://learn.microsoft.com/azure/ai-services/computer-vision/concept-object-detection-40",
        _keys("boundingbox", "tags"),
        {"named": "xywh", "unit": "pixels"},
        fits=_has_dict("boundingbox", "x", "y", "w", "h"),
    ),
    "Ultralytics": FormatSignature(
        "https://docs.ultralytics.com/modes/predict/#working-with-results",
        _keys("name", "class", "confidence", "box"),
        fits=_has_dict("box", "x1", "y1", "x2", "y2"),
    ),
    "Hugging Face pipeline": FormatSignature(
        "https://huggingface.co/docs/transformers/main_classes/pipelines",
        _keys("score", "label", "box"),
        fits=_has_dict("box", "xmin", "ymin", "xmax", "ymax"),
    ),
    "Label Studio": FormatSignature(
        "https://labelstud.io/guide/predictions",
        _keys("fromname", "toname", "type", "value"),
    ),
    "OpenMMLab": FormatSignature(
        "https://mmdetection.readthedocs.io/en/latest/user_guides/inference.html",
        _keys("bboxes", "labels", "scores"),
        {"list": "xyxy", "unit": "pixels"},
        fits=_has_boxes("bboxes"),
        is_certain=False,
    ),
    "TensorFlow": FormatSignature(
        "https://www.tensorflow.org/hub/tutorials/tf2_object_detection",
        _keys("detectionboxes", "detectionscores"),
    ),
    "torchvision": FormatSignature(
        "https://docs.pytorch.org/vision/stable/models.html#object-detection",
        _keys("boxes", "labels", "scores"),
        {"list": "xyxy"},
        fits=_has_boxes("boxes"),
        is_certain=False,
    ),
    "Detectron2": FormatSignature(
        "https://detectron2.readthedocs.io/en/latest/tutorials/models.html#model-output-format",
        _keys("predboxes", "scores"),
        {"list": "xyxy", "unit": "pixels"},
        is_certain=False,
    ),
    "supervision": FormatSignature(
        "https://supervision.roboflow.com/latest/detection/core/",
        _keys("xyxy", "confidence", "classid"),
    ),
    "Clarifai": FormatSignature(
        "https://docs.clarifai.com/compute/inference/",
        _keys("regioninfo", "data"),
        {"unit": "relative"},
    ),
    "PaddleOCR": FormatSignature(
        "https://www.paddleocr.ai/latest/en/version3.x/pipeline_usage/OCR.html",
        _keys("rectexts", "recscores"),
    ),
    "MediaPipe": FormatSignature(
        "https://ai.google.dev/edge/mediapipe/solutions/vision/object_detector",
        _keys("boundingbox", "categories"),
        fits=_has_dict("boundingbox", "originx", "originy", "width", "height"),
    ),
    "Instill": FormatSignature(
        "https://www.instill-ai.dev/docs/model/ai-task",
        _keys("boundingbox", "category", "score"),
        {"unit": "pixels"},
        fits=lambda names: (
            _has_dict("boundingbox", "width", "height")(names)
            and not _has_fractions("boundingbox")(names)
        ),
    ),
    "BirdNET": FormatSignature(
        "https://birdnet-team.github.io/BirdNET-Analyzer/usage/cli.html",
        _keys("scientificname", "commonname", "confidence"),
        fits=lambda names: to_number(names["confidence"]) is not None,
    ),
}
"""By the name that people know."""


def matching_formats(prediction: Json) -> frozenset[str]:
    """The formats of `FORMAT_SIGNATURES` that a prediction has the marks of."""
    return frozenset(_iter_matching_formats(prediction))


def _iter_matching_formats(prediction: Json) -> Iterator[str]:
    for names, beside in _iter_dicts(prediction):
        for name, each in FORMAT_SIGNATURES.items():
            if (
                each.required_keys <= names.keys()
                and each.parent_keys <= beside
                and each.fits(names)
            ):
                yield name


def _iter_dicts(prediction: Json) -> Iterator[tuple[NormalizedDict, frozenset[str]]]:
    """The dicts of a prediction, each with the names of the dict around it."""
    pending: list[tuple[Json, frozenset[str], int]] = [(prediction, frozenset(), 0)]
    scanned = 0
    while pending and scanned < _MAX_DICTS_SCANNED:
        value, parent_keys, depth = pending.pop(0)
        scanned += 1
        inner: Sequence[Json] = ()
        if isinstance(value, Mapping):
            names = normalize_keys(value)
            yield names, parent_keys
            inner, parent_keys = list(value.values()), frozenset(names)
        elif is_list(value) and not (value and isinstance(value[0], (int, float, str))):
            inner = value[:_MAX_DICTS_SCANNED]
        if depth < _MAX_SCAN_DEPTH:
            pending += [
                (each, parent_keys, depth + 1)
                for each in inner
                if isinstance(each, Mapping) or is_list(each)
            ]
