"""`batchinfer query`: ask a run in SQL."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap

import click

from batchinfer import api
from batchinfer.cli import options
from batchinfer.cli.talk import number, say, spelled, tell, told
from batchinfer.sinks import answers
from batchinfer.sinks.whole import whole_file

_WIDE = 100
"""Signs that a line has without a terminal."""


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
@options.FORMULAS
def query(
    *,
    run: Path,
    sql: str | None,
    output: str,
    format: str | None,
    mapped: tuple[str, ...],
    formulas: bool,
) -> None:
    """Ask RUN one thing in SQL (SQLite's). Nothing can be changed.

    Without SQL: what there is to ask for. Works at any time, also while the run is going on. Views
    and columns: docs/run-format.md.
    """
    if sql is None:
        tell(*_listed(api.views(run)))
        return
    chosen = answers.FORMATS[format or _format(output)]
    look = answers.Look(_width(), formulas)
    with api.query(run, sql, map=mapped) as answer:
        if output == "-":
            with told():
                chosen(answer.columns, answer.tuples(), sys.stdout.buffer, look)
                sys.stdout.buffer.flush()
            return
        with whole_file(Path(output)) as file:
            count = chosen(answer.columns, answer.tuples(), file, look)
    say(f"{number(count, 'row')} written to {spelled(output)}")


def _format(output: str) -> str:
    if output == "-":
        return "table" if sys.stdout.isatty() else "csv"
    ending = Path(output).suffix.lower().removeprefix(".")
    return ending if ending in answers.FORMATS else "csv"


def _width() -> int:
    return shutil.get_terminal_size((_WIDE, 24)).columns if sys.stdout.isatty() else _WIDE


def _listed(views: Mapping[str, Sequence[str]]) -> Iterator[str]:
    indent = max(map(len, views)) + 2
    for name, columns in views.items():
        lines = wrap(", ".join(columns), max(40, _width() - 1 - indent))
        for at, line in enumerate(lines):
            yield f"{'' if at else name:<{indent}}{line}"
