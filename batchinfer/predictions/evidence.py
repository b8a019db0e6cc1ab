"""The prediction format of a run, decided from many of its predictions at once. Pure.

A known format answers what its documentation says. Everything else is decided by contradictions: a
box whose right side would be left of its left one, or that would reach far beyond the image. An
answer that more than a few boxes contradict is excluded; if one is left, it is chosen; if several
are left, the question stays open, which is reported. The order of the predictions does not matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, cast

from batchinfer.domain import Json
from batchinfer.predictions.box_formats import BOX_FORMAT_CANDIDATES, BoxFormat, FourNumbers
from batchinfer.predictions.box_geometry import (
    are_fractions,
    is_valid_box,
    location_coordinates,
    to_corners,
)
from batchinfer.predictions.draft_locations import DraftLocation
from batchinfer.predictions.drafts import (
    NO_DETECTIONS,
    DraftDetections,
    DraftLabels,
    DraftNumbers,
    DraftPrediction,
)
from batchinfer.predictions.format_choices import (
    DEGREES_QUESTION,
    KIND_QUESTION,
    PROBABILITIES_QUESTION,
    UNIT_CANDIDATES,
    FormatChoice,
    PredictionFormat,
)
from batchinfer.predictions.geojson_features import is_beyond_degrees
from batchinfer.predictions.prediction_types import Classification, FeatureCollection
from batchinfer.predictions.signatures import FORMAT_SIGNATURES, matching_formats

GetImageSize: TypeAlias = Callable[[], tuple[float, float] | None]
"""Width and height, in pixels, of the picture that a prediction is of; None: not known."""

MAX_BOXES_PER_PREDICTION: Final = 200
"""Boxes of one prediction that count."""
_MAX_CONTRADICTING_SHARE: Final = 0.02
"""Share of the boxes that may contradict what is true: models have flaws."""
_MAX_OVERSHOOT: Final = 0.05
"""Share of a picture's side that a box may reach beyond it."""
_THOUSANDTHS_MAX: Final = 1000
_MIN_DISTRIBUTION_SHARE: Final = 0.95
_SampledBox: TypeAlias = tuple[DraftLocation, int]
"""A place, and in which of the predictions it stands."""


