"""The HTML report of a run. Nothing here writes to the run's database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from batchinfer.api.control import get_worker_status
from batchinfer.api.result_export import BoxSpec, build_export_source, parse_interpretation
from batchinfer.api.run_access import open_run_access
from batchinfer.api.settings import StrPath
from batchinfer.report import DEFAULT_MAX_REPORT_BYTES, WrittenReport, write_report
from batchinfer.store.row_checks import DamageCollector
from batchinfer.store.run_reader import RunReader

REPORT_FILE = "report.html"
"""The report's name in the run directory."""


def report(
    run: StrPath,
    to: StrPath | None = None,
    *,
    title: str | None = None,
    size: int = DEFAULT_MAX_REPORT_BYTES,
    map: str | Sequence[str] | None = None,
    boxes: BoxSpec = "upright",
) -> WrittenReport:
    """Write one HTML file about the run: whole, or not at all. Also while a process works on it.

    Args:
        run: the run directory.
        to: the file; None: `report.html` in the run directory.
        title: the title; None: the directory's name.
        size: bytes that the file may have at most.
        map: where detections or classes stand in a prediction, as `--map`.
        boxes: how boxes are to be read, as `--boxes`.

    Raises:
        ExportError: the file cannot be written.
        ConfigError: `size` is too small, an argument cannot be read, or a library is missing.
        RunDamaged: raised after writing, if some of the run is not what was recorded.
        StoreError: there is no run in the directory.
    """
    directory = Path(run)
    damages = DamageCollector()
    fields, orientation = parse_interpretation(map, boxes)
    source = build_export_source(directory, "all", fields, orientation, damages)
    with open_run_access(directory), RunReader(directory, damages) as reader:
        reported = write_report(
            source,
            reader,
            directory / REPORT_FILE if to is None else Path(to),
            title=title,
            max_bytes=size,
            is_running=get_worker_status(directory) is not None,
        )
    damages.raise_if_any()
    return reported
