"""`batchinfer query`: ask a run in SQL."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap

import click

from batchinfer import api
from batchinfer.cli import cli_options
from batchinfer.cli.output import echo_data, echo_message, translate_stdout_errors
from batchinfer.errors import ConfigError
from batchinfer.exports import query_output
from batchinfer.text_format import escape_unprintable, format_count

_FALLBACK_COLUMNS = 100
"""Signs that a line has without a terminal."""
_QUERY_FORMAT_BY_EXTENSION = {
    "csv": "csv",
    "json": "json",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "txt": "table",
}


@click.command(
    epilog=cli_options.format_examples(
        "batchinfer query my-run",
        "batchinfer query my-run 'select label, count(*) from detections group by label'",
        "batchinfer query my-run 'select key, message from failures' --format csv",
        "batchinfer query my-run 'select * from detections where score > 0.9' -o sure.csv",
    )
)
@cli_options.run_argument
@click.argument("sql", metavar="[SQL]", required=False)
@click.option("-o", "--output", metavar="FILE|-", default="-", help="Where to. Default: stdout.")
@click.option(
    "--format",
    type=click.Choice(list(query_output.QUERY_FORMATS)),
    help="Default: by the extension; on a terminal a table, else csv.",
)
@cli_options.map_option
@cli_options.boxes_option
@cli_options.formulas_option
@cli_options.csv_bom_option
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
    and columns: docs/reference/run-format.md.
    """
    from batchinfer.exports.export_writer import open_target

    if sql is None:
        echo_data(*_format_views(api.list_views(run)))
        return
    format_name = format or _choose_format(output)
    if csv_bom and format_name != "csv":
        raise ConfigError(f"--csv-bom goes with the format csv, not with {format_name}.")
    write_rows = query_output.QUERY_FORMATS[format_name]
    layout = query_output.QueryOutputOptions(_terminal_columns(), formulas, csv_bom)
    with api.query(run, sql, map=mapped, boxes=boxes) as answer:
        if output == "-":
            with translate_stdout_errors():
                write_rows(answer.columns, answer.tuples(), sys.stdout.buffer, layout)
                sys.stdout.buffer.flush()
            _echo_interpretation(answer)
            return
        with open_target(Path(output)) as file:
            count = write_rows(answer.columns, answer.tuples(), file, layout)
        _echo_interpretation(answer)
    echo_message(f"{format_count(count, 'row')} written to {escape_unprintable(output)}")


def _echo_interpretation(answer: api.QueryResult) -> None:
    for sentence in answer.describe_interpretation():
        echo_message(escape_unprintable(sentence))


def _choose_format(output: str) -> str:
    if output == "-":
        return "table" if sys.stdout.isatty() else "csv"
    extension = Path(output.removesuffix(".gz")).suffix.lower().removeprefix(".")
    if extension and extension not in _QUERY_FORMAT_BY_EXTENSION:
        raise ConfigError(
            f"{escape_unprintable(output)}: no format of a query goes by this extension. Name the "
            f"file .{', .'.join(_QUERY_FORMAT_BY_EXTENSION)} (or one of these and .gz), or give "
            "--format."
        )
    return _QUERY_FORMAT_BY_EXTENSION.get(extension, "csv")


def _terminal_columns() -> int:
    return (
        shutil.get_terminal_size((_FALLBACK_COLUMNS, 24)).columns
        if sys.stdout.isatty()
        else _FALLBACK_COLUMNS
    )


def _format_views(views: Mapping[str, Sequence[str]]) -> Iterator[str]:
    indent = max(map(len, views)) + 2
    for name, columns in views.items():
        lines = wrap(", ".join(columns), max(40, _terminal_columns() - 1 - indent))
        for index, line in enumerate(lines):
            yield f"{'' if index else name:<{indent}}{line}"
