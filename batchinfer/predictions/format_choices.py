"""The prediction format of a run: what no prediction shows alone, decided once for all of them.

A `PredictionFormat` holds an answer to each question that came up: the order of four numbers, their
unit, and whether a number beside a name is a probability. Each answer says where it comes from: a
known format (`signatures`), evidence of many predictions (`evidence`), or the user. If from none of
them, it is the default, and `open` names the alternatives. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias, cast, get_args

from batchinfer.domain import Json
from batchinfer.predictions.box_formats import BOX_FORMAT_CANDIDATES, BOX_FORMAT_NAMES, BoxFormat
from batchinfer.predictions.coerce import is_list
from batchinfer.predictions.signatures import FORMAT_SIGNATURES

ChoiceBasis: TypeAlias = Literal["format", "evidence", "default", "said"]
CoordinateUnit: TypeAlias = Literal["pixels", "relative", "thousandths", "percent"]
"""Of coordinates; all but pixels are parts of the picture's width and height."""

UNIT_CANDIDATES: Final[Mapping[str, tuple[str, ...]]] = {
    "unit": ("pixels", "relative"),
    "box_2d": ("thousandths", "relative", "pixels"),
    "bbox_2d": ("pixels", "thousandths", "relative"),
}
"""What may be the answer to a question about the unit; the first, if nothing speaks against it."""
PROBABILITIES_QUESTION: Final = "probabilities"
"""The question whether numbers by name are probabilities of classes: `yes` or `no`."""
KIND_QUESTION: Final = "kind"
"""The question what a list of labels is, where some predictions say no place: `detections`,
`classes`."""
DEGREES_QUESTION: Final = "degrees"
"""The question whether positions of GeoJSON can be degrees: `yes` or `no`."""
_DEFAULT_CHOICES: Final[Mapping[str, str]] = {
    **{question: orders[0] for question, orders in BOX_FORMAT_CANDIDATES.items()},
    **{question: units[0] for question, units in UNIT_CANDIDATES.items()},
    PROBABILITIES_QUESTION: "no",
    KIND_QUESTION: "",
    DEGREES_QUESTION: "yes",
}
_PREDICTION_FORMAT_VERSION: Final = 1
_UNIT_PHRASES: Final[Mapping[str, str]] = {
    "pixels": "in pixels",
    "relative": "in fractions of the picture",
    "thousandths": "in thousandths of the picture",
    "percent": "in percent of the picture",
}
_QUESTION_PHRASES: Final = {
    "list": "four numbers in a list",
    "xywh": 'four numbers under "xywh"',
    "named": "x, y, width and height",
    **dict.fromkeys(UNIT_CANDIDATES, "the numbers of the boxes"),
}


@dataclass(frozen=True, slots=True)
class FormatChoice:
    """What a question was answered with, and why."""

    value: str
    basis: ChoiceBasis = "default"
    contradictions: Mapping[str, int] = field(default_factory=dict)
    """How many boxes contradict each of the possible answers."""
    sample_size: int = 0
    """How many boxes were asked."""
    alternatives: tuple[str, ...] = ()
    """The alternatives, if the question is open."""


