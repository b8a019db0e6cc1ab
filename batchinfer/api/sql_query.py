"""SQL over a run, as `batchinfer query` and Python ask it. Nothing here writes to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from batchinfer.api.job import require_run
from batchinfer.api.prediction_format import resolve_prediction_format
from batchinfer.api.result_export import parse_interpretation
from batchinfer.api.settings import StrPath
from batchinfer.exports.flat_rows import make_class_cells, make_detection_cells
from batchinfer.predictions import (
    Classification,
    Detections,
    FieldMap,
    Interpretation,
    PredictionFormat,
    interpret,
)
from batchinfer.store.json_codec import decode_json
from batchinfer.store.json_codec import escape_non_utf8 as without_nul
from batchinfer.store.query_connection import QueryConnection
from batchinfer.text_format import escape_undecodable


class QueryResult:
    """The rows of a query, as dicts; they can be iterated over once.

    A context manager, which closes the run; reading all rows closes it, too.
    """

    def __init__(
        self,
        connection: QueryConnection,
        columns: Sequence[str],
        rows: Iterator[tuple[Any, ...]],
        interpreter: _PredictionInterpreter,
    ) -> None:
        self.columns = tuple(columns)
        self._interpreter = interpreter
        self._connection = connection
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

    def describe_interpretation(self) -> Sequence[str]:
        """How predictions were read, in sentences; empty while no row needed it."""
        return (
            ()
            if self._interpreter.prediction_format is None
            else self._interpreter.prediction_format.describe_for_export()
        )

    def close(self) -> None:
        """Close the run."""
        self._connection.close()


def query(
    run: StrPath,
    sql: str,
    parameters: Sequence[Any] | Mapping[str, Any] = (),
    *,
    map: str | Sequence[str] | None = None,
    boxes: str = "upright",
) -> QueryResult:
    """Run one `select` on the run, row by row; nothing can be changed.

    Views and columns are described in docs/reference/run-format.md.

    Args:
        run: the run directory.
        sql: the query, in SQLite's SQL.
        parameters: values that replace `?` or `:name` in it.
        map: where detections or classes stand in a prediction, as `--map`.
        boxes: the order and unit of the four numbers of a box, as `--boxes`.

    Raises:
        QueryError: the SQL cannot be run; also raised while rows are read.
        ConfigError: `map` or `boxes` cannot be read.
        StoreError: there is no run in the directory.
    """
    fields, _ = parse_interpretation(map, boxes)
    connection, interpreter = _open_connection(run, fields)
    try:
        columns, rows = connection.execute(escape_undecodable(sql), _make_comparable(parameters))
    except BaseException:
        connection.close()
        raise
    return QueryResult(connection, columns, rows, interpreter)


def list_views(run: StrPath) -> Mapping[str, Sequence[str]]:
    """What a query can ask for: the columns of each view. Raises StoreError without a run."""
    connection, _ = _open_connection(run)
    with connection:
        return connection.list_views()


def _open_connection(
    run: StrPath, fields: FieldMap | None = None
) -> tuple[QueryConnection, _PredictionInterpreter]:
    require_run(Path(run))
    interpreter = _PredictionInterpreter(Path(run), fields)
    functions = partial(_list_detections, interpreter), partial(_list_classes, interpreter)
    return QueryConnection(Path(run), detections=functions[0], classes=functions[1]), interpreter


class _PredictionInterpreter:
    """Reads predictions by the run's reading, which is looked for when the first one comes."""

    def __init__(self, run: Path, fields: FieldMap | None) -> None:
        self._run, self._fields = run, fields
        self.prediction_format: PredictionFormat | None = None

    def __call__(self, prediction: str, media_type: str) -> Interpretation:
        if self.prediction_format is None:
            self.prediction_format = resolve_prediction_format(self._run, self._fields)
        return interpret(decode_json(prediction), media_type, self._fields, self.prediction_format)


def _list_detections(interpreter: _PredictionInterpreter, prediction: str, media_type: str) -> str:
    interpretation = interpreter(prediction, media_type)
    found = interpretation.detections if isinstance(interpretation, Detections) else ()
    return _encode_rows([make_detection_cells(each) for each in found])


def _list_classes(interpreter: _PredictionInterpreter, prediction: str, media_type: str) -> str:
    interpretation = interpreter(prediction, media_type)
    found = interpretation.classes if isinstance(interpretation, Classification) else ()
    return _encode_rows([make_class_cells(each) for each in found])


def _make_comparable(parameters: Any) -> Any:
    """With keys as they are recorded: no text with bytes that are no UTF-8 can be compared.

    What is neither a mapping nor a sequence is left to SQLite, which refuses it in its words.
    """
    match parameters:
        case Mapping():
            return {name: _make_text_comparable(value) for name, value in parameters.items()}
        case Sequence():
            return [_make_text_comparable(value) for value in parameters]
        case _:
            return parameters


def _make_text_comparable(value: Any) -> Any:
    return escape_undecodable(value) if isinstance(value, str) else value


def _encode_rows(rows: Sequence[tuple[Any, ...]]) -> str:
    # SQLite's JSON functions end a text at NUL.
    safe_rows = [(label and without_nul(label), *rest) for label, *rest in rows]
    return orjson.dumps(safe_rows).decode()
