"""Two runs compared, item by item. Nothing here writes to a run's database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import Final

from batchinfer.api.job import require_run
from batchinfer.api.result_export import BoxSpec, build_export_source, parse_interpretation
from batchinfer.api.settings import StrPath
from batchinfer.api.sync_runner import in_thread
from batchinfer.comparison import (
    DEFAULT_MIN_OVERLAP,
    DEFAULT_TOLERANCE,
    ComparedRun,
    Comparison,
    ComparisonRules,
    ComparisonTable,
    compare_pair,
    iter_item_pairs,
    write_comparison_page,
)
from batchinfer.domain import RunInfo
from batchinfer.errors import ConfigError, option
from batchinfer.exports.atomic import atomic_file
from batchinfer.exports.export_source import ExportSource
from batchinfer.exports.safe_endpoint import safe_host_and_name
from batchinfer.report import DEFAULT_MAX_REPORT_BYTES
from batchinfer.store.row_checks import DamageCollector
from batchinfer.store.run_reader import RunReader
from batchinfer.text_format import escape_undecodable

PAGE_SUFFIXES: Final = (".html", ".htm")
TABLE_SUFFIXES: Final = (".csv",)


def compare(
    a: StrPath,
    b: StrPath,
    to: StrPath | Sequence[StrPath] = (),
    *,
    iou: float = DEFAULT_MIN_OVERLAP,
    tolerance: float = DEFAULT_TOLERANCE,
    map: str | Sequence[str] | None = None,
    boxes: BoxSpec = "upright",
    title: str | None = None,
    size: int = DEFAULT_MAX_REPORT_BYTES,
    notice: Callable[[str], None] | None = None,
) -> Comparison:
    """Compare two runs of the same inputs: items by their keys, detections by where they are.

    Works at any time, also while processes work on the runs; unfinished items are not compared.

    Args:
        a: the run directory of the first run.
        b: that of the second one: what is newly failed has failed here.
        to: files to write, completely or not at all: `.html` for a page with both drawn side by
            side, `.csv` for a row per item.
        iou: overlap (intersection over union) from which on two detections are the same thing.
        tolerance: scores that differ by no more are the same.
        map: where detections or classes stand in a prediction, as `--map`; in both runs.
        boxes: how boxes are to be read, as `--boxes`; in both runs.
        title: the title of the page; None: the names of the runs.
        size: bytes that the page may have at most.
        notice: called with sentences on how predictions were read.

    Returns:
        What was found; `as_json()` is what `--json` prints.

    Raises:
        ConfigError: an argument cannot be used, or a library is missing.
        ExportError: a file cannot be written.
        RunDamaged: raised after writing, if some of a run is not what was recorded.
        StoreError: there is no run in a directory.
    """
    targets = _check_targets(to)
    rules = _check_rules(iou, tolerance)
    directories = (Path(a), Path(b))
    for directory in directories:
        require_run(directory)
    fields, orientation = parse_interpretation(map, boxes)
    damages = (DamageCollector(), DamageCollector())
    sources = tuple(
        build_export_source(directory, "all", fields, orientation, found)
        for directory, found in zip(directories, damages, strict=True)
    )
    with (
        RunReader(directories[0], damages[0]) as first,
        RunReader(directories[1], damages[1]) as second,
    ):
        comparison = Comparison(_describe_run(first), _describe_run(second))
        _read_pairs(comparison, (sources[0], sources[1]), (first, second), rules, targets)
        for target in targets:
            if target.suffix.lower() in PAGE_SUFFIXES:
                write_comparison_page(
                    comparison,
                    (sources[0], sources[1]),
                    (first, second),
                    target,
                    rules=rules,
                    max_bytes=size,
                    title=title,
                )
    comparison.files = [str(target) for target in targets]
    if notice is not None:
        for source in sources:
            for sentence in source.conventions.describe_doubts() if source.conventions else ():
                notice(f"{source.run_directory}: {sentence}")
    for found in damages:
        found.raise_if_any()
    return comparison


acompare = in_thread("acompare", compare)


def _read_pairs(
    comparison: Comparison,
    sources: tuple[ExportSource, ExportSource],
    readers: tuple[RunReader, RunReader],
    rules: ComparisonRules,
    targets: Sequence[Path],
) -> None:
    """Compare item by item, and write each into the tables among `targets`."""
    with ExitStack() as stack:
        tables = [
            ComparisonTable(stack.enter_context(atomic_file(target)))
            for target in targets
            if target.suffix.lower() in TABLE_SUFFIXES
        ]
        for pair in iter_item_pairs(*readers):
            difference = compare_pair(pair, *sources, rules)
            comparison.add(difference)
            for table in tables:
                table.write(difference)
        for table in tables:
            table.close()


def _check_targets(to: StrPath | Sequence[StrPath]) -> Sequence[Path]:
    targets = [Path(to)] if isinstance(to, (str, PathLike)) else [Path(each) for each in to]
    for target in targets:
        if target.suffix.lower() not in (*PAGE_SUFFIXES, *TABLE_SUFFIXES):
            raise ConfigError(
                f"Unknown extension of {escape_undecodable(str(target))}: use .html for a page, "
                "or .csv for a table."
            )
    return targets


def _check_rules(iou: float, tolerance: float) -> ComparisonRules:
    if not 0 < iou <= 1:
        raise ConfigError(f"{option('iou', f'{iou:g}')}: choose a number above 0, up to 1.")
    if not 0 <= tolerance < float("inf"):
        raise ConfigError(f"{option('tolerance', f'{tolerance:g}')}: choose a number from 0 on.")
    return ComparisonRules(iou, tolerance)


def _describe_run(reader: RunReader) -> ComparedRun:
    return ComparedRun(str(reader.directory), _describe_service(reader.info), reader.read_counts())


def _describe_service(info: RunInfo) -> str:
    """Name and host of what the run was sent to; "" where they could hold a secret."""
    section = info.config.get(info.mode.section)
    endpoint = section.get("endpoint") if isinstance(section, dict) else None
    host, name = safe_host_and_name(endpoint) if isinstance(endpoint, str) else ("", "")
    return " at ".join(filter(None, (name, host)))
