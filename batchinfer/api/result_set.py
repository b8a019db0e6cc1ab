"""A run's results as Python sees them: one after the other, or as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from batchinfer.api.result_export import ResultFilter, build_export_source, parse_interpretation
from batchinfer.api.settings import StrPath
from batchinfer.domain import Result
from batchinfer.errors import ConfigError
from batchinfer.exports import ExportSource
from batchinfer.exports.arrow import build_table
from batchinfer.store.row_checks import DamageCollector


class Results:
    """Results in input order. Each iteration reads them again, and holds one page in memory.

    As a table all of them are in memory: one row per item with the fields of `Result`, its
    prediction and params as JSON text; or, if `flat`, one row per detection or class, as in
    `csv-flat`. Times are UTC.

    Raises:
        ConfigError: the library of a table is not installed.
        RunDamaged: at the end, if some of the run is not what was recorded; that is left out.
    """

    def __init__(self, source: ExportSource, damages: DamageCollector) -> None:
        """`damages`: where `source` notes what is damaged."""
        self._source, self._damages = source, damages

    def __iter__(self) -> Iterator[Result]:
        yield from self._source.iter_results()
        self._damages.raise_if_any()

    def to_arrow(self, *, flat: bool = False) -> Any:
        """A `pyarrow.Table`."""
        arrow_table = build_table(self._source, flat=flat)
        self._damages.raise_if_any()
        return arrow_table

    def to_pandas(self, *, flat: bool = False) -> Any:
        """A `pandas.DataFrame`."""
        _import_library("pandas")
        return self.to_arrow(flat=flat).to_pandas()

    def to_polars(self, *, flat: bool = False) -> Any:
        """A `polars.DataFrame`."""
        return _import_library("polars").from_arrow(self.to_arrow(flat=flat))


def results(
    run: StrPath, which: ResultFilter = "all", *, map: str | Sequence[str] | None = None
) -> Results:
    """The run's results, to iterate over or as a table.

    Args:
        run: the run directory.
        which: "succeeded", "failed" or "all" items; "all" includes unfinished ones.
        map: where detections or classes stand in a prediction, as `--map`; None: told by its shape.

    Raises:
        ConfigError: `which` or `map` cannot be read.
        StoreError: there is no run in the directory.
    """
    damages = DamageCollector()
    fields, _ = parse_interpretation(map)
    source = build_export_source(run, which, fields, damages=damages)
    return Results(source, damages)


def _import_library(library: str) -> Any:
    try:
        return import_module(library)
    except ImportError as error:
        raise ConfigError(
            f"A table of {library} needs the library {library}, which is not installed: pip "
            f"install {library}"
        ) from error