@dataclass(frozen=True, slots=True)
class PredictionFormat:
    """The answers of one run."""

    choices: Mapping[str, FormatChoice] = field(default_factory=dict)
    """By question; one that never came up has none."""
    known_format: str | None = None
    """The name of the known format, as in `signatures`."""
    predictions: int = 0
    """How many predictions it was decided from."""

    def value_of(self, question: str) -> str:
        """The answer to a question; of one that never came up its default."""
        answer = self.choices.get(question)
        return _DEFAULT_CHOICES[question] if answer is None else answer.value

    def with_user_choices(
        self, box_format: str | None, relative: bool | None, numbers: str | None = None
    ) -> PredictionFormat:
        """The same, with what the user says."""
        answers = dict(self.choices)
        if box_format is not None:
            for question, orders in BOX_FORMAT_CANDIDATES.items():
                if question == "list" or box_format in orders:  # names of sides are no corners
                    answers[question] = FormatChoice(box_format, "said")
        if relative is not None:
            unit = "relative" if relative else "pixels"
            answers.update({question: FormatChoice(unit, "said") for question in UNIT_CANDIDATES})
        if numbers is not None:
            answers[PROBABILITIES_QUESTION] = FormatChoice(
                "yes" if numbers == "classes" else "no", "said"
            )
        return replace(self, choices=answers)

    @property
    def is_decided(self) -> bool:
        """Whether every question that came up has an answer that is no default."""
        return not any(answer.alternatives for answer in self.choices.values())

    def as_json(self) -> Json:
        """What a run keeps of it."""
        answers: dict[str, Json] = {
            question: {
                "is": answer.value,
                "how": answer.basis,
                "against": dict(answer.contradictions),
                "of": answer.sample_size,
                "open": list(answer.alternatives),
            }
            for question, answer in self.choices.items()
        }
        return {
            "version": _PREDICTION_FORMAT_VERSION,
            "format": self.known_format,
            "predictions": self.predictions,
            "answers": answers,
        }

    def describe(self) -> list[str]:
        """How the predictions are read, for people; empty when they say all of it themselves."""
        return [*self._describe_choices(), *self.describe_doubts()]

    def describe_for_export(self) -> list[str]:
        """The same, as far as an export has to say it: not that pixels are pixels."""
        plain = all(
            question == "unit" and answer.value == "pixels" and answer.basis != "said"
            for question, answer in self.choices.items()
        )
        return self.describe_doubts() if plain else self.describe()

    def describe_doubts(self) -> list[str]:
        """Open questions, and contradictions of what was decided, as sentences for people."""
        return [*self._describe_alternatives(), *self._describe_contradictions()]

    def _describe_choices(self) -> Iterator[str]:
        orders = [self.choices[name] for name in BOX_FORMAT_CANDIDATES if name in self.choices]
        units = [self.choices[name] for name in UNIT_CANDIDATES if name in self.choices]
        parts = [f"as {BOX_FORMAT_NAMES[answer.value]}" for answer in orders]
        parts += [_UNIT_PHRASES[answer.value] for answer in units]
        if parts:
            said = ", ".join(dict.fromkeys(parts))
            yield f"Boxes are read {said}{self._describe_basis(orders + units)}."
        elif self.known_format is not None:
            yield f"Predictions are read as {self.known_format} writes them."
        if (beyond := self.choices.get(DEGREES_QUESTION)) is not None and beyond.value == "no":
            count = _format_count(beyond.contradictions.get("yes", 0), "prediction")
            yield (
                f"GeoJSON: positions of {count} lie beyond 180 and 90 degrees: it is not in WGS 84."
            )
        if (shares := self.choices.get(PROBABILITIES_QUESTION)) is not None:
            what = "classes: they add up to 1" if shares.value == "yes" else "data, not as classes"
            if shares.basis == "said":
                what = "classes" if shares.value == "yes" else "data"
            yield (
                f"Numbers by name are read as {what} "
                f"({_format_count(self.predictions, 'prediction')})."
            )

    def _describe_basis(self, answers: Sequence[FormatChoice]) -> str:
        if any(answer.basis == "said" for answer in answers):
            return ", as you say"
        since = f"from {_format_count(self.predictions, 'prediction')}"
        return f" ({self.known_format}, {since})" if self.known_format else f" ({since})"

    def _describe_alternatives(self) -> Iterator[str]:
        for question, answer in self.choices.items():
            if not answer.alternatives or question not in _QUESTION_PHRASES:
                continue
            order = question in BOX_FORMAT_CANDIDATES
            texts = BOX_FORMAT_NAMES if order else _UNIT_PHRASES
            others = " or ".join(texts[value] for value in answer.alternatives)
            flag = "format" if order else "unit"
            yield (
                f"It cannot be told from {_format_count(answer.sample_size, 'box')} whether "
                f"{_QUESTION_PHRASES[question]} are {texts[answer.value]} or {others}: read as the "
                "first. If that is wrong (see the pictures in the report), say --map "
                f"{flag}={answer.alternatives[0]}."
            )

    def _describe_contradictions(self) -> Iterator[str]:
        for question, answer in self.choices.items():
            against = answer.contradictions.get(answer.value, 0)
            if against and answer.basis != "said" and question in _QUESTION_PHRASES:
                texts = BOX_FORMAT_NAMES if question in BOX_FORMAT_CANDIDATES else _UNIT_PHRASES
                yield (
                    f"{_format_count(against, 'box')} of {answer.sample_size:,} cannot be "
                    f"{texts[answer.value]}: look at the pictures in the report, and say --map "
                    "format=... or unit=... if the reading is wrong."
                )


def parse_prediction_format(stored: Json) -> PredictionFormat | None:
    """The format that a run stores; None: it stores none that this version understands."""
    if not isinstance(stored, Mapping) or stored.get("version") != _PREDICTION_FORMAT_VERSION:
        return None
    stored_choices, format_name, predictions = (
        stored.get(name) for name in ("answers", "format", "predictions")
    )
    if not isinstance(stored_choices, Mapping) or not isinstance(predictions, int):
        return None
    answers = {
        name: _parse_choice(name, each)
        for name, each in stored_choices.items()
        if name in _DEFAULT_CHOICES
    }
    if None in answers.values():
        return None
    return PredictionFormat(
        cast("Mapping[str, FormatChoice]", answers),
        format_name if isinstance(format_name, str) and format_name in FORMAT_SIGNATURES else None,
        predictions,
    )


def _parse_choice(question: str, stored: Json) -> FormatChoice | None:
    if not isinstance(stored, Mapping):
        return None
    value, how, of, others = (stored.get(name) for name in ("is", "how", "of", "open"))
    against = stored.get("against")
    if (
        not isinstance(value, str)
        or value not in _allowed_values(question)
        or how not in get_args(ChoiceBasis)
    ):
        return None
    counted = against if isinstance(against, Mapping) else {}
    return FormatChoice(
        value,
        cast("ChoiceBasis", how),
        {str(name): count for name, count in counted.items() if isinstance(count, int)},
        of if isinstance(of, int) else 0,
        tuple(each for each in others if each in _allowed_values(question))  # type: ignore[misc]
        if is_list(others)
        else (),
    )


def _allowed_values(question: str) -> Sequence[str]:
    if question in BOX_FORMAT_CANDIDATES:
        return get_args(BoxFormat)
    if question in UNIT_CANDIDATES:
        return get_args(CoordinateUnit)
    return (
        ("yes", "no")
        if question in {PROBABILITIES_QUESTION, DEGREES_QUESTION}
        else ("detections", "classes", "")
    )


def _format_count(count: int, what: str) -> str:
    plural = "boxes" if what == "box" else f"{what}s"
    return f"{count:,} {what if count == 1 else plural}"
