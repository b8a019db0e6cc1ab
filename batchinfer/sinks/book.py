"""A run as a sink reads it, and how it is to be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

from batchinfer.domain import Dossier, Result, RunInfo
from batchinfer.meaning import Fields, Meaning, Reading, read

FileNames: TypeAlias = Literal["path", "absolute", "key"]
FILE_NAMES: Final[tuple[FileNames, ...]] = ("path", "absolute", "key")
"""What `file_name` is: the path below a common folder, the whole path, or the item's key."""

_OUTPUTS: Final = "outputs"
"""Where in a run directory predictions lie that are bytes (docs/run-format.md)."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user may choose about an export."""

    fields: Fields | None = None
    """Where detections stand in a prediction, said by hand; None: told by its shape."""
    formulas: bool = False
    """Leave cells as they are that a spreadsheet would take for formulas."""
    boxes: Literal["upright", "stored"] = "upright"
    """What the model saw of a photograph that is stored turned (EXIF): it turned it upright, as
    OpenCV and YOLO do, or it took the pixels as they are stored, as Pillow does."""
    found_only: bool = False
    """Of flat rows only those of detections and classes."""
    file_names: FileNames = "path"
    csv_bom: bool = False
    """Begin a CSV with the mark by which Excel knows that it is UTF-8."""
    percent_scores: bool = False
    """The model's scores are percents: where a format wants 0 to 1, they are divided by 100."""


@dataclass(frozen=True, slots=True)
class Book:
    """The run an export is of; read as often as need be, one item after the other."""

    directory: Path
    info: RunInfo
    results: Callable[[], Iterator[Result]]
    """The chosen items, in input order. From the beginning at each call."""
    dossiers: Callable[[], Iterator[Dossier]]
    """The same items, with everything known of each; slower than `results`."""
    help: str | None = None
    """The model's help as the service answered it."""
    options: Options = field(default_factory=Options)
    scratch: Path | None = None
    """Where a sink may keep what it cannot write yet; None: where the system keeps such files."""
    notice: Callable[[str], None] = lambda _: None
    """Is told, in a sentence, what an export had no place for, and how predictions were read."""
    interpret: Callable[[], Reading] | None = None
    """Gives the run's reading, always the same; None: each prediction is read for itself."""

    def output(self, name: str) -> Path | None:
        """The file of a prediction that is bytes, if it is there.

        A database that was tampered with can name no file outside the run.
        """
        try:
            path = (self.directory / name).resolve(strict=True)
        except (OSError, ValueError):
            return None
        inside = path.is_relative_to((self.directory / _OUTPUTS).resolve())
        return path if inside and path.is_file() else None

    def meaning(self, result: Result) -> Meaning:
        """What its prediction means."""
        return read(result.prediction, result.media_type, self.options.fields, self.reading)

    @property
    def reading(self) -> Reading | None:
        """How all its predictions are read."""
        return None if self.interpret is None else self.interpret()
