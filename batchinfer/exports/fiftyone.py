"""A folder in FiftyOne's own format: `from_dir(dataset_type=fo.types.FiftyOneDataset)` reads it.

`sample_count.json` holds a sample per picture, whatever became of it: its state is a tag, and what
the model said stands in `detections`, `outlines`, `classes` or `text`. Without a `version`, in
`metadata.json`, FiftyOne takes the folder for one of its older, plainer form, and finds the fields
for itself. Boxes and outlines are in fractions; pictures stay where they lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from batchinfer.domain import Json, State
from batchinfer.exports.export_format import INTERPRETATION_OPTIONS, FolderExport
from batchinfer.exports.export_source import ExportOptions, ExportSource
from batchinfer.exports.image_items import (
    ImageItem,
    UprightDetection,
    is_falsely_empty,
    is_valid_unicode,
    iter_images,
    locate_in_fractions,
    make_absolute,
    note_unsupported,
)
from batchinfer.exports.omissions import ExportOmissions
from batchinfer.exports.safe_text import encode_strict_json
from batchinfer.exports.score_scale import ScoreScale, find_score_scale
from batchinfer.images import ImageInfo
from batchinfer.predictions import Classification, Detections, PlainText
from batchinfer.text_format import escape_undecodable

SAMPLES_FILE: Final = "samples.json"
FIFTYONE_METADATA_FILE: Final = "metadata.json"
_FRACTION_DECIMALS: Final = 8


class FiftyOneExport(FolderExport):
    """A dataset in FiftyOne's own format."""

    name = "fiftyone"
    unit = "sample"
    description = "a sample per picture"
    consumers = "FiftyOne"
    options = INTERPRETATION_OPTIONS | {"percent_scores"}

    def write(self, source: ExportSource, folder: Path, options: ExportOptions) -> int:
        """See `FolderExport`."""
        omissions, written = ExportOmissions(), 0
        score_scale = find_score_scale(source, percent_scores=options.percent_scores)
        with (folder / SAMPLES_FILE).open("xb") as file:
            file.write(b'{"samples":[')
            for image in iter_images(source, omissions):
                if not is_valid_unicode(image.path):
                    omissions.add("item", "a path that JSON cannot hold", image.key)
                    continue
                sample = encode_strict_json(_make_sample(image, source, score_scale, omissions))
                file.write((b",\n" if written else b"\n") + sample)
                written += 1
            file.write(b"\n]}\n")
        info: Json = {"run": source.info.id, "sources": list(source.info.sources)}
        (folder / FIFTYONE_METADATA_FILE).write_bytes(
            encode_strict_json({"media_type": "image", "info": info}) + b"\n"
        )
        omissions.report(source)
        return written


def _make_sample(
    image: ImageItem, source: ExportSource, score_scale: ScoreScale, omissions: ExportOmissions
) -> Json:
    result, image_info = image.details.result, image.image_info
    optional: dict[str, Json] = {
        "code": result.code,
        "message": result.message,
        "seconds": result.seconds,
        "location": _make_location(image_info),
    }
    return {
        "filepath": make_absolute(image.path),
        "tags": [result.state.value],
        "metadata": {
            "_cls": "ImageMetadata",
            "width": image_info.width,
            "height": image_info.height,
        },
        "key": image.key,
        "position": image.details.position,
        **{name: value for name, value in optional.items() if value is not None},
        **_make_prediction_fields(image, source, score_scale, omissions),
    }


def _make_location(image_info: ImageInfo) -> Json:
    if image_info.longitude is None or image_info.latitude is None:
        return None
    return {"_cls": "GeoLocation", "point": [image_info.longitude, image_info.latitude]}


def _make_prediction_fields(
    image: ImageItem, source: ExportSource, score_scale: ScoreScale, omissions: ExportOmissions
) -> dict[str, Json]:
    """The fields of what the model said."""
    if image.details.result.state is not State.SUCCEEDED:
        return {}

    def to_confidence(score: float | None) -> float | None:
        return score_scale.to_unit_interval(score, image.key, omissions)

    match image.interpretation:
        case Detections():
            detections = locate_in_fractions(image, source, omissions)
            if is_falsely_empty(image, detections, omissions):
                return {}
            note_unsupported(detections, image, omissions)
            detections = [replace(one, score=to_confidence(one.score)) for one in detections]
            with_outlines = [one for one in detections if one.outlines]
            fields = {
                "detections": _make_label_list(
                    "Detections", "detections", list(map(_make_detection, detections))
                )
            }
            if with_outlines:
                polylines = list(map(_make_polyline, with_outlines))
                fields["outlines"] = _make_label_list("Polylines", "polylines", polylines)
            return fields
        case Classification(predicted_classes):
            classes = [
                _make_label("Classification", one.label, to_confidence(one.score), {})
                for one in predicted_classes
            ]
            return {"classes": _make_label_list("Classifications", "classifications", classes)}
        case PlainText(text):
            return {"text": escape_undecodable(text)}
        case _:
            omissions.add("prediction", "nothing that FiftyOne has a label for", image.key)
            return {}


def _make_label_list(kind: str, name: str, labels: Sequence[Json]) -> Json:
    return {"_cls": kind, name: labels}


def _make_detection(detection: UprightDetection) -> Json:
    box = detection.box
    values = (box.left, box.top, box.width, box.height)
    geometry = {"bounding_box": [round(value, _FRACTION_DECIMALS) for value in values]}
    return _make_label("Detection", detection.label, detection.score, geometry)


def _make_polyline(detection: UprightDetection) -> Json:
    points: list[Json] = [
        [[round(x, _FRACTION_DECIMALS), round(y, _FRACTION_DECIMALS)] for x, y in outline]
        for outline in detection.outlines
    ]
    geometry: dict[str, Json] = {"points": points, "closed": True, "filled": False}
    return _make_label("Polyline", detection.label, detection.score, geometry)


def _make_label(kind: str, label: str, score: float | None, geometry: Mapping[str, Json]) -> Json:
    confidence = {} if score is None else {"confidence": score}
    return {"_cls": kind, "label": label, **confidence, **geometry}
