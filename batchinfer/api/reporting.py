"""The page people look at, made from a run. Nothing here writes to the run's database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from batchinfer.api.control import at_work
from batchinfer.api.exporting import Boxes, book_of, options_of
from batchinfer.report import SIZE, Reported, publish
from batchinfer.store.checking import Damages
from batchinfer.store.reader import RunReader

PAGE = "report.html"
"""The report's name in the run directory."""


def report(
    run: str | Path,
    to: str | Path | None = None,
    *,
    title: str | None = None,
    size: int = SIZE,
    map: str | Sequence[str] | None = None,
    boxes: Boxes = "upright",
) -> Reported:
    """Write the run's report, one HTML file of `size` bytes at most: whole, or not at all.

    `to`: default `report.html` in the run directory. `title`: default the directory's name. `map`
    and `boxes` are the command line's `--map` and `--boxes`. Works also while the run goes on.
    Raises StoreError when there is no run; ConfigError when a library is missing, when the file
    cannot be written, or when `size` is too little; RunDamaged, once it is written, when some of
    the run is not what was recorded.
    """
    directory = Path(run)
    damages = Damages()
    book = book_of(directory, "all", options_of(map, boxes=boxes), damages)
    with RunReader(directory, damages) as reader:
        reported = publish(
            book,
            reader,
            directory / PAGE if to is None else Path(to),
            title=title,
            most=size,
            going=at_work(directory) is not None,
        )
    damages.tell()
    return reported
