"""What was found, before the reading of the run says what its numbers mean; and then."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from batchinfer.meaning.places import Place
from batchinfer.meaning.run_reading import DEGREES, KIND, PROBABILITIES, Reading
from batchinfer.meaning.settling import settled
from batchinfer.meaning.words import Classes, Data, Detection, Detections, Features, Output, Words


@dataclass(frozen=True, slots=True)
class Found:
    """A detection without its place, and the place; None: it says none."""

    detection: Detection
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Things:
    """Things with places; empty: nothing was found."""

    found: tuple[Found, ...] = ()


@dataclass(frozen=True, slots=True)
class Labels:
    """A list of labels without any place: classes, unless the run's other items say places."""

    classes: Classes


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers by name: classes, if the run's numbers look like probabilities."""

    classes: Classes
    is_distribution: bool
    """Whether these ones do: they add up to one, or to a hundred."""


Draft: TypeAlias = (
    Things | Labels | Numbers | Detections | Classes | Features | Words | Output | Data
)
NOTHING: Final = Things()


def settle(  # noqa: PLR0911 - one for each kind
    draft: Draft, reading: Reading
) -> Detections | Classes | Features | Words | Output | Data | None:
    """What a draft means; None: it is data."""
    match draft:
        case Things(found=()):
            return Classes(()) if reading.of(KIND) == "classes" else Detections(())
        case Things(found=found):
            return Detections(tuple(settled(one.detection, one.place, reading) for one in found))
        case Labels(classes=classes):
            if reading.of(KIND) == "detections":
                return Detections(tuple(Detection(one.label, one.score) for one in classes.found))
            return classes
        case Numbers(classes=classes):
            return classes if reading.of(PROBABILITIES) == "yes" else None
        case Features() if reading.of(DEGREES) == "no":
            return replace(draft, in_degrees=False)
        case _:
            return draft
