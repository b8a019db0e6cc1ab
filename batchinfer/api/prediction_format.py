"""How a run's predictions are read: decided once, from many of them, and kept in the run.

A reading is kept only when the predictions decide all of it, and enough of them are there: what is
a default stays open until there is evidence. Where nothing can be kept (a run on a read-only disk,
or of an older version) it is decided again, from the same predictions, with the same result.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from batchinfer.domain import Result
from batchinfer.errors import ConfigError
from batchinfer.images import ImageInfo, read_image_info
from batchinfer.predictions import (
    FieldMap,
    PredictionEvidence,
    PredictionFormat,
    decide_prediction_format,
    make_evidence,
    parse_prediction_format,
)
from batchinfer.store.run_metadata import save_interpretation
from batchinfer.store.run_reader import RunReader

FORMAT_SAMPLE_SIZE: Final = 1_000
"""Predictions that a reading is decided from, spread evenly over the run."""
MIN_STORED_FORMAT_SAMPLES: Final = 100
"""A run that is not complete keeps no reading from fewer."""


def resolve_prediction_format(directory: Path, fields: FieldMap | None = None) -> PredictionFormat:
    """How the predictions of the run in `directory` are read; `fields`: what the user says of it.

    Keeps it in the run, unless the user says where things stand. Raises StoreError when there is
    no run.
    """
    has_user_paths = fields is not None and fields.has_paths
    with RunReader(directory) as reader:
        stored = None if has_user_paths else parse_prediction_format(reader.read_interpretation())
        if stored is not None:
            return _apply_user_fields(stored, fields)
        samples = list(_iter_samples(reader, fields if has_user_paths else None))
        counts = reader.read_counts()
        is_complete = reader.is_source_complete and not counts.pending and not counts.submitted
    decided = decide_prediction_format(samples)
    if (
        not has_user_paths
        and samples
        and decided.is_decided
        and (is_complete or len(samples) >= MIN_STORED_FORMAT_SAMPLES)
    ):
        save_interpretation(directory, decided.as_json())
    return _apply_user_fields(decided, fields)


def _apply_user_fields(reading: PredictionFormat, fields: FieldMap | None) -> PredictionFormat:
    if fields is None:
        return reading
    return reading.with_user_choices(fields.format, fields.relative, fields.numbers)


def _iter_samples(reader: RunReader, fields: FieldMap | None) -> Iterator[PredictionEvidence]:
    for result in reader.sample_results(FORMAT_SAMPLE_SIZE):
        if not isinstance(result.prediction, str):
            yield make_evidence(result.prediction, fields, partial(_get_image_size, result))


def _get_image_size(result: Result) -> tuple[float, float] | None:
    """Of the picture that a prediction is of, whichever way it is turned."""
    if result.path is None:
        return None
    try:
        image = read_image_info(result.path)
    except ConfigError:  # Pillow is not installed
        return None
    if not isinstance(image, ImageInfo):
        return None
    if image.width == image.stored_size[0]:
        return image.width, image.height
    longest = max(image.width, image.height)
    return longest, longest
