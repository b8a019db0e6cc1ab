"""How the predictions of one run are read: what no prediction says alone, decided once for all.

A `Reading` holds an answer to each question that came up: in which order four numbers stand, in
which unit, and whether a number beside a name is a probability. An answer says how it was found: by
a format that is known (`signatures`), by evidence of many predictions (`evidence`), by the user, or
not at all; then it is the default, and `open` names what it may be as well. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias, cast, get_args

from batchinfer.domain import Json
from batchinfer.meaning.orders import CANDIDATES, SPELLED_OUT, Order
from batchinfer.meaning.signatures import SIGNATURES
from batchinfer.meaning.values import is_list

How: TypeAlias = Literal["format", "evidence", "default", "said"]
Unit: TypeAlias = Literal["pixels", "relative", "thousandths", "percent"]
"""Of coordinates; all but pixels are parts of the picture's width and height."""

UNITS: Final[Mapping[str, tuple[str, ...]]] = {
    "unit": ("pixels", "relative"),
    "box_2d": ("thousandths", "relative", "pixels"),
    "bbox_2d": ("pixels", "thousandths", "relative"),
}
"""What may be the answer to a question about the unit; the first, if nothing speaks against it."""
PROBABILITIES: Final = "probabilities"
"""The question whether numbers by name are probabilities of classes: `yes` or `no`."""
KIND: Final = "kind"
"""The question what a list of labels is, where some predictions say no place: `detections`,
`classes`."""
DEGREES: Final = "degrees"
"""The question whether positions of GeoJSON can be degrees: `yes` or `no`."""
_DEFAULTS: Final[Mapping[str, str]] = {
    **{question: orders[0] for question, orders in CANDIDATES.items()},
    **{question: units[0] for question, units in UNITS.items()},
    PROBABILITIES: "no",
    KIND: "",
    DEGREES: "yes",
}
_VERSION: Final = 1
_IN_UNITS: Final[Mapping[str, str]] = {
    "pixels": "in pixels",
    "relative": "in fractions of the picture",
    "thousandths": "in thousandths of the picture",
    "percent": "in percent of the picture",
}
_NAMED: Final = {
    "list": "four numbers in a list",
    "xywh": 'four numbers under "xywh"',
    "named": "x, y, width and height",
    **dict.fromkeys(UNITS, "the numbers of the boxes"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question was answered with, and why."""

    value: str
    how: How = "default"
    against: Mapping[str, int] = field(default_factory=dict)
    """How many boxes contradict each of the possible answers."""
    of: int = 0
    """How many boxes were asked."""
    open: tuple[str, ...] = ()
    """What it may be as well: it cannot be told."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The answers of one run."""

    answers: Mapping[str, Answer] = field(default_factory=dict)
    """By question; one that never came up has none."""
    format: str | None = None
    """The name of the known format, as in `signatures`."""
    predictions: int = 0
    """How many predictions it was decided from."""

    def of(self, question: str) -> str:
        """The answer to a question; of one that never came up its default."""
        answer = self.answers.get(question)
        return _DEFAULTS[question] if answer is None else answer.value

    def said(self, order: str | None, relative: bool | None, numbers: str | None = None) -> Reading:
        """The same, with what the user says."""
        answers = dict(self.answers)
        if order is not None:
            for question, orders in CANDIDATES.items():
                if question == "list" or order in orders:  # names of sides are no corners
                    answers[question] = Answer(order, "said")
        if relative is not None:
            unit = "relative" if relative else "pixels"
            answers.update({question: Answer(unit, "said") for question in UNITS})
        if numbers is not None:
            answers[PROBABILITIES] = Answer("yes" if numbers == "classes" else "no", "said")
        return replace(self, answers=answers)

    @property
    def is_decided(self) -> bool:
        """Whether every question that came up has an answer that is no default."""
        return not any(answer.open for answer in self.answers.values())

    def as_json(self) -> Json:
        """What a run keeps of it."""
        answers: dict[str, Json] = {
            question: {
                "is": answer.value,
                "how": answer.how,
                "against": dict(answer.against),
                "of": answer.of,
                "open": list(answer.open),
            }
            for question, answer in self.answers.items()
        }
        return {
            "version": _VERSION,
            "format": self.format,
            "predictions": self.predictions,
            "answers": answers,
        }

    def sentences(self) -> list[str]:
        """How the predictions are read, for people; empty when they say all of it themselves."""
        return [*self._told(), *self.doubts()]

    def notices(self) -> list[str]:
        """The same, as far as an export has to say it: not that pixels are pixels."""
        plain = all(
            question == "unit" and answer.value == "pixels" and answer.how != "said"
            for question, answer in self.answers.items()
        )
        return self.doubts() if plain else self.sentences()

    def doubts(self) -> list[str]:
        """What cannot be told, and what speaks against what was decided, for people."""
        return [*self._open(), *self._contradicted()]

    def _told(self) -> Iterator[str]:
        orders = [self.answers[name] for name in CANDIDATES if name in self.answers]
        units = [self.answers[name] for name in UNITS if name in self.answers]
        parts = [f"as {SPELLED_OUT[answer.value]}" for answer in orders]
        parts += [_IN_UNITS[answer.value] for answer in units]
        if parts:
            said = ", ".join(dict.fromkeys(parts))
            yield f"Boxes are read {said}{self._why(orders + units)}."
        elif self.format is not None:
            yield f"Predictions are read as {self.format} writes them."
        if (beyond := self.answers.get(DEGREES)) is not None and beyond.value == "no":
            count = _count(beyond.against.get("yes", 0), "prediction")
            yield (
                f"GeoJSON: positions of {count} lie beyond 180 and 90 degrees: it is not in WGS 84."
            )
        if (shares := self.answers.get(PROBABILITIES)) is not None:
            what = "classes: they add up to 1" if shares.value == "yes" else "data, not as classes"
            if shares.how == "said":
                what = "classes" if shares.value == "yes" else "data"
            yield f"Numbers by name are read as {what} ({_count(self.predictions, 'prediction')})."

    def _why(self, answers: Sequence[Answer]) -> str:
        if any(answer.how == "said" for answer in answers):
            return ", as you say"
        since = f"from {_count(self.predictions, 'prediction')}"
        return f" ({self.format}, {since})" if self.format else f" ({since})"

    def _open(self) -> Iterator[str]:
        for question, answer in self.answers.items():
            if not answer.open or question not in _NAMED:
                continue
            order = question in CANDIDATES
            texts = SPELLED_OUT if order else _IN_UNITS
            others = " or ".join(texts[value] for value in answer.open)
            flag = "format" if order else "unit"
            yield (
                f"It cannot be told from {_count(answer.of, 'box')} whether {_NAMED[question]} are"
                f" {texts[answer.value]} or {others}: read as the first. If that is wrong (see the"
                f" pictures in the report), say --map {flag}={answer.open[0]}."
            )

    def _contradicted(self) -> Iterator[str]:
        for question, answer in self.answers.items():
            against = answer.against.get(answer.value, 0)
            if against and answer.how != "said" and question in _NAMED:
                texts = SPELLED_OUT if question in CANDIDATES else _IN_UNITS
                yield (
                    f"{_count(against, 'box')} of {answer.of:,} cannot be"
                    f" {texts[answer.value]}: look at the pictures in the report, and say --map"
                    " format=... or unit=... if the reading is wrong."
                )


def reading_of(kept: Json) -> Reading | None:
    """The reading that a run keeps; None: it keeps none that this version understands."""
    if not isinstance(kept, Mapping) or kept.get("version") != _VERSION:
        return None
    told, known, predictions = (kept.get(name) for name in ("answers", "format", "predictions"))
    if not isinstance(told, Mapping) or not isinstance(predictions, int):
        return None
    answers = {name: _answer(name, each) for name, each in told.items() if name in _DEFAULTS}
    if None in answers.values():
        return None
    return Reading(
        cast("Mapping[str, Answer]", answers),
        known if isinstance(known, str) and known in SIGNATURES else None,
        predictions,
    )


def _answer(question: str, told: Json) -> Answer | None:
    if not isinstance(told, Mapping):
        return None
    value, how, of, others = (told.get(name) for name in ("is", "how", "of", "open"))
    against = told.get("against")
    if not isinstance(value, str) or value not in _possible(question) or how not in get_args(How):
        return None
    counted = against if isinstance(against, Mapping) else {}
    return Answer(
        value,
        cast("How", how),
        {str(name): count for name, count in counted.items() if isinstance(count, int)},
        of if isinstance(of, int) else 0,
        tuple(each for each in others if each in _possible(question)) if is_list(others) else (),  # type: ignore[misc]
    )


def _possible(question: str) -> Sequence[str]:
    if question in CANDIDATES:
        return get_args(Order)
    if question in UNITS:
        return get_args(Unit)
    return ("yes", "no") if question in {PROBABILITIES, DEGREES} else ("detections", "classes", "")


def _count(count: int, what: str) -> str:
    plural = "boxes" if what == "box" else f"{what}s"
    return f"{count:,} {what if count == 1 else plural}"
