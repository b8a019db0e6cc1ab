"""The reading of a run, decided from many of its predictions at once. Pure.

A format that is known answers what it documents. All else is decided by what contradicts: a box
whose right side would lie left of its left one, or that would reach far beyond the picture. An
answer that more than a few boxes contradict is none; where one is left, it is that one; where
several are left, it cannot be told, and is said. The order of the predictions does not matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, cast

from batchinfer.domain import Json
from batchinfer.meaning.drafts import NOTHING, Draft, Labels, Numbers, Things
from batchinfer.meaning.geography import is_beyond
from batchinfer.meaning.orders import CANDIDATES, Four, Order
from batchinfer.meaning.places import Place
from batchinfer.meaning.run_reading import DEGREES, KIND, PROBABILITIES, UNITS, Answer, Reading
from batchinfer.meaning.settling import are_fractions, coordinates, corners, is_box
from batchinfer.meaning.signatures import SIGNATURES, recognised
from batchinfer.meaning.words import Classes, Features

Size: TypeAlias = Callable[[], tuple[float, float] | None]
"""Width and height, in pixels, of the picture that a prediction is of; None: not known."""

MOST_BOXES: Final = 200
"""Boxes of one prediction that count."""
_FEW: Final = 0.02
"""Share of the boxes that may contradict what is true: models have flaws."""
_OUTSIDE: Final = 0.05
"""Share of a picture's side that a box may reach beyond it."""
_THOUSAND: Final = 1000
_MOSTLY: Final = 0.95
_Box: TypeAlias = tuple[Place, int]
"""A place, and in which of the predictions it stands."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One prediction as evidence."""

    draft: Draft | None
    prediction: Json
    size: Size | None = None
    known: frozenset[str] = field(init=False)
    """The formats whose marks it has."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", recognised(self.prediction))


@dataclass(slots=True)
class _Evidence:
    samples: Sequence[Sample]
    boxes: list[_Box]
    sizes: dict[int, tuple[float, float] | None] = field(default_factory=dict)

    def size(self, at: int) -> tuple[float, float] | None:
        """Of the picture of a prediction; asked once."""
        if at not in self.sizes:
            size = self.samples[at].size
            self.sizes[at] = None if size is None else size()
        return self.sizes[at]


def decide(samples: Iterable[Sample]) -> Reading:
    """The reading that these predictions, of one run, agree about best."""
    taken = list(samples)
    seen = _Evidence(taken, list(_boxes(taken)))
    answers: dict[str, Answer] = {}
    name = _format(taken)
    known = SIGNATURES[name].answers if name is not None else {}
    sure = name is not None and SIGNATURES[name].sure
    for question in UNITS:
        asked = [box for box in seen.boxes if box[0].scale == f"?{question}"]
        if asked:
            answer = _unit(question, asked, seen)
            answers[question] = _answered(answer, known.get(question), sure=sure)
    reading = Reading(answers)
    for question in CANDIDATES:
        asked = [box for box in seen.boxes if box[0].form == f"?{question}"]
        if asked:
            answer = _order(question, asked, reading, seen)
            if question in known:
                answer = _answered(answer, known[question], sure=sure)
            answers[question] = answer
    answers.update(_kinds(taken))
    return Reading(answers, name, len(taken))


def _format(samples: Sequence[Sample]) -> str | None:
    """The known format of most predictions that have one, the first in the table of equals."""
    counts = Counter(name for one in samples for name in one.known)
    most = max(counts.values(), default=0)
    return next((name for name in SIGNATURES if most and counts[name] == most), None)


def _answered(answer: Answer, known: str | None, *, sure: bool) -> Answer:
    """What a known format says; evidence wins where the format can be another one."""
    if known is None:
        return answer
    share = answer.against.get(known, 0) / max(answer.of, 1)
    if share > _FEW and (not sure or known == "xyxy") and answer.how == "evidence":
        return answer
    return Answer(known, "format", answer.against, answer.of)


def _boxes(samples: Sequence[Sample]) -> Iterator[_Box]:
    for at, one in enumerate(samples):
        if isinstance(one.draft, Things):
            for found in one.draft.found[:MOST_BOXES]:
                if found.place is not None and any(coordinates(found.place)):
                    yield found.place, at


def _unit(question: str, boxes: Sequence[_Box], seen: _Evidence) -> Answer:
    beyond = sum(not are_fractions(coordinates(place)) for place, _ in boxes)
    tiny = sum(
        are_fractions(coordinates(place)) and any(each % 1 for each in coordinates(place))
        for place, _ in boxes
    )
    against = {"relative": beyond, "pixels": tiny}
    if beyond / len(boxes) <= _FEW:
        return Answer("relative", "evidence", against, len(boxes))
    if question == "unit":
        return Answer("pixels", "evidence", against, len(boxes))
    far = sum(max(map(abs, coordinates(place))) > _THOUSAND for place, _ in boxes)
    against["thousandths"] = far
    if far / len(boxes) > _FEW:
        return Answer("pixels", "evidence", against, len(boxes))
    if question == "box_2d":
        return Answer("thousandths", "evidence", against, len(boxes))
    outside = sum(_is_outside(place, seen.size(at)) for place, at in boxes)
    against["pixels"] = outside + tiny
    if outside / len(boxes) > _FEW:
        return Answer("thousandths", "evidence", against, len(boxes))
    return Answer("pixels", "default", against, len(boxes), ("thousandths",))


def _is_outside(place: Place, size: tuple[float, float] | None) -> bool:
    """Whether a box in pixels would reach beyond the picture."""
    if size is None or place.four is None:
        return False
    return not _fits(place.four, size)


def _order(question: str, boxes: Sequence[_Box], reading: Reading, seen: _Evidence) -> Answer:
    orders = CANDIDATES[question]
    against = _against(orders, boxes, reading, None)
    left = _left(against, len(boxes))
    if len(left) > 1:  # only now the pictures are looked at
        sized = _against(orders, boxes, reading, seen)
        # Boxes measured in another picture than ours contradict everything.
        if _left(sized, len(boxes)):
            against, left = sized, _left(sized, len(boxes))
    if len(left) == 1:
        return Answer(left[0], "evidence", against, len(boxes))
    if not left:
        least = min(orders, key=lambda order: against[order])
        others = tuple(order for order in orders if against[order] <= against[least] * 2)
        return Answer(
            least, "evidence", against, len(boxes), tuple(each for each in others if each != least)
        )
    return Answer(left[0], "default", against, len(boxes), tuple(left[1:]))


def _left(against: Mapping[str, int], of: int) -> list[str]:
    return [order for order, count in against.items() if count / of <= _FEW]


def _against(
    orders: Sequence[Order], boxes: Sequence[_Box], reading: Reading, seen: _Evidence | None
) -> dict[str, int]:
    """How many boxes contradict each order; `seen`: look at the sizes of the pictures, too."""
    counts = dict.fromkeys(cast("Sequence[str]", orders), 0)
    for place, at in boxes:
        if place.four is None:
            continue
        size = _span(place, reading)
        if size is None and seen is not None:
            size = seen.size(at)
        for order in orders:
            counts[order] += not _can_be(place.four, order, size)
    return counts


def _span(place: Place, reading: Reading) -> tuple[float, float] | None:
    """The picture's size in the unit of a box, where that says it."""
    scale = place.scale
    unit = reading.of(scale[1:]) if scale.startswith("?") else scale
    return {"relative": (1.0, 1.0), "thousandths": (1000.0, 1000.0), "percent": (100.0, 100.0)}.get(
        unit
    )


