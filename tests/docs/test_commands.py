"""What programs and people depend on is documented: every command, every code, every field."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import click
import pytest

import batchinfer
from batchinfer import cli
from batchinfer.backends import http_troubles, s3_codes
from batchinfer.config.sections import SECTIONS
from batchinfer.domain import Result
from batchinfer.oscar import status

ROOT = Path(__file__).parents[2]
SCRIPTING = (ROOT / "docs" / "scripting.md").read_text()
DOCUMENTED = set(re.findall(r"`([A-Za-z0-9_]+)`", SCRIPTING))
_MAKES_A_CODE = re.compile(
    r"(failure|fatalerror|runaborted|notice|waiting|_permanent)$", re.IGNORECASE
)


def command(name: str) -> click.Command:
    return cli.batchinfer.get_command(click.Context(cli.batchinfer), name)


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
        codes |= {value.value for value in values if isinstance(value, ast.Constant)}
    return codes


def all_codes() -> set[str]:
    written = {
        code
        for path in Path(batchinfer.__file__).parent.rglob("*.py")
        if "local" not in path.parts
        for code in codes_in(path.read_text())
    }
    tables = (*status.RULES, *s3_codes.RULES, *http_troubles.TROUBLES)
    return written | {row.code.format(status="NNN") for row in tables}


def test_codes_are_found_where_they_are_made():
    found = all_codes()

    assert {"no_output", "file_empty", "model_error", "too_many_failures", "plain_http"} <= found
    assert {"cold_start", "s3_quota", "unreachable", "http_NNN"} <= found


def test_every_code_is_documented():
    assert all_codes() - DOCUMENTED == set()


def test_no_code_is_documented_that_does_not_exist():
    tables = SCRIPTING.partition("## Codes")[2].partition("## Environment")[0]
    rows = [line.split("|")[1] for line in tables.splitlines() if line.startswith("| `")]
    named = {code for row in rows for code in re.findall(r"`(\w+)`", row)}

    assert named - all_codes() == set()


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_with_an_example(name):
    found = command(name)

    assert found.name == name
    assert found.help
    assert f"batchinfer {name}" in (found.epilog or "")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_documented(name):
    assert f"`batchinfer {name}" in SCRIPTING


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_option_says_what_it_does(name):
    options = [each for each in command(name).params if isinstance(each, click.Option)]

    assert [option.name for option in options if not (option.help or option.type.name)] == []


def test_every_command_has_a_file_and_every_file_a_room():
    rooms = {"__init__", "detach", "going", "options", "signals", "talk"}
    files = {path.stem for path in Path(cli.__file__).parent.glob("*.py")}

    assert files - rooms == set(cli.COMMANDS)


def test_every_export_field_is_documented():
    assert {field.name for field in fields(Result)} <= DOCUMENTED


@pytest.mark.parametrize("code", ["0", "1", "2", "3", "130", "70"])
def test_every_exit_code_is_documented(code):
    assert f"\n| {code} | " in SCRIPTING


def test_environment_variables_in_the_docs_are_settings():
    settings = {
        f"BATCHINFER_{section}_{key.name}".upper()
        for section, keys in SECTIONS.items()
        for key in fields(keys)
    }

    assert set(re.findall(r"`(BATCHINFER_[A-Z_]+)`", SCRIPTING)) <= settings
