"""SQL over a run, as `batchinfer query` and Python ask it. Nothing here writes to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from batchinfer.api.exporting import options_of
from batchinfer.api.interpreting import interpret
from batchinfer.api.preparing import must_be_known
from batchinfer.meaning import Classes, Detections, Fields, Meaning, Reading, read
from batchinfer.sinks.book import Options
from batchinfer.sinks.flat import classified, detected
from batchinfer.sources.files import printable
from batchinfer.store.codec import decode
from batchinfer.store.codec import printable as without_nul
from batchinfer.store.querying import Inquiry


class Answer:
    """Rows as dicts, one after the other, once; a context manager, which need not be used."""

    def __init__(
        self,
        inquiry: Inquiry,
        columns: Sequence[str],
        rows: Iterator[tuple[Any, ...]],
        reader: _Reader,
    ) -> None:
        self.columns = tuple(columns)
        self._reader = reader
        self._inquiry = inquiry
        self._rows = rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for row in self.tuples():
            yield dict(zip(self.columns, row, strict=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def tuples(self) -> Iterator[tuple[Any, ...]]:
        """The same rows as tuples."""
        try:
            yield from self._rows
        finally:
            self.close()

    def read_as(self) -> Sequence[str]:
        """How predictions were read, in sentences; empty while no row needed it."""
        return () if self._reader.reading is None else self._reader.reading.notices()

    def close(self) -> None:
        """Let go of the run."""
        self._inquiry.close()


def query(
    run: str | Path,
    sql: str,
    parameters: Sequence[Any] | Mapping[str, Any] = (),
    *,
    map: str | Sequence[str] | None = None,
    boxes: str = "upright",
) -> Answer:
    """What one `select` says of the run (its views: docs/run-format.md), row by row.

    `parameters` take the places of `?` or `:name`; `map` and `boxes`: as the command line's `--map`
    and `--boxes` (of which the order and the unit count here). Raises ConfigError, with SQLite's
    words, for what is no question (also while the rows are read), StoreError when there is no run.
    """
    inquiry, reader = _inquiry(run, options_of(map, boxes=boxes))
    try:
        columns, rows = inquiry.ask(printable(sql), _printable(parameters))
    except BaseException:
        inquiry.close()
        raise
    return Answer(inquiry, columns, rows, reader)


def views(run: str | Path) -> Mapping[str, Sequence[str]]:
    """What a query can ask for: the columns of each view. Raises StoreError without a run."""
    inquiry, _ = _inquiry(run, Options())
    with inquiry:
        return inquiry.views()


def _inquiry(run: str | Path, options: Options) -> tuple[Inquiry, _Reader]:
    must_be_known(Path(run))
    reader = _Reader(Path(run), options.fields)
    found = partial(_detections, reader), partial(_classes, reader)
    return Inquiry(Path(run), detections=found[0], classes=found[1]), reader


class _Reader:
    """Reads predictions by the run's reading, which is looked for when the first one comes."""

    def __init__(self, run: Path, fields: Fields | None) -> None:
        self._run, self._fields = run, fields
        self.reading: Reading | None = None

    def __call__(self, prediction: str, media_type: str) -> Meaning:
        if self.reading is None:
            self.reading = interpret(self._run, self._fields)
        return read(decode(prediction), media_type, self._fields, self.reading)


def _detections(reader: _Reader, prediction: str, media_type: str) -> str:
    meaning = reader(prediction, media_type)
    found = meaning.found if isinstance(meaning, Detections) else ()
    return _texts([detected(each) for each in found])


def _classes(reader: _Reader, prediction: str, media_type: str) -> str:
    meaning = reader(prediction, media_type)
    found = meaning.found if isinstance(meaning, Classes) else ()
    return _texts([classified(each) for each in found])


def _printable(parameters: Any) -> Any:
    """With keys as they are recorded: no text with bytes that are no UTF-8 can be compared.

    What is neither a mapping nor a sequence is left to SQLite, which refuses it in its words.
    """
    match parameters:
        case Mapping():
            return {name: _as_text(value) for name, value in parameters.items()}
        case Sequence():
            return [_as_text(value) for value in parameters]
        case _:
            return parameters


def _as_text(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value


def _texts(rows: Sequence[tuple[Any, ...]]) -> str:
    # SQLite's JSON functions end a text at NUL.
    told = [(label and without_nul(label), *rest) for label, *rest in rows]
    return orjson.dumps(told).decode()