def _can_be(four: Four, order: Order, size: tuple[float, float] | None) -> bool:
    sides = corners(four, order)
    if sides is None or not is_box(sides):
        return False
    if order == "cxcywh" and (four[0] < 0.4 * four[2] or four[1] < 0.4 * four[3]):
        return False  # a tenth of it would stand before the picture
    return size is None or _fits(sides, size)


def _fits(sides: Four, size: tuple[float, float]) -> bool:
    left, top, right, bottom = sides
    width, height = size
    return (
        -_OUTSIDE * width <= left
        and -_OUTSIDE * height <= top
        and right <= (1 + _OUTSIDE) * width
        and bottom <= (1 + _OUTSIDE) * height
    )


def _kinds(samples: Sequence[Sample]) -> Iterator[tuple[str, Answer]]:
    drafts = [one.draft for one in samples if one.draft is not None and one.draft != NOTHING]
    shares = [draft.is_distribution for draft in drafts if isinstance(draft, Numbers)]
    if shares:
        yes = sum(shares)
        value = "yes" if yes / len(shares) >= _MOSTLY else "no"
        against = {"yes": len(shares) - yes, "no": yes}
        yield PROBABILITIES, Answer(value, "evidence", against, len(shares))
    maps = [draft for draft in drafts if isinstance(draft, Features)]
    if beyond := sum(map(is_beyond, maps)):
        value = "no" if beyond / len(maps) > _FEW else "yes"
        yield DEGREES, Answer(value, "evidence", {"yes": beyond}, len(maps))
    placed = sum(isinstance(draft, Things) for draft in drafts)
    listed = sum(isinstance(draft, Labels) for draft in drafts)
    classed = sum(isinstance(draft, Labels | Classes) for draft in drafts)
    if listed and placed:
        value = "detections" if placed / (placed + listed) > _FEW else "classes"
        against = {"detections": listed, "classes": placed}
        yield KIND, Answer(value, "evidence", against, placed + listed)
    elif classed and not placed and any(one.draft == NOTHING for one in samples):
        yield KIND, Answer("classes", "evidence", {}, classed)
