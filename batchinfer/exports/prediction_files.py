"""A folder with what the service returned, a few files per item, in the source's folders.

site-3/IMG_0042.jpg.json        the prediction as it is stored: exact JSON; text is `.txt`,
                                bytes have the ending of their kind
site-3/IMG_0042.jpg.files/      all files, where the service returned several for one item
site-3/IMG_0042.jpg.log         what the service wrote, if it wrote anything
site-3/IMG_0042.jpg.error.json  of an item that failed: its code and message
index.csv                       which name stands for which key
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeAlias
from zipfile import BadZipFile

from batchinfer.domain import (
    JSON_MEDIA_TYPE,
    TEXT_MEDIA_TYPE,
    ZIP_MEDIA_TYPE,
    Json,
    Result,
    ResultDetails,
    State,
)
from batchinfer.exports.export_format import FolderExport
from batchinfer.exports.export_source import ExportOptions, ExportSource
from batchinfer.exports.filename_allocator import FilenameAllocator, ensure_parent
from batchinfer.exports.item_rows import Utf8Writer
from batchinfer.exports.omissions import ExportOmissions
from batchinfer.exports.safe_text import encode_strict_json, escape_formula
from batchinfer.store.output_archive import extract_members, is_own_archive
from batchinfer.text_format import escape_undecodable

INDEX_FILE: Final = "index.csv"
_FILE_KINDS: Final = ("prediction", "log", "error")
_ARCHIVE_EXTENSION: Final = ".files"
_ARCHIVE_KIND: Final = "files"
"""Of an archive beside a prediction; it has no column of its own in the index."""

ItemFile: TypeAlias = tuple[str, str, bytes | Path]
"""Its kind, the ending of its name, and its content, or the file that holds it."""


class PredictionFilesExport(FolderExport):
    """What the service returned, as files."""

    name = "files"
    unit = "item"
    description = "an item with the service's own files"
    consumers = "scripts for the platform's outputs"
    options = frozenset(("formulas",))

    def write(self, source: ExportSource, folder: Path, options: ExportOptions) -> int:
        """See `FolderExport`."""
        omissions, written = ExportOmissions(), 0
        with ExitStack() as stack:
            names = stack.enter_context(FilenameAllocator(folder, reserved=(INDEX_FILE,)))
            file = stack.enter_context((folder / INDEX_FILE).open("xb"))
            index = csv.writer(Utf8Writer(file), lineterminator="\r\n")
            index.writerow(("key", "state", *_FILE_KINDS))
            for details in source.iter_details():
                result = details.result
                item_files = list(_iter_item_files(details, source, omissions))
                base_path = names.allocate(
                    result.key, [extension for _, extension, _ in item_files]
                )
                for _, ending, content in item_files:
                    path = ensure_parent(folder, base_path + ending)
                    if ending == _ARCHIVE_EXTENSION and isinstance(content, Path):
                        _unpack(content, path, result.key, omissions)
                    else:
                        _write_content(content, path)
                path_by_kind = {kind: base_path + ending for kind, ending, _ in item_files}
                cells = (
                    escape_undecodable(result.key),
                    result.state.value,
                    *(path_by_kind.get(k, "") for k in _FILE_KINDS),
                )
                index.writerow(cells if options.formulas else map(escape_formula, cells))
                written += 1
        omissions.report(source)
        return written


def _iter_item_files(
    details: ResultDetails, source: ExportSource, omissions: ExportOmissions
) -> Iterator[ItemFile]:
    """What there is to write of an item; nothing of one that was never tried."""
    result = details.result
    match result.state:
        case State.SUCCEEDED:
            yield from _iter_prediction_files(details, source, omissions)
        case State.FAILED:
            yield "error", ".error.json", encode_strict_json(_make_error(result))
        case State.PENDING | State.SUBMITTED:
            pass
    if details.log:
        yield "log", ".log", escape_undecodable(details.log).encode()


def _iter_prediction_files(
    details: ResultDetails, source: ExportSource, omissions: ExportOmissions
) -> Iterator[ItemFile]:
    result = details.result
    prediction = result.prediction
    if details.archive_name is not None:
        archive = source.find_output(details.archive_name, details.file_checksum)
        if archive is None:
            omissions.add("file", "their archive is not in the run directory", result.key)
        else:
            yield _ARCHIVE_KIND, _ARCHIVE_EXTENSION, archive
    if result.media_type == JSON_MEDIA_TYPE:
        yield "prediction", ".json", encode_strict_json(prediction)
    elif not isinstance(prediction, str):
        omissions.add("prediction", "of no kind that is known", result.key)
    elif result.media_type == TEXT_MEDIA_TYPE:
        yield "prediction", ".txt", escape_undecodable(prediction).encode()
    elif (output := source.find_output(prediction, details.file_checksum)) is None:
        omissions.add("prediction", "its file is not in the run directory", result.key)
    elif result.media_type == ZIP_MEDIA_TYPE and is_own_archive(output):
        yield "prediction", _ARCHIVE_EXTENSION, output
    else:
        yield "prediction", _get_extension(output), output


def _get_extension(path: Path) -> str:
    return path.suffix if path.suffix[1:].isalnum() and path.suffix.isascii() else ".bin"


def _unpack(archive: Path, folder: Path, key: str, omissions: ExportOmissions) -> None:
    """Write the files of an archive of ours."""
    try:
        for _ in extract_members(archive, folder):
            pass
    except BadZipFile:
        omissions.add("file", "their archive is damaged", key)


def _make_error(result: Result) -> Json:
    return {
        "key": result.key,
        "code": result.code,
        "message": result.message,
        "attempts": result.attempts,
        "finished_at": result.finished_at,
    }


def _write_content(content: bytes | Path, path: Path) -> None:
    if isinstance(content, bytes):
        with path.open("xb") as file:
            file.write(content)
    else:
        shutil.copyfile(content, path)
