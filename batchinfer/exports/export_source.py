"""What an export reads: the run, as a value with functions that read it, and the options chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from batchinfer.domain import Json, Result, ResultDetails, RunInfo
from batchinfer.predictions import FieldMap, Interpretation, PredictionFormat, interpret
from batchinfer.store.checksums import checksum_file

FileNameStyle: TypeAlias = Literal["path", "absolute", "key"]
FILE_NAME_STYLES: Final[tuple[FileNameStyle, ...]] = ("path", "absolute", "key")
"""What `file_name` is in COCO: the path below a common folder, the absolute path, or the key."""

_OUTPUTS_FOLDER: Final = "outputs"
"""Folder of a run directory that holds returned files (docs/reference/run-format.md)."""


BoxOrientation: TypeAlias = Literal["upright", "stored"]
"""What the model saw of a photograph that is stored rotated (EXIF): it rotated it upright first, as
OpenCV and YOLO do, or it took the pixels as they are stored, as Pillow does."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What the user may choose about how an export is written; each format takes some of them."""

    formulas: bool = False
    """Leave cells as they are that a spreadsheet would take for formulas."""
    found_only: bool = False
    """Leave out rows that are neither a detection nor a class."""
    file_names: FileNameStyle = "path"
    csv_bom: bool = False
    """Begin a CSV with the byte order mark by which Excel knows that it is UTF-8."""
    percent_scores: bool = False
    """The model's scores are percents: where a format wants 0 to 1, they are divided by 100."""


@dataclass(frozen=True, slots=True)
class ExportSource:
    """The run an export is of. It can be read several times; one item at a time is in memory."""

    run_directory: Path
    info: RunInfo
    iter_results: Callable[[], Iterator[Result]]
    """The chosen items, in input order; each call begins at the first one."""
    iter_details: Callable[[], Iterator[ResultDetails]]
    """The same items, with everything known of each; slower than `iter_results`."""
    iter_stored_rows: Callable[[], Iterator[Sequence[Any]]] | None = None
    """The same items as cells in the order of the fields of `Result`, text as UTF-8 bytes,
    `prediction` and `params` as the JSON that is stored, times as seconds since the epoch; None:
    made from `iter_results`."""
    session_params: Mapping[int, Mapping[str, Json]] = field(default_factory=dict)
    """Parameters of the sessions that sent others than the run's, by `ResultDetails.session`."""
    model_help: str | None = None
    """The model's help as the service answered it."""
    fields: FieldMap | None = None
    """Where detections are in a prediction, as the user says; None: told by its shape."""
    boxes: BoxOrientation = "upright"
    scratch_folder: Path | None = None
    """Where temporary files of an export belong; None: where the system keeps such files."""
    on_notice: Callable[[str], None] = lambda _: None
    """Called with a sentence about what was left out, or how predictions were interpreted."""
    load_conventions: Callable[[], PredictionFormat] | None = None
    """Returns the run's prediction format, always the same; None: each prediction is interpreted
    by itself."""
    on_damaged: Callable[[str], None] = lambda _: None
    """Called with the name of an output file whose bytes are not those that were recorded."""

    def find_output(self, name: str, checksum: int | None = None) -> Path | None:
        """The file of a prediction that is bytes, if it exists and is intact.

        `checksum`: CRC-32 of the file; None: not known. A file outside the run is never returned,
        even if a manipulated database names one.
        """
        try:
            path = (self.run_directory / name).resolve(strict=True)
        except (OSError, ValueError):
            return None
        is_inside = path.is_relative_to((self.run_directory / _OUTPUTS_FOLDER).resolve())
        if not is_inside or not path.is_file():
            return None
        if checksum is not None and checksum_file(path) != checksum:
            self.on_damaged(name)
            return None
        return path

    def interpret_result(self, result: Result) -> Interpretation:
        """What its prediction means."""
        return interpret(result.prediction, result.media_type, self.fields, self.conventions)

    @property
    def conventions(self) -> PredictionFormat | None:
        """How all predictions of the run are interpreted."""
        return None if self.load_conventions is None else self.load_conventions()
