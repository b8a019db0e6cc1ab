"""`batchinfer export`: write the results to a file or a folder."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import cast

import click

from batchinfer import api, exports
from batchinfer.cli import cli_options
from batchinfer.cli.output import echo_message, translate_stdout_errors
from batchinfer.text_format import escape_unprintable, format_count


class _ExportCommand(click.Command):
    """Its help lists the formats that are installed."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the formats and what they are, then the examples."""
        with formatter.section("Formats"):
            formatter.write_dl([_describe_format(each) for each in exports.list_formats()])
        super().format_epilog(ctx, formatter)


@click.command(
    cls=_ExportCommand,
    epilog=cli_options.format_examples(
        "batchinfer export my-run -o results.csv",
        "batchinfer export my-run -o for-excel.csv --csv-bom",
        "batchinfer export my-run -o detections.csv --format csv-flat",
        "batchinfer export my-run -o - --state succeeded | jq .prediction",
        "batchinfer export my-run -o failed.jsonl --state failed",
        "batchinfer export my-run -o labels --format yolo --map 'boxes=result.boxes'",
    ),
)
@cli_options.run_argument
@click.option("-o", "--output", required=True, metavar="PATH|-", help="Where to; - for stdout.")
@click.option(
    "--format",
    type=click.Choice(exports.EXPORT_FORMATS.names()),
    help="Default: by the extension; jsonl on stdout.",
)
@click.option(
    "--state",
    type=click.Choice(["succeeded", "failed", "all"]),
    default="all",
    help="Which items. Default: all, also those without an outcome yet.",
)
@cli_options.map_option
@cli_options.boxes_option
@cli_options.formulas_option
@click.option(
    "--found-only",
    is_flag=True,
    help="csv-flat, parquet, arrow: leave out items without a detection or class.",
)
@cli_options.csv_bom_option
@click.option(
    "--file-names",
    type=click.Choice(list(exports.FILE_NAME_STYLES)),
    default="path",
    help="What file_name is in COCO: the path below a folder that is printed (default), the"
    " absolute path, or the item's key.",
)
@click.option(
    "--percent-scores",
    is_flag=True,
    help="The model's scores are percents: write 87.5 as 0.875 for yolo, label-studio and"
    " fiftyone, which want 0 to 1.",
)
def export(
    *,
    run: Path,
    output: str,
    format: str | None,
    state: str,
    mapped: tuple[str, ...],
    boxes: str,
    formulas: bool,
    found_only: bool,
    csv_bom: bool,
    file_names: str,
    percent_scores: bool,
) -> None:
    """Write the items of RUN to PATH, in input order: a table, or labels for another program.

    The file (also .gz) or folder is complete or not there at all. Works at any time, also while the
    run is going on. Formats and fields: docs/reference/exports.md.
    """
    chosen = _choose_format(format, output)
    write = partial(
        api.export,
        run,
        format=chosen.name,
        which=cast("api.ResultFilter", state),
        map=mapped,
        formulas=formulas,
        boxes=boxes,
        found_only=found_only,
        csv_bom=csv_bom,
        file_names=cast("exports.FileNameStyle", file_names),
        percent_scores=percent_scores,
        notice=lambda sentence: echo_message(escape_unprintable(sentence)),
    )
    unit = chosen.unit
    if output != "-":
        count = write(output)
        echo_message(f"{format_count(count, unit)} written to {escape_unprintable(output)}")
        return
    with translate_stdout_errors():
        count = write(sys.stdout.buffer)
        sys.stdout.buffer.flush()
    echo_message(f"{format_count(count, unit)} written to standard output")


def _choose_format(name: str | None, output: str) -> exports.ExportFormat:
    if name is None and output != "-":
        return exports.find_format_by_path(output)
    return exports.find_format(name or "jsonl")


def _describe_format(format: exports.ExportFormat) -> tuple[str, str]:
    kind = exports.describe_kind(format)
    return format.name, f"{kind}; {format.description} ({format.consumers})"
