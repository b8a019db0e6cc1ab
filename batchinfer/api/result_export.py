"""A run's results, written to files. Nothing here writes to the run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

from batchinfer import exports
from batchinfer.api.job import require_run
from batchinfer.api.prediction_format import resolve_prediction_format
from batchinfer.api.run_access import open_run_access
from batchinfer.api.settings import StrPath
from batchinfer.domain import State
from batchinfer.errors import ConfigError, option
from batchinfer.exports.export_source import BoxOrientation
from batchinfer.predictions import FieldMap
from batchinfer.predictions.field_map import MAP_BOX_FORMATS, MAP_UNITS
from batchinfer.store.row_checks import DamageCollector
from batchinfer.store.run_reader import RunReader
from batchinfer.text_format import escape_undecodable

ResultFilter = Literal["succeeded", "failed", "all"]
"""Which items to export: those with a reply, those that failed, or every one (also unfinished)."""

BoxSpec = str
"""What is said of the boxes, with commas between: what the model saw of photographs that are stored
turned (`upright`, `stored`), the order of four numbers (as `--map format=`), the unit (`pixels`,
`relative`)."""
_ORIENTATIONS = ("upright", "stored")
FileNames = exports.FileNameStyle

_T = TypeVar("_T")


def export(
    run: StrPath,
    to: StrPath | BinaryIO,
    *,
    format: str | None = None,
    which: ResultFilter = "all",
    map: str | Sequence[str] | None = None,
    formulas: bool = False,
    boxes: BoxSpec = "upright",
    found_only: bool = False,
    file_names: FileNames = "path",
    csv_bom: bool = False,
    percent_scores: bool = False,
    notice: Callable[[str], None] | None = None,
) -> int:
    """Write the run's results to a file or folder (complete or not at all) or a stream.

    Args:
        run: the run directory.
        to: a file or folder, or a binary stream. A file ending in `.gz` is compressed.
        format: one of docs/reference/exports.md; None: by the file's extension.
        which: "succeeded", "failed" or "all" items; "all" includes unfinished ones.
        map: where detections or classes stand in a prediction, as `--map`; None: told by its shape.
        formulas: leave cells of a CSV as they are that a spreadsheet would take for formulas.
        boxes: how boxes are to be read, as `--boxes`.
        found_only: flat formats: only rows of detections and classes.
        file_names: COCO: what `file_name` is, as `--file-names`.
        csv_bom: begin a CSV with a byte order mark, for Excel.
        percent_scores: the model's scores are percents.
        notice: called with sentences on what the format cannot hold, and how predictions were read.

    Returns:
        How many rows, images or annotations were written: what the format counts.

    Raises:
        ExportError: the file or folder cannot be written.
        ConfigError: there is no such format, its library is missing, or an argument cannot be read.
        RunDamaged: raised after writing, if some of the run is not what was recorded.
        StoreError: there is no run in the directory.
    """
    target = Path(to) if isinstance(to, (str, os.PathLike)) else to
    export_format = _choose_format(format, target)
    if csv_bom and "csv_bom" not in export_format.options:
        names = [each.name for each in exports.list_formats() if "csv_bom" in each.options]
        raise ConfigError(
            f"{option('csv_bom', 'True')} goes with the formats {' and '.join(names)}, not with "
            f"{export_format.name}."
        )
    if file_names not in exports.FILE_NAME_STYLES:
        raise ConfigError(
            f"No file names {file_names!r}: choose {', '.join(exports.FILE_NAME_STYLES)}."
        )
    damages = DamageCollector()
    fields, orientation = parse_interpretation(map, boxes)
    source = build_export_source(run, which, fields, orientation, damages)
    source = source if notice is None else replace(source, on_notice=notice)
    options = exports.ExportOptions(formulas, found_only, file_names, csv_bom, percent_scores)
    with open_run_access(Path(run)):
        count = exports.write_export(source, target, export_format, options)
    damages.raise_if_any()
    return count


def _choose_format(name: str | None, target: Path | BinaryIO) -> exports.ExportFormat:
    if name is not None:
        return exports.find_format(name)
    if not isinstance(target, Path):
        raise ConfigError("a stream has no extension to tell its format: name one")
    return exports.find_format_by_path(target)


def build_export_source(
    run: StrPath,
    which: ResultFilter = "all",
    fields: FieldMap | None = None,
    boxes: BoxOrientation = "upright",
    damages: DamageCollector | None = None,
) -> exports.ExportSource:
    """The run as an export reads it; what is damaged is noted in `damages`, and left out.

    Raises StoreError when there is no run.
    """
    collected = DamageCollector() if damages is None else damages
    require_run(directory := Path(run))
    state = parse_result_filter(which)
    with RunReader(directory) as reader:
        info, help_text = reader.info, reader.read_model_help()
        other_params = {
            session.number: session.params
            for session in reader.read_sessions()
            if session.changed_params
        }
    return exports.ExportSource(
        run_directory=directory,
        info=info,
        iter_results=partial(
            _iter_with_reader, directory, collected, lambda reader: reader.iter_results(state)
        ),
        iter_details=partial(
            _iter_with_reader,
            directory,
            collected,
            lambda reader: reader.iter_result_details(state),
        ),
        iter_stored_rows=partial(
            _iter_with_reader, directory, collected, lambda reader: reader.iter_result_rows(state)
        ),
        on_damaged=lambda name: collected.add(name, "its bytes are not those that were recorded"),
        session_params=other_params,
        model_help=help_text,
        fields=fields,
        boxes=boxes,
        load_conventions=cache(partial(resolve_prediction_format, directory, fields)),
    )


def parse_interpretation(
    map: str | Sequence[str] | None = None, boxes: BoxSpec = "upright"
) -> tuple[FieldMap | None, BoxOrientation]:
    """What the user says of predictions: where things are in them, and how boxes are oriented.

    Raises ConfigError for a `map` or `boxes` that is not valid.
    """
    texts = [map] if isinstance(map, str) else list(map or ())
    words = [word.strip() for word in boxes.split(",") if word.strip()]
    orientations = [word for word in words if word in _ORIENTATIONS]
    for word in words:
        if word in _ORIENTATIONS:
            continue
        if word not in (*MAP_BOX_FORMATS, *MAP_UNITS):
            choices = ", ".join((*_ORIENTATIONS, *MAP_BOX_FORMATS, *MAP_UNITS))
            raise ConfigError(
                f"{option('boxes', escape_undecodable(word[:80]))}: choose of {choices}."
            )
        texts.append(f"{'format' if word in MAP_BOX_FORMATS else 'unit'}={word}")
    if len(set(orientations)) > 1:
        raise ConfigError(f"{option('boxes')} says both upright and stored: say one of them.")
    orientation: BoxOrientation = "stored" if "stored" in orientations else "upright"
    return FieldMap.parse(texts) if texts else None, orientation


def parse_result_filter(which: ResultFilter) -> State | None:
    """The state of the items that were asked for; None: of any. Raises ConfigError."""
    match which:
        case "succeeded":
            return State.SUCCEEDED
        case "failed":
            return State.FAILED
        case "all":
            return None
    raise ConfigError(f"There are no items {which!r}: choose succeeded, failed or all.")


def _iter_with_reader(
    directory: Path, damages: DamageCollector, read_rows: Callable[[RunReader], Iterator[_T]]
) -> Iterator[_T]:
    with RunReader(directory, damages) as reader:
        yield from read_rows(reader)
