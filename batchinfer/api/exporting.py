"""A run's results, written to files. Nothing here writes to the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

from batchinfer import sinks
from batchinfer.api.interpreting import interpret
from batchinfer.api.preparing import must_be_known
from batchinfer.domain import State
from batchinfer.errors import ConfigError
from batchinfer.meaning import Fields
from batchinfer.meaning.fields import ORDERS, UNITS
from batchinfer.sinks.cells import printable
from batchinfer.store.reader import RunReader

Which = Literal["succeeded", "failed", "all"]
"""Which items to export: those with a reply, those that failed, or every one (also unfinished)."""

Boxes = str
"""What is said of the boxes, with commas between: what the model saw of photographs that are stored
turned (`upright`, `stored`), the order of four numbers (as `--map format=`), the unit (`pixels`,
`relative`)."""
_TURNS = ("upright", "stored")
FileNames = sinks.FileNames

_T = TypeVar("_T")


def export(
    run: str | Path,
    to: str | Path | BinaryIO,
    *,
    format: str | None = None,
    which: Which = "all",
    map: str | Sequence[str] | None = None,
    formulas: bool = False,
    boxes: Boxes = "upright",
    found_only: bool = False,
    file_names: FileNames = "path",
    csv_bom: bool = False,
    percent_scores: bool = False,
    notice: Callable[[str], None] | None = None,
) -> int:
    """Write the run's results to a file or folder (whole, then renamed) or a stream.

    `format`: one of docs/scripting.md; None: by the file's extension. `map`, `formulas`, `boxes`,
    `found_only`, `file_names`, `csv_bom` and `percent_scores` are the command line's `--map`,
    `--formulas` and so on; `notice` is told, in sentences, what the format had no place for, and
    how predictions were read. Returns how many rows (or images, annotations: what the format
    counts) it wrote. Raises ConfigError for an unknown format or one whose library is missing,
    StoreError when there is no run.
    """
    if format is None and not isinstance(to, (str, Path)):
        raise ConfigError("a stream has no extension to tell its format: name one")
    chosen = format or sinks.format_of(str(to))
    target = Path(to) if isinstance(to, str) else to
    folder = chosen in sinks.FORMATS and sinks.FORMATS[chosen].folder
    if folder and isinstance(target, Path) and target.suffix == ".gz":
        raise ConfigError(f"{to}: the format {chosen} is a folder: name it without .gz.")
    if csv_bom and chosen not in {"csv", "csv-flat"}:
        raise ConfigError(f"--csv-bom goes with the formats csv and csv-flat, not with {chosen}.")
    if file_names not in sinks.FILE_NAMES:
        raise ConfigError(f"No file names {file_names!r}: choose {', '.join(sinks.FILE_NAMES)}.")
    options = replace(
        options_of(map, formulas, boxes, found_only),
        file_names=file_names,
        csv_bom=csv_bom,
        percent_scores=percent_scores,
    )
    book = book_of(run, which, options)
    return sinks.export(book if notice is None else replace(book, notice=notice), target, chosen)


def book_of(
    run: str | Path, which: Which = "all", options: sinks.Options | None = None
) -> sinks.Book:
    """The run as a sink reads it. Raises StoreError when there is none."""
    must_be_known(directory := Path(run))
    state = state_of(which)
    options = options or sinks.Options()
    with RunReader(directory) as reader:
        info, told = reader.info, reader.help()
    return sinks.Book(
        directory=directory,
        info=info,
        results=partial(_each, directory, lambda reader: reader.results(state)),
        dossiers=partial(_each, directory, lambda reader: reader.dossiers(state)),
        help=told,
        options=options,
        interpret=cache(partial(interpret, directory, options.fields)),
    )


def options_of(
    map: str | Sequence[str] | None = None,
    formulas: bool = False,
    boxes: Boxes = "upright",
    found_only: bool = False,
) -> sinks.Options:
    """What the user has chosen. Raises ConfigError for a `map` or `boxes` that is none."""
    texts = [map] if isinstance(map, str) else list(map or ())
    words = [word.strip() for word in boxes.split(",") if word.strip()]
    turns = [word for word in words if word in _TURNS]
    for word in words:
        if word in _TURNS:
            continue
        if word not in (*ORDERS, *UNITS):
            known = ", ".join((*_TURNS, *ORDERS, *UNITS))
            raise ConfigError(f"--boxes {printable(word[:80])}: choose of {known}.")
        texts.append(f"{'format' if word in ORDERS else 'unit'}={word}")
    if len(set(turns)) > 1:
        raise ConfigError("--boxes says both upright and stored: say one of them.")
    turn: Literal["upright", "stored"] = "stored" if "stored" in turns else "upright"
    return sinks.Options(Fields.parse(texts) if texts else None, formulas, turn, found_only)


def state_of(which: Which) -> State | None:
    """The state of the items that were asked for; None: of any. Raises ConfigError."""
    match which:
        case "succeeded":
            return State.SUCCEEDED
        case "failed":
            return State.FAILED
        case "all":
            return None
    raise ConfigError(f"There are no items {which!r}: choose succeeded, failed or all.")


def _each(directory: Path, of: Callable[[RunReader], Iterator[_T]]) -> Iterator[_T]:
    with RunReader(directory) as reader:
        yield from of(reader)
