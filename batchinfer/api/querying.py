"""SQL over a run, as `batchinfer query` and Python ask it. Nothing here writes to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from batchinfer.api.exporting import options_of
from batchinfer.api.preparing import must_be_known
from batchinfer.meaning import Classes, Detections, Fields, read
from batchinfer.sinks.flat import classified, detected
from batchinfer.sources.files import printable
from batchinfer.store.codec import decode
from batchinfer.store.codec import printable as without_nul
from batchinfer.store.querying import Inquiry


class Answer:
    """Rows as dicts, one after the other, once; a context manager, which need not be used."""

    def __init__(
        self, inquiry: Inquiry, columns: Sequence[str], rows: Iterator[tuple[Any, ...]]
    ) -> None:
        self.columns = tuple(columns)
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

    def close(self) -> None:
        """Let go of the run."""
        self._inquiry.close()


def query(
    run: str | Path,
    sql: str,
    parameters: Sequence[Any] | Mapping[str, Any] = (),
    *,
    map: str | Sequence[str] | None = None,
) -> Answer:
    """What one `select` says of the run (its views: docs/run-format.md), row by row.

    `parameters` take the places of `?` or `:name`; `map`: as the command line's `--map`. Raises
    ConfigError, with SQLite's words, for what is no question (also while the rows are read),
    StoreError when there is no run.
    """
    inquiry = _inquiry(run, map)
    try:
        columns, rows = inquiry.ask(printable(sql), _printable(parameters))
    except BaseException:
        inquiry.close()
        raise
    return Answer(inquiry, columns, rows)


def views(run: str | Path) -> Mapping[str, Sequence[str]]:
    """What a query can ask for: the columns of each view. Raises StoreError without a run."""
    with _inquiry(run, None) as inquiry:
        return inquiry.views()


def _inquiry(run: str | Path, map: str | Sequence[str] | None) -> Inquiry:
    fields = options_of(map).fields
    must_be_known(Path(run))
    return Inquiry(
        Path(run), detections=partial(_detections, fields), classes=partial(_classes, fields)
    )


def _detections(fields: Fields | None, prediction: str, media_type: str) -> str:
    meaning = read(decode(prediction), media_type, fields)
    found = meaning.found if isinstance(meaning, Detections) else ()
    return _texts([detected(each) for each in found])


def _classes(fields: Fields | None, prediction: str, media_type: str) -> str:
    meaning = read(decode(prediction), media_type, fields)
    found = meaning.found if isinstance(meaning, Classes) else ()
    return _texts([classified(each) for each in found])


def _printable(parameters: Sequence[Any] | Mapping[str, Any]) -> Sequence[Any] | Mapping[str, Any]:
    """With keys as they are recorded: no text with bytes that are no UTF-8 can be compared."""
    if isinstance(parameters, Mapping):
        return {name: _as_text(value) for name, value in parameters.items()}
    return [_as_text(value) for value in parameters]


def _as_text(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value


def _texts(rows: Sequence[tuple[Any, ...]]) -> str:
    # SQLite's JSON functions end a text at NUL.
    told = [(label and without_nul(label), *rest) for label, *rest in rows]
    return orjson.dumps(told).decode()
