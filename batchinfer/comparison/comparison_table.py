"""The comparison as a table: a row for each key of either run, in the order of the keys."""

from __future__ import annotations

import csv
import io
from typing import Any, BinaryIO, Final

from batchinfer.artifacts import COMPARISON_COLUMNS
from batchinfer.comparison.item_differences import ItemDifference
from batchinfer.domain import ResultDetails
from batchinfer.exports.safe_text import escape_formula
from batchinfer.text_format import escape_undecodable

_MAX_CELL_LABELS: Final = 20


class ComparisonTable:
    """Writes the rows as CSV (RFC 4180, UTF-8)."""

    def __init__(self, file: BinaryIO) -> None:
        self._text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        self._writer = csv.writer(self._text)
        self._writer.writerow(COMPARISON_COLUMNS)

    def write(self, difference: ItemDifference) -> None:
        """Write the row of an item."""
        pair, matches = difference.pair, difference.matches
        row = [
            pair.key,
            difference.change.value,
            " ".join(aspect.value for aspect in difference.aspects),
            _number(difference.amount if difference.aspects else None),
            {True: "true", False: "false", None: ""}[difference.is_input_changed],
            *_outcome_cells(pair.a),
            *_outcome_cells(pair.b),
            None if matches is None else len(matches.matches),
            None if matches is None else len(matches.only_first),
            None if matches is None else len(matches.only_second),
            _list_label_changes(difference),
            _number(difference.mean_overlap),
            _number(min(difference.overlaps, default=None)),
            _number(difference.largest_shift),
        ]
        self._writer.writerow(
            [
                escape_formula(escape_undecodable(cell)) if isinstance(cell, str) else cell
                for cell in row
            ]
        )

    def close(self) -> None:
        """Leave the file, which stays open."""
        self._text.flush()
        self._text.detach()


def _outcome_cells(details: ResultDetails | None) -> tuple[Any, Any]:
    return (None, None) if details is None else (details.result.state.value, details.result.code)


def _list_label_changes(difference: ItemDifference) -> str:
    changes = difference.label_changes
    listed = [f"{label} -> {other}" for label, other in changes[:_MAX_CELL_LABELS]]
    return "; ".join([*listed, *(["..."] if len(changes) > _MAX_CELL_LABELS else [])])


def _number(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
