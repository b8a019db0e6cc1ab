"""What programs and people depend on is documented: every command, every code, every field."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import click
import pytest

import batchinfer
from batchinfer import cli, exports
from batchinfer.backends import http_errors, s3_errors
from batchinfer.config.sections import SECTIONS
from batchinfer.domain import Result
from batchinfer.exports import flat_rows, query_output
from batchinfer.predictions.field_map import FieldMap
from batchinfer.protocols.ai4os import http_status
from batchinfer.report import WrittenReport
from support.paths import ROOT

REFERENCE = ROOT / "docs" / "reference"
SCRIPTING = (REFERENCE / "scripting.md").read_text()
EXPORTS = (REFERENCE / "exports.md").read_text()
CODES = (REFERENCE / "failure-codes.md").read_text()
ENVIRONMENT = (REFERENCE / "environment.md").read_text()
CODE_NAMES = set(re.findall(r"`([A-Za-z0-9_]+)`", CODES + SCRIPTING))
_MAKES_A_CODE = re.compile(
    r"(failure|fatalerror|runaborted|notice|outageongoing|_permanent)$", re.IGNORECASE
)


def command(name: str) -> click.Command:
    return cli.batchinfer.get_command(click.Context(cli.batchinfer), name)


def section(title: str) -> str:
    """What stands under a heading of the page on exports, up to the next of its kind or higher."""
    level = title.partition(" ")[0]
    return re.split(rf"(?m)^#{{2,{len(level)}}} ", EXPORTS.partition(f"\n{title}\n")[2])[0]


def rows(text: str) -> list[list[str]]:
    """The cells of tables, row by row, without heads."""
    return [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| `")]


def names(cells: list[str]) -> list[str]:
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def options(name: str) -> list[click.Option]:
    return [each for each in command(name).params if isinstance(each, click.Option)]


def codes_in(source: str) -> set[str]:
    """The texts that are given as `code` to whatever makes an outcome, an error or a notice."""
    tree = ast.parse(source)
    named = {
        str(getattr(target, "id", "")): assigned.value
        for assigned in tree.body
        if isinstance(assigned, ast.Assign | ast.AnnAssign)
        for target in getattr(assigned, "targets", [getattr(assigned, "target", None)])
    }
    codes = set()
    for call in (each for each in ast.walk(tree) if isinstance(each, ast.Call)):
        if not _MAKES_A_CODE.search(getattr(call.func, "id", getattr(call.func, "attr", ""))):
            continue
        given = [*call.args[:1], *(word.value for word in call.keywords if word.arg == "code")]
        values = [named.get(getattr(arg, "id", ""), arg) for arg in given]
        codes |= {v.value for v in values if isinstance(v, ast.Constant) and v.value}
    return codes


def all_codes() -> set[str]:
    written = {
        code
        for path in Path(batchinfer.__file__).parent.rglob("*.py")
        if "local" not in path.parts
        for code in codes_in(path.read_text())
    }
    tables = (*http_status.STATUS_RULES, *s3_errors.S3_ERROR_RULES, *http_errors.HTTP_ERROR_RULES)
    return written | {row.code.format(status="NNN") for row in tables}


def test_codes_are_found_where_they_are_made():
    found = all_codes()

    assert {"no_output", "file_empty", "model_error", "too_many_failures", "plain_http"} <= found
    assert {"cold_start", "s3_quota", "unreachable", "http_NNN"} <= found


def test_every_code_is_documented():
    assert all_codes() - CODE_NAMES == set()


def test_no_code_is_documented_that_does_not_exist():
    rows = [line.split("|")[1] for line in CODES.splitlines() if line.startswith("| `")]
    named = {code for row in rows for code in re.findall(r"`(\w+)`", row)}

    assert named - all_codes() == set()


@pytest.mark.parametrize("name", cli.COMMAND_SUMMARIES)
def test_every_command_has_help_with_an_example(name):
    found = command(name)

    assert found.name == name
    assert found.help
    assert f"batchinfer {name}" in (found.epilog or "")


@pytest.mark.parametrize("name", cli.COMMAND_SUMMARIES)
def test_every_command_is_documented(name):
    assert f"`batchinfer {name}" in SCRIPTING


@pytest.mark.parametrize("name", cli.COMMAND_SUMMARIES)
def test_every_option_says_what_it_does(name):
    assert [option.name for option in options(name) if not (option.help or option.type.name)] == []


def test_every_command_has_a_file():
    files = {path.stem for path in Path(cli.__file__).parent.glob("*_command.py")}

    assert {stem.removesuffix("_command") for stem in files} == set(cli.COMMAND_SUMMARIES)


def test_every_export_field_is_documented():
    documented = set(names([cells[0] for cells in rows(section("### One row per item"))]))

    assert {field.name for field in fields(Result)} <= documented


def test_every_field_of_the_flat_rows_is_documented_and_no_other():
    described = rows(section("### One row per detection or class"))

    assert sorted(names([cells[0] for cells in described])) == sorted(flat_rows.FLAT_COLUMNS)


def test_every_export_format_is_documented_as_it_is():
    assert exports.make_format_table() in section("## Export")
    for each in exports.list_formats():
        assert each.description.split()[1].strip(",") == each.unit


def test_what_each_export_leaves_out_is_documented():
    told = rows(section("### What the others hold, and leave out"))
    rowwise = {"jsonl", "csv", "csv-flat", "parquet", "arrow"}

    assert {names(cells[:1])[0] for cells in told} == set(exports.EXPORT_FORMATS.names()) - rowwise


def test_everything_that_can_be_mapped_is_documented():
    described = names([cells[0] for cells in rows(section("### `--map`"))])
    example = re.findall(r"--map '([^']+)'", section("### `--map`"))

    assert len(example) == 1
    assert {*described} == {field.name for field in fields(FieldMap)} - {"relative"} | {"unit"}
    assert FieldMap.parse(example).format == "xywh"


@pytest.mark.parametrize("name", ["report", "export", "query"])
def test_every_flag_of_what_looks_at_results_is_documented(name):
    titles = {"report": "## `batchinfer report`", "query": "## `batchinfer query`"}
    text = section(titles.get(name, "## Export"))
    said = set(re.findall(r"(?<![\w-])--?[a-z]+(?:-[a-z]+)*", text))
    flags = re.compile(r"`(--?[a-z]+(?:-[a-z]+)*)")
    in_tables = {flag for cells in rows(text) for flag in flags.findall(cells[0])}

    assert [option.name for option in options(name) if not said & {*option.opts}] == []
    assert in_tables <= {flag for option in options(name) for flag in option.opts}


def test_the_fields_of_a_report_are_documented():
    described = rows(section("## `batchinfer report`"))
    told = WrittenReport(Path("report.html"), 2, 1, 3).as_json()

    assert [name for name in names([cells[0] for cells in described]) if name[0] != "-"] == [*told]


def test_every_format_of_an_answer_is_documented():
    assert set(query_output.QUERY_FORMATS) <= set(names([section("## `batchinfer query`")]))


@pytest.mark.parametrize("code", ["0", "1", "2", "3", "130", "70"])
def test_every_exit_code_is_documented(code):
    assert f"\n| {code} | " in SCRIPTING


def test_environment_variables_in_the_docs_are_settings():
    settings = {
        f"BATCHINFER_{section}_{key.name}".upper()
        for section, keys in SECTIONS.items()
        for key in fields(keys)
    }

    assert set(re.findall(r"`(BATCHINFER_[A-Z_]+)`", ENVIRONMENT)) <= settings
