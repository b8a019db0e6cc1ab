"""Scores for formats that know only 0 to 1: Label Studio refuses others, FiftyOne misreads them.

Before anything is written, the scores of all items are checked, never those of one: beside an 87.5
a 0.5 is half a percent. Nothing is guessed: if a score is out of range, all are left out and
reported, unless the user says that scores are percents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from batchinfer.domain import Result, State
from batchinfer.exports.export_source import ExportSource
from batchinfer.exports.omissions import ExportOmissions
from batchinfer.predictions import Classification, Detections

_ROUNDING_TOLERANCE: Final = 1e-3
"""How far beyond 0 and 1 half-precision numbers may be."""
_PERCENT_DIVISOR: Final = 100.0


@dataclass(frozen=True, slots=True)
class ScoreScale:
    """How the scores of a run are written."""

    divisor: float = 1.0
    unfit_score: str = ""
    """A score of the run that is out of range, as text: then none is written."""

    def to_unit_interval(
        self, score: float | None, key: str, omissions: ExportOmissions
    ) -> float | None:
        """The score from 0 to 1; None when there is none, or it has to be left out."""
        if score is None:
            return None
        if self.unfit_score:
            reason = "as not all scores of the run are from 0 to 1; if they are percents,"
            omissions.add("score", f"{reason} add --percent-scores", key, detail=f"{score:g}")
            return None
        return min(1.0, max(0.0, score / self.divisor))


def find_score_scale(source: ExportSource, *, percent_scores: bool) -> ScoreScale:
    """Read the scores of all items."""
    divisor = _PERCENT_DIVISOR if percent_scores else 1.0
    for result in source.iter_results():
        for score in _iter_scores(source, result):
            if (
                not -_ROUNDING_TOLERANCE <= score / divisor <= 1 + _ROUNDING_TOLERANCE
            ):  # also what is no number
                return ScoreScale(divisor, f"{score:g}")
    return ScoreScale(divisor)


def _iter_scores(source: ExportSource, result: Result) -> Iterator[float]:
    if result.state is not State.SUCCEEDED:
        return
    match source.interpret_result(result):
        case Detections(detections=detections):
            yield from (each.score for each in detections if each.score is not None)
        case Classification(classes=classes):
            yield from (each.score for each in classes if each.score is not None)
        case _:
            pass
