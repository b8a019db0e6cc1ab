"""The part of the public `Run` object that reads: no lock, nothing is written to the run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from batchinfer.api import result_export, result_set, run_html, run_report, run_status, sql_query
from batchinfer.api.job import require_run
from batchinfer.api.result_export import ResultFilter
from batchinfer.api.settings import StrPath
from batchinfer.api.sync_runner import in_thread
from batchinfer.domain import Counts, Json, Mode
from batchinfer.progress import Summary

astatus = in_thread("astatus", run_status.status)
ashow = in_thread("ashow", run_status.show)
aexport = in_thread("aexport", result_export.export)
areport = in_thread("areport", run_report.report)


async def aquery(
    run: StrPath,
    sql: str,
    parameters: Sequence[Any] | Mapping[str, Any] = (),
    *,
    map: str | Sequence[str] | None = None,
    boxes: str = "upright",
) -> list[dict[str, Any]]:
    """As `query`, but all rows at once, as a list of dicts. Arguments and errors are the same."""

    def read_rows() -> list[dict[str, Any]]:
        with sql_query.query(run, sql, parameters, map=map, boxes=boxes) as rows:
            return list(rows)

    return await in_thread("read_rows", read_rows)()


class RunDirectory:
    """A run directory to read from. Raises StoreError when there is no run in it."""

    def __init__(self, directory: StrPath) -> None:
        """`directory`: the run directory, as `run` was given it."""
        require_run(Path(directory))
        self.directory = Path(directory)
        """The run directory."""
        self.summary: Summary | None = None
        """How the last command that this object carried out left the run; None: there was none."""

    # These functions take the run directory first, as a path; this object is one (`__fspath__`).
    status, astatus = run_status.status, astatus
    show, ashow = run_status.show, ashow
    results = result_set.results
    export, aexport = result_export.export, aexport
    report, areport = run_report.report, areport
    query, aquery = sql_query.query, aquery

    def to_pandas(
        self,
        which: ResultFilter = "all",
        *,
        flat: bool = False,
        map: str | Sequence[str] | None = None,
    ) -> Any:
        """The results as a `pandas.DataFrame`; arguments and errors as `results`.

        Args:
            which: "succeeded", "failed" or "all" items.
            flat: one row per detection or class instead of one per item.
            map: where detections or classes stand in a prediction, as `--map`.
        """
        return self.results(which, map=map).to_pandas(flat=flat)

    def to_polars(
        self,
        which: ResultFilter = "all",
        *,
        flat: bool = False,
        map: str | Sequence[str] | None = None,
    ) -> Any:
        """The results as a `polars.DataFrame`; see `to_pandas`."""
        return self.results(which, map=map).to_polars(flat=flat)

    def to_arrow(
        self,
        which: ResultFilter = "all",
        *,
        flat: bool = False,
        map: str | Sequence[str] | None = None,
    ) -> Any:
        """The results as a `pyarrow.Table`; see `to_pandas`."""
        return self.results(which, map=map).to_arrow(flat=flat)

    @property
    def counts(self) -> Counts:
        """Items by state: as `summary` has them, else as they are now."""
        return self.status().counts if self.summary is None else self.summary.counts

    @property
    def failures(self) -> dict[str, int]:
        """Failed items by code: as `summary` has them, else as they are now."""
        if self.summary is not None:
            return self.summary.failures
        return {group.code: group.count for group in self.status().failures}

    @property
    def mode(self) -> Mode:
        """How items reach the model."""
        return self.status().mode if self.summary is None else self.summary.mode

    @property
    def run(self) -> str:
        """The run directory as text."""
        return str(self.directory)

    @property
    def seconds(self) -> float | None:
        """How long the last command of this object took; None without one."""
        return None if self.summary is None else self.summary.seconds

    @property
    def exit_code(self) -> int | None:
        """The exit code that the command line would have had; None without a command."""
        return None if self.summary is None else self.summary.exit_code

    def as_json(self) -> dict[str, Json]:
        """The object that `--json` prints last: of `summary`, else of `status`."""
        return self.status().as_json() if self.summary is None else self.summary.as_json()

    def __fspath__(self) -> str:
        return os.fspath(self.directory)

    def __repr__(self) -> str:
        return run_html.describe_run(self.directory)

    def _repr_html_(self) -> str:
        return run_html.run_to_html(self.directory)
