"""`batchinfer query`: ask a run in SQL."""

from __future__ import annotations

import gzip
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from textwrap import wrap
from typing import BinaryIO, cast

import click

from batchinfer import api
from batchinfer.cli import options
from batchinfer.cli.talk import number, say, tell, told
from batchinfer.errors import ConfigError
from batchinfer.progress import printable
from batchinfer.sinks import answers
from batchinfer.sinks.whole import whole_file

_WIDE = 100
"""Signs that a line has without a terminal."""
_ENDINGS = {"csv": "csv", "json": "json", "jsonl": "jsonl", "ndjson": "jsonl", "txt": "table"}


@click.command(
    epilog=options.examples(
        "batchinfer query my-run",
        "batchinfer query my-run 'select label, count(*) from detections group by label'",
        "batchinfer query my-run 'select key, message from failures' --format csv",
        "batchinfer query my-run 'select * from detections where score > 0.9' -o sure.csv",
    )
)
@options.RUN
@click.argument("sql", metavar="[SQL]", required=False)
@click.option("-o", "--output", metavar="FILE|-", default="-", help="Where to. Default: stdout.")
@click.option(
    "--format",
    type=click.Choice(list(answers.FORMATS)),
    help="Default: by the extension; on a terminal a table, else csv.",
)
@options.MAP
@options.BOXES
@options.FORMULAS
@options.CSV_BOM
def query(
    *,
    run: Path,
    sql: str | None,
    output: str,
    format: str | None,
    mapped: tuple[str, ...],
    boxes: str,
    formulas: bool,
    csv_bom: bool,
) -> None:
    """Ask RUN one thing in SQL (SQLite's). Nothing can be changed.

    Without SQL: what there is to ask for. Works at any time, also while the run is going on. Views
    and columns: docs/run-format.md.
    """
    if sql is None:
        tell(*_listed(api.views(run)))
        return
    name = format or _format(output)
    if csv_bom and name != "csv":
        raise ConfigError(f"--csv-bom goes with the format csv, not with {name}.")
    chosen = answers.FORMATS[name]
    look = answers.Look(_width(), formulas, csv_bom)
    with api.query(run, sql, map=mapped, boxes=boxes) as answer:
        if output == "-":
            with told():
                chosen(answer.columns, answer.tuples(), sys.stdout.buffer, look)
                sys.stdout.buffer.flush()
            _say_reading(answer)
            return
        with whole_file(Path(output)) as file, _packed(file, output) as stream:
            count = chosen(answer.columns, answer.tuples(), stream, look)
        _say_reading(answer)
    say(f"{number(count, 'row')} written to {printable(output)}")


def _say_reading(answer: api.Answer) -> None:
    for sentence in answer.read_as():
        say(printable(sentence))


def _format(output: str) -> str:
    if output == "-":
        return "table" if sys.stdout.isatty() else "csv"
    ending = Path(output.removesuffix(".gz")).suffix.lower().removeprefix(".")
    if ending and ending not in _ENDINGS:
        raise ConfigError(
            f"{printable(output)}: no format of a query goes by this extension. Name the file"
            f" .{', .'.join(_ENDINGS)} (or one of these and .gz), or give --format."
        )
    return _ENDINGS.get(ending, "csv")


def _packed(file: BinaryIO, output: str) -> AbstractContextManager[BinaryIO]:
    if not output.endswith(".gz"):
        return nullcontext(file)
    return cast("BinaryIO", gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0))


def _width() -> int:
    return shutil.get_terminal_size((_WIDE, 24)).columns if sys.stdout.isatty() else _WIDE


def _listed(views: Mapping[str, Sequence[str]]) -> Iterator[str]:
    indent = max(map(len, views)) + 2
    for name, columns in views.items():
        lines = wrap(", ".join(columns), max(40, _width() - 1 - indent))
        for at, line in enumerate(lines):
            yield f"{'' if at else name:<{indent}}{line}"
