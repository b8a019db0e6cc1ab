"""A folder with what the service returned, a few files per item, in the source's folders.

site-3/IMG_0042.jpg.json        the prediction as it is stored: exact JSON; text is `.txt`,
                                bytes have the ending of their kind
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

from batchinfer.domain import JSON, TEXT, Dossier, Json, Result, State
from batchinfer.sinks.book import Book
from batchinfer.sinks.cells import harmless, json_text, printable
from batchinfer.sinks.left_out import LeftOut
from batchinfer.sinks.names import Names, below
from batchinfer.sinks.rows import Utf8

INDEX: Final = "index.csv"
_KINDS: Final = ("prediction", "log", "error")

Part: TypeAlias = tuple[str, str, bytes | Path]
"""Its kind, the ending of its name, and its content, or the file that holds it."""


def write(book: Book, folder: Path) -> int:
    """The folder; how many items."""
    left_out, written = LeftOut(), 0
    with ExitStack() as stack:
        names = stack.enter_context(Names(folder, reserved=(INDEX,)))
        file = stack.enter_context((folder / INDEX).open("xb"))
        index = csv.writer(Utf8(file), lineterminator="\r\n")
        index.writerow(("key", "state", *_KINDS))
        for dossier in book.dossiers():
            result = dossier.result
            parts = list(_parts(dossier, book, left_out))
            place = names.place(result.key, [ending for _, ending, _ in parts])
            for _, ending, content in parts:
                _write(content, below(folder, place + ending))
            named = {kind: place + ending for kind, ending, _ in parts}
            cells = (printable(result.key), result.state.value, *(named.get(k, "") for k in _KINDS))
            index.writerow(cells if book.options.formulas else map(harmless, cells))
            written += 1
    left_out.tell(book)
    return written


def _parts(dossier: Dossier, book: Book, left_out: LeftOut) -> Iterator[Part]:
    """What there is to write of an item; nothing of one that was never tried."""
    result = dossier.result
    match result.state:
        case State.SUCCEEDED:
            yield from _prediction(dossier, book, left_out)
        case State.FAILED:
            yield "error", ".error.json", json_text(_error(result))
        case State.PENDING | State.SUBMITTED:
            pass
    if dossier.log:
        yield "log", ".log", printable(dossier.log).encode()


def _prediction(dossier: Dossier, book: Book, left_out: LeftOut) -> Iterator[Part]:
    result = dossier.result
    prediction = result.prediction
    if result.media_type == JSON:
        yield "prediction", ".json", json_text(prediction)
    elif not isinstance(prediction, str):
        left_out.add("prediction", "of no kind that is known", result.key)
    elif result.media_type == TEXT:
        yield "prediction", ".txt", printable(prediction).encode()
    elif (output := book.output(prediction, dossier.file_checksum)) is None:
        left_out.add("prediction", "its file is not in the run directory", result.key)
    else:
        yield "prediction", _ending(output), output


def _ending(path: Path) -> str:
    return path.suffix if path.suffix[1:].isalnum() and path.suffix.isascii() else ".bin"


def _error(result: Result) -> Json:
    return {
        "key": result.key,
        "code": result.code,
        "message": result.message,
        "attempts": result.attempts,
        "finished_at": result.finished_at,
    }


def _write(content: bytes | Path, place: Path) -> None:
    if isinstance(content, bytes):
        with place.open("xb") as file:
            file.write(content)
    else:
        shutil.copyfile(content, place)
