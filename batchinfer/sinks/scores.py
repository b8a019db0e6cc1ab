"""Scores for formats that know only 0 to 1: Label Studio refuses others, FiftyOne misreads them.

Whether the scores of a run are such is asked of the whole run before anything is written, never of
one item: beside an 87.5 a 0.5 is half a percent. Nothing is guessed: what does not fit is left out
and told, unless it is said by hand that scores are percents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from batchinfer.domain import Result, State
from batchinfer.meaning import Classes, Detections
from batchinfer.sinks.book import Book
from batchinfer.sinks.left_out import LeftOut

_ROUNDED: Final = 1e-3
"""So far beyond 0 and 1 are what half-precision numbers make of them."""
_PERCENT: Final = 100.0


@dataclass(frozen=True, slots=True)
class Scores:
    """What becomes of the scores of a run."""

    divisor: float = 1.0
    misfit: str = ""
    """A score of the run that does not fit, as text: then none is written."""

    def of(self, score: float | None, key: str, left_out: LeftOut) -> float | None:
        """The score from 0 to 1; None when there is none, or it has to be left out."""
        if score is None:
            return None
        if self.misfit:
            why = "as not all scores of the run are from 0 to 1; if they are percents,"
            left_out.add("score", f"{why} add --percent-scores", key, because=f"{score:g}")
            return None
        return min(1.0, max(0.0, score / self.divisor))


def scores_of(book: Book) -> Scores:
    """Look through the scores of the run."""
    divisor = _PERCENT if book.options.percent_scores else 1.0
    for result in book.results():
        for score in _scores(book, result):
            if not -_ROUNDED <= score / divisor <= 1 + _ROUNDED:  # also what is no number
                return Scores(divisor, f"{score:g}")
    return Scores(divisor)


def _scores(book: Book, result: Result) -> Iterator[float]:
    if result.state is not State.SUCCEEDED:
        return
    match book.meaning(result):
        case Detections(found=detections):
            yield from (each.score for each in detections if each.score is not None)
        case Classes(found=classes):
            yield from (each.score for each in classes if each.score is not None)
        case _:
            pass
