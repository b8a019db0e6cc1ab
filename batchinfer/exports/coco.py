"""COCO JSON, for pycocotools, CVAT, Detectron2: detections in pixels of the upright image.

`file_name` is the image's path below a folder that is reported, because programs open images by it;
the item's key is beside it, and an image's `id` is the item's position. The score is in each
annotation, as in COCO's results: `COCO(file).loadRes(annotations)` accepts them. Only images with
detections as prediction are included. That folder, what was left out, and how predictions were
interpreted, are in `info`. A detection with a mask has it as the model returned it, run-length
encoded; others have all their polygons.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import BinaryIO, Final

from batchinfer.domain import Json
from batchinfer.exports.export_format import INTERPRETATION_OPTIONS, FileExport
from batchinfer.exports.export_source import ExportOptions, ExportSource
from batchinfer.exports.image_items import (
    ImageItem,
    UprightDetection,
    is_falsely_empty,
    iter_detection_images,
    locate_in_pixels,
)
from batchinfer.exports.image_names import ImageNamer, make_image_namer
from batchinfer.exports.omissions import ExportOmissions
from batchinfer.exports.safe_text import encode_strict_json
from batchinfer.exports.scratch import ScratchFile, open_scratch_file
from batchinfer.predictions import Keypoint, Mask, polygon_area
from batchinfer.text_format import escape_undecodable

_PIXEL_DECIMALS: Final = 4


class CocoExport(FileExport):
    """One JSON object."""

    name = "coco"
    unit = "annotation"
    description = "an annotation per detection"
    consumers = "pycocotools, CVAT, Detectron2"
    options = INTERPRETATION_OPTIONS | {"file_names"}

    def write(self, source: ExportSource, file: BinaryIO, options: ExportOptions) -> int:
        """See `FileExport`."""
        omissions, categories = ExportOmissions(), dict[str, int]()
        keypoints_by_label: dict[str, dict[str, Json]] = {}
        annotation_ids, namer = (
            count(1),
            make_image_namer(options.file_names, source.iter_details()),
        )
        with open_scratch_file(
            source.scratch_folder
        ) as spool:  # annotations, until all images are written
            images, annotations = _JsonArrayWriter(file), _JsonArrayWriter(spool)
            file.write(b'{"images":[')
            for image in iter_detection_images(source, omissions):
                detections = locate_in_pixels(image, source, omissions)
                if is_falsely_empty(image, detections, omissions):
                    continue
                images.write(_make_image(image, namer.name_for(image, omissions)))
                for detection in detections:
                    category_id = categories.setdefault(detection.label, len(categories) + 1)
                    if detection.keypoints:
                        keypoints_by_label[detection.label] = _make_skeleton(
                            detection, keypoints_by_label.get(detection.label)
                        )
                    annotations.write(
                        _make_annotation(next(annotation_ids), image, category_id, detection)
                    )
                    if detection.mask is not None:
                        outline_count = len(detection.outlines)
                        omissions.add("outline", "beside a mask", image.key, count=outline_count)
            file.write(b'],\n"annotations":[')
            spool.copy_to(file)
        file.write(b'],\n"categories":[')
        classes = _JsonArrayWriter(file)
        for label, class_id in categories.items():
            classes.write(
                {
                    "id": class_id,
                    "name": label,
                    "supercategory": "",
                    **keypoints_by_label.get(label, {}),
                }
            )
        file.write(
            b'],\n"licenses":[],\n"info":'
            + encode_strict_json(_make_info(source, namer, omissions))
            + b"}\n"
        )
        omissions.report(source)
        if namer.root is not None:
            source.on_notice(
                f"file_name of each image is its path below {escape_undecodable(namer.root)}"
            )
        return next(annotation_ids) - 1


class _JsonArrayWriter:
    """The elements of a JSON array, written one after the other."""

    def __init__(self, file: BinaryIO | ScratchFile) -> None:
        self._write = file.write
        self._separator = b"\n"

    def write(self, value: Json) -> None:
        self._write(self._separator + encode_strict_json(value))
        self._separator = b",\n"


def _make_image(image: ImageItem, name: str) -> Json:
    image_info = image.image_info
    return {
        "id": image.details.position,
        "file_name": name,
        "width": image_info.width,
        "height": image_info.height,
        "key": image.key,
    }


def _make_annotation(
    annotation_id: int, image: ImageItem, category_id: int, detection: UprightDetection
) -> Json:
    box = detection.box
    score = {} if detection.score is None else {"score": detection.score}
    area, segmentation = _make_segmentation(detection)
    return {
        "id": annotation_id,
        "image_id": image.details.position,
        "category_id": category_id,
        "bbox": [
            round(value, _PIXEL_DECIMALS) for value in (box.left, box.top, box.width, box.height)
        ],
        "area": area,
        "segmentation": segmentation,
        "iscrowd": 0,  # also with a mask: 1 would make evaluations pass over it
        **score,
        **_make_keypoints(detection.keypoints),
    }


def _make_segmentation(detection: UprightDetection) -> tuple[float, Json]:
    """The area in pixels, and all polygons, or the mask as it is, or nothing."""
    if detection.mask is not None:
        return detection.mask.area, _encode_rle(detection.mask)
    box = detection.box
    area = (
        sum(map(polygon_area, detection.outlines)) if detection.outlines else box.width * box.height
    )
    polygons = [
        [round(value, _PIXEL_DECIMALS) for point in outline for value in point]
        for outline in detection.outlines
    ]
    return round(area, _PIXEL_DECIMALS), polygons


def _encode_rle(mask: Mask) -> Json:
    counts = mask.counts if isinstance(mask.counts, str) else list(mask.counts)
    return {"size": [mask.height, mask.width], "counts": counts}


def _make_keypoints(points: Sequence[Keypoint]) -> dict[str, Json]:
    if not points:
        return {}
    visibilities = [0 if point.score == 0 else 2 for point in points]
    values: list[Json] = []
    for point, visibility in zip(points, visibilities, strict=True):
        values += [round(point.x, _PIXEL_DECIMALS), round(point.y, _PIXEL_DECIMALS), visibility]
    return {"keypoints": values, "num_keypoints": sum(map(bool, visibilities))}


def _make_skeleton(detection: UprightDetection, known: dict[str, Json] | None) -> dict[str, Json]:
    """The names of a category's keypoints: numbers, as the model returns no names."""
    names = known["keypoints"] if known else []
    keypoint_count = max(len(detection.keypoints), len(names) if isinstance(names, list) else 0)
    return {"keypoints": [str(number) for number in range(1, keypoint_count + 1)], "skeleton": []}


def _make_info(source: ExportSource, namer: ImageNamer, omissions: ExportOmissions) -> Json:
    root: dict[str, Json] = {}
    if namer.root is not None:
        root["images_root"] = escape_undecodable(namer.root)
    return {
        "description": f"Predictions of the run {source.info.id}",
        "version": "1.0",
        "contributor": "batchinfer",
        **root,
        "left_out": omissions.as_counts(),
        "read_as": list(source.conventions.describe()) if source.conventions is not None else [],
    }