@dataclass(frozen=True, slots=True)
class PredictionEvidence:
    """One prediction as evidence."""

    draft: DraftPrediction | None
    prediction: Json
    image_size: GetImageSize | None = None
    matching_formats: frozenset[str] = field(init=False)
    """The formats whose marks it has."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "matching_formats", matching_formats(self.prediction))


@dataclass(slots=True)
class _RunEvidence:
    samples: Sequence[PredictionEvidence]
    boxes: list[_SampledBox]
    image_sizes: dict[int, tuple[float, float] | None] = field(default_factory=dict)

    def image_size(self, index: int) -> tuple[float, float] | None:
        """Of the picture of a prediction; asked once."""
        if index not in self.image_sizes:
            size = self.samples[index].image_size
            self.image_sizes[index] = None if size is None else size()
        return self.image_sizes[index]


def decide_prediction_format(samples: Iterable[PredictionEvidence]) -> PredictionFormat:
    """The format that contradicts these predictions of one run least."""
    sample_list = list(samples)
    evidence = _RunEvidence(sample_list, list(_iter_boxes(sample_list)))
    choices: dict[str, FormatChoice] = {}
    name = _most_common_format(sample_list)
    format_choices = FORMAT_SIGNATURES[name].choices if name is not None else {}
    sure = name is not None and FORMAT_SIGNATURES[name].is_certain
    for question in UNIT_CANDIDATES:
        boxes = [box for box in evidence.boxes if box[0].unit == f"?{question}"]
        if boxes:
            choice = _decide_unit(question, boxes, evidence)
            choices[question] = _apply_format(choice, format_choices.get(question), sure=sure)
    prediction_format = PredictionFormat(choices)
    for question in BOX_FORMAT_CANDIDATES:
        boxes = [box for box in evidence.boxes if box[0].box_format == f"?{question}"]
        if boxes:
            choice = _decide_box_format(question, boxes, prediction_format, evidence)
            if question in format_choices:
                choice = _apply_format(choice, format_choices[question], sure=sure)
            choices[question] = choice
    choices.update(_decide_kinds(sample_list))
    return PredictionFormat(choices, name, len(sample_list))


def _most_common_format(samples: Sequence[PredictionEvidence]) -> str | None:
    """The known format of most predictions that have one, the first in the table of equals."""
    counts = Counter(name for one in samples for name in one.matching_formats)
    most = max(counts.values(), default=0)
    return next((name for name in FORMAT_SIGNATURES if most and counts[name] == most), None)


def _apply_format(choice: FormatChoice, format_value: str | None, *, sure: bool) -> FormatChoice:
    """What a known format says; evidence wins where the format can be another one."""
    if format_value is None:
        return choice
    share = choice.contradictions.get(format_value, 0) / max(choice.sample_size, 1)
    if (
        share > _MAX_CONTRADICTING_SHARE
        and (not sure or format_value == "xyxy")
        and choice.basis == "evidence"
    ):
        return choice
    return FormatChoice(format_value, "format", choice.contradictions, choice.sample_size)


def _iter_boxes(samples: Sequence[PredictionEvidence]) -> Iterator[_SampledBox]:
    for index, one in enumerate(samples):
        if isinstance(one.draft, DraftDetections):
            for found in one.draft.detections[:MAX_BOXES_PER_PREDICTION]:
                if found.location is not None and any(location_coordinates(found.location)):
                    yield found.location, index


def _decide_unit(
    question: str, boxes: Sequence[_SampledBox], evidence: _RunEvidence
) -> FormatChoice:
    beyond = sum(not are_fractions(location_coordinates(place)) for place, _ in boxes)
    tiny = sum(
        are_fractions(location_coordinates(place))
        and any(each % 1 for each in location_coordinates(place))
        for place, _ in boxes
    )
    against = {"relative": beyond, "pixels": tiny}
    if beyond / len(boxes) <= _MAX_CONTRADICTING_SHARE:
        return FormatChoice("relative", "evidence", against, len(boxes))
    if question == "unit":
        return FormatChoice("pixels", "evidence", against, len(boxes))
    far = sum(max(map(abs, location_coordinates(place))) > _THOUSANDTHS_MAX for place, _ in boxes)
    against["thousandths"] = far
    if far / len(boxes) > _MAX_CONTRADICTING_SHARE:
        return FormatChoice("pixels", "evidence", against, len(boxes))
    if question == "box_2d":
        return FormatChoice("thousandths", "evidence", against, len(boxes))
    outside = sum(_is_outside_image(place, evidence.image_size(at)) for place, at in boxes)
    against["pixels"] = outside + tiny
    if outside / len(boxes) > _MAX_CONTRADICTING_SHARE:
        return FormatChoice("thousandths", "evidence", against, len(boxes))
    return FormatChoice("pixels", "default", against, len(boxes), ("thousandths",))


def _is_outside_image(location: DraftLocation, size: tuple[float, float] | None) -> bool:
    """Whether a box in pixels would reach beyond the picture."""
    if size is None or location.four_numbers is None:
        return False
    return not _fits_image(location.four_numbers, size)


def _decide_box_format(
    question: str,
    boxes: Sequence[_SampledBox],
    prediction_format: PredictionFormat,
    evidence: _RunEvidence,
) -> FormatChoice:
    box_formats = BOX_FORMAT_CANDIDATES[question]
    against = _count_contradictions(box_formats, boxes, prediction_format, None)
    remaining = _remaining_candidates(against, len(boxes))
    if len(remaining) > 1:  # only now the pictures are looked at
        sized = _count_contradictions(box_formats, boxes, prediction_format, evidence)
        # Boxes measured in another picture than ours contradict everything.
        if _remaining_candidates(sized, len(boxes)):
            against, remaining = sized, _remaining_candidates(sized, len(boxes))
    if len(remaining) == 1:
        return FormatChoice(remaining[0], "evidence", against, len(boxes))
    if not remaining:
        least = min(box_formats, key=lambda order: against[order])
        others = tuple(order for order in box_formats if against[order] <= against[least] * 2)
        return FormatChoice(
            least, "evidence", against, len(boxes), tuple(each for each in others if each != least)
        )
    return FormatChoice(remaining[0], "default", against, len(boxes), tuple(remaining[1:]))


def _remaining_candidates(against: Mapping[str, int], total: int) -> list[str]:
    return [order for order, count in against.items() if count / total <= _MAX_CONTRADICTING_SHARE]


def _count_contradictions(
    box_formats: Sequence[BoxFormat],
    boxes: Sequence[_SampledBox],
    prediction_format: PredictionFormat,
    evidence: _RunEvidence | None,
) -> dict[str, int]:
    """How many boxes contradict each order; `seen`: look at the sizes of the pictures, too."""
    counts = dict.fromkeys(cast("Sequence[str]", box_formats), 0)
    for location, index in boxes:
        if location.four_numbers is None:
            continue
        size = _image_span(location, prediction_format)
        if size is None and evidence is not None:
            size = evidence.image_size(index)
        for order in box_formats:
            counts[order] += not _is_plausible(location.four_numbers, order, size)
    return counts


def _image_span(
    location: DraftLocation, prediction_format: PredictionFormat
) -> tuple[float, float] | None:
    """The picture's size in the unit of a box, where that says it."""
    scale = location.unit
    unit = prediction_format.value_of(scale[1:]) if scale.startswith("?") else scale
    return {"relative": (1.0, 1.0), "thousandths": (1000.0, 1000.0), "percent": (100.0, 100.0)}.get(
        unit
    )


