"""A run as a sink reads it, and how it is to be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias
from zlib import crc32

from batchinfer.domain import Json, Result, ResultDetails, RunInfo
from batchinfer.predictions import FieldMap, Interpretation, PredictionFormat, interpret

FileNameStyle: TypeAlias = Literal["path", "absolute", "key"]
FILE_NAME_STYLES: Final[tuple[FileNameStyle, ...]] = ("path", "absolute", "key")
"""What `payload_file_name` is: the path below a common folder, the whole path, or the item's
key.
"""

_OUTPUTS_FOLDER: Final = "outputs"
"""Where in a run directory predictions lie that are bytes (docs/reference/run-format.md)."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What the user may choose about an export."""

    fields: FieldMap | None = None
    """Where detections stand in a prediction, said by hand; None: told by its shape."""
    formulas: bool = False
    """Leave cells as they are that a spreadsheet would take for formulas."""
    boxes: Literal["upright", "stored"] = "upright"
    """What the model saw of a photograph that is stored turned (EXIF): it turned it upright, as
    OpenCV and YOLO do, or it took the pixels as they are stored, as Pillow does."""
    found_only: bool = False
    """Of flat rows only those of detections and classes."""
    file_names: FileNameStyle = "path"
    csv_bom: bool = False
    """Begin a CSV with the mark by which Excel knows that it is UTF-8."""
    percent_scores: bool = False
    """The model's scores are percents: where a format wants 0 to 1, they are divided by 100."""


@dataclass(frozen=True, slots=True)
class ExportSource:
    """The run an export is of; read as often as need be, one item after the other."""

    run_directory: Path
    info: RunInfo
    iter_results: Callable[[], Iterator[Result]]
    """The chosen items, in input order. From the beginning at each call."""
    iter_details: Callable[[], Iterator[ResultDetails]]
    """The same items, with everything known of each; slower than `results`."""
    session_params: Mapping[int, Mapping[str, Json]] = field(default_factory=dict)
    """What sessions sent that sent other parameters than the run's, by `ResultDetails.session`."""
    model_help: str | None = None
    """The model's help as the service answered it."""
    options: ExportOptions = field(default_factory=ExportOptions)
    scratch_folder: Path | None = None
    """Where a sink may keep what it cannot write yet; None: where the system keeps such files."""
    on_notice: Callable[[str], None] = lambda _: None
    """Is told, in a sentence, what an export had no place for, and how predictions were read."""
    load_conventions: Callable[[], PredictionFormat] | None = None
    """Gives the run's reading, always the same; None: each prediction is read for itself."""
    on_damaged: Callable[[str], None] = lambda _: None
    """Is told the name of an output whose bytes are not those that were recorded."""

    def find_output(self, name: str, checksum: int | None = None) -> Path | None:
        """The file of a prediction that is bytes, if it is there, and whole.

        `checksum`: of the dossier; None: not known. A database that was tampered with can name no
        file outside the run.
        """
        try:
            path = (self.run_directory / name).resolve(strict=True)
        except (OSError, ValueError):
            return None
        is_inside = path.is_relative_to((self.run_directory / _OUTPUTS_FOLDER).resolve())
        if not is_inside or not path.is_file():
            return None
        if checksum is not None and _compute_crc32(path) != checksum:
            self.on_damaged(name)
            return None
        return path

    def interpret_result(self, result: Result) -> Interpretation:
        """What its prediction means."""
        return interpret(
            result.prediction, result.media_type, self.options.fields, self.conventions
        )

    @property
    def conventions(self) -> PredictionFormat | None:
        """How all its predictions are read."""
        return None if self.load_conventions is None else self.load_conventions()


def _compute_crc32(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            checksum = crc32(chunk, checksum)
    return checksum
