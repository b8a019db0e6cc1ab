"""A run's results, written to files. Nothing here writes to the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

from batchinfer import sinks
from batchinfer.api.preparing import must_be_known
from batchinfer.domain import State
from batchinfer.errors import ConfigError
from batchinfer.meaning import Fields
from batchinfer.store.checking import Damages
from batchinfer.store.reader import RunReader

Which = Literal["succeeded", "failed", "all"]
"""Which items to export: those with a reply, those that failed, or every one (also unfinished)."""

Boxes = Literal["upright", "stored"]

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
    notice: Callable[[str], None] | None = None,
) -> int:
    """Write the run's results to a file or folder (whole, then renamed) or a stream.

    `format`: one of docs/scripting.md; None: by the file's extension. `map`, `formulas` and `boxes`
    are the command line's `--map`, `--formulas` and `--boxes`; `notice` is told, in sentences, what
    the format had no place for. Returns how many rows (or images, annotations: what the format
    counts) it wrote. Raises ConfigError for an unknown format or one whose library is missing,
    StoreError when there is no run; RunDamaged, once all else is written, when some of the run is
    not what was recorded.
    """
    if format is None and not isinstance(to, (str, Path)):
        raise ConfigError("a stream has no extension to tell its format: name one")
    chosen = format or sinks.format_of(str(to))
    target = Path(to) if isinstance(to, str) else to
    folder = chosen in sinks.FORMATS and sinks.FORMATS[chosen].folder
    if folder and isinstance(target, Path) and target.suffix == ".gz":
        raise ConfigError(f"{to}: the format {chosen} is a folder: name it without .gz.")
    damages = Damages()
    book = book_of(run, which, options_of(map, formulas, boxes), damages)
    book = book if notice is None else replace(book, notice=notice)
    written = sinks.export(book, target, chosen)
    damages.tell()
    return written


def book_of(
    run: str | Path,
    which: Which = "all",
    options: sinks.Options | None = None,
    damages: Damages | None = None,
) -> sinks.Book:
    """The run as a sink reads it; what is damaged is noted in `damages`, and left out.

    Raises StoreError when there is no run.
    """
    found = Damages() if damages is None else damages
    must_be_known(directory := Path(run))
    state = state_of(which)
    with RunReader(directory) as reader:
        info, told = reader.info, reader.help()
        others = {go.number: go.params for go in reader.sessions() if go.changed}
    return sinks.Book(
        directory=directory,
        info=info,
        results=partial(_each, directory, found, lambda reader: reader.results(state)),
        dossiers=partial(_each, directory, found, lambda reader: reader.dossiers(state)),
        damaged=lambda name: found.add(name, "its bytes are not those that were recorded"),
        others=others,
        help=told,
        options=options or sinks.Options(),
    )


def options_of(
    map: str | Sequence[str] | None = None, formulas: bool = False, boxes: Boxes = "upright"
) -> sinks.Options:
    """What the user has chosen. Raises ConfigError for a `map` that cannot be understood."""
    texts = [map] if isinstance(map, str) else map
    return sinks.Options(Fields.parse(texts) if texts else None, formulas, boxes)


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


def _each(
    directory: Path, damages: Damages, of: Callable[[RunReader], Iterator[_T]]
) -> Iterator[_T]:
    with RunReader(directory, damages) as reader:
        yield from of(reader)