def _is_plausible(
    four: FourNumbers, box_format: BoxFormat, size: tuple[float, float] | None
) -> bool:
    sides = to_corners(four, box_format)
    if sides is None or not is_valid_box(sides):
        return False
    if box_format == "cxcywh" and (four[0] < 0.4 * four[2] or four[1] < 0.4 * four[3]):
        return False  # a tenth of it would stand before the picture
    return size is None or _fits_image(sides, size)


def _fits_image(sides: FourNumbers, size: tuple[float, float]) -> bool:
    left, top, right, bottom = sides
    width, height = size
    return (
        -_MAX_OVERSHOOT * width <= left
        and -_MAX_OVERSHOOT * height <= top
        and right <= (1 + _MAX_OVERSHOOT) * width
        and bottom <= (1 + _MAX_OVERSHOOT) * height
    )


def _decide_kinds(samples: Sequence[PredictionEvidence]) -> Iterator[tuple[str, FormatChoice]]:
    drafts = [one.draft for one in samples if one.draft is not None and one.draft != NO_DETECTIONS]
    shares = [draft.is_distribution for draft in drafts if isinstance(draft, DraftNumbers)]
    if shares:
        yes = sum(shares)
        value = "yes" if yes / len(shares) >= _MIN_DISTRIBUTION_SHARE else "no"
        against = {"yes": len(shares) - yes, "no": yes}
        yield PROBABILITIES_QUESTION, FormatChoice(value, "evidence", against, len(shares))
    maps = [draft for draft in drafts if isinstance(draft, FeatureCollection)]
    if beyond := sum(map(is_beyond_degrees, maps)):
        value = "no" if beyond / len(maps) > _MAX_CONTRADICTING_SHARE else "yes"
        yield DEGREES_QUESTION, FormatChoice(value, "evidence", {"yes": beyond}, len(maps))
    placed = sum(isinstance(draft, DraftDetections) for draft in drafts)
    listed = sum(isinstance(draft, DraftLabels) for draft in drafts)
    classed = sum(isinstance(draft, DraftLabels | Classification) for draft in drafts)
    if listed and placed:
        value = "detections" if placed / (placed + listed) > _MAX_CONTRADICTING_SHARE else "classes"
        against = {"detections": listed, "classes": placed}
        yield KIND_QUESTION, FormatChoice(value, "evidence", against, placed + listed)
    elif classed and not placed and any(one.draft == NO_DETECTIONS for one in samples):
        yield KIND_QUESTION, FormatChoice("classes", "evidence", {}, classed)
