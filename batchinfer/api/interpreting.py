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
from batchinfer.images import Facts, facts
from batchinfer.meaning import Fields, Reading, Sample, decide, reading_of, sample
from batchinfer.store.reader import RunReader
from batchinfer.store.run_metadata import keep_reading

SAMPLE: Final = 1_000
"""Predictions that a reading is decided from, spread evenly over the run."""
ENOUGH: Final = 100
"""A run that is not complete keeps no reading from fewer."""


def interpret(directory: Path, fields: Fields | None = None) -> Reading:
    """How the predictions of the run in `directory` are read; `fields`: what the user says of it.

    Keeps it in the run, unless the user says where things stand. Raises StoreError when there is
    no run.
    """
    by_hand = fields is not None and fields.has_paths
    with RunReader(directory) as reader:
        kept = None if by_hand else reading_of(reader.reading())
        if kept is not None:
            return _said(kept, fields)
        samples = list(_samples(reader, fields if by_hand else None))
        counts = reader.counts()
        complete = reader.source_is_read and not counts.pending and not counts.submitted
    found = decide(samples)
    if not by_hand and samples and found.is_decided and (complete or len(samples) >= ENOUGH):
        keep_reading(directory, found.as_json())
    return _said(found, fields)


def _said(reading: Reading, fields: Fields | None) -> Reading:
    if fields is None:
        return reading
    return reading.said(fields.format, fields.relative, fields.numbers)


def _samples(reader: RunReader, fields: Fields | None) -> Iterator[Sample]:
    for result in reader.spread(SAMPLE):
        if not isinstance(result.prediction, str):
            yield sample(result.prediction, fields, partial(_size, result))


def _size(result: Result) -> tuple[float, float] | None:
    """Of the picture that a prediction is of, whichever way it is turned."""
    if result.path is None:
        return None
    try:
        seen = facts(result.path)
    except ConfigError:  # Pillow is not installed
        return None
    if not isinstance(seen, Facts):
        return None
    if seen.width == seen.stored[0]:
        return seen.width, seen.height
    longest = max(seen.width, seen.height)
    return longest, longest
