"""Engine and flow control know no failure codes: outcomes are classified where they are read."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import batchinfer
from batchinfer import engine, flow

CODED = {
    "FatalError",
    "Failure",
    "HttpErrorRule",
    "Notice",
    "OutageEnded",
    "OutageOngoing",
    "RunAborted",
    "StatusRule",
}
"""What takes a code: as the argument of this name, or the first text among those without one."""


def modules(package) -> list[Path]:
    return sorted(Path(package.__file__).parent.rglob("*.py"))


def name_of(call: ast.Call) -> str:
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def texts(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def codes_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and name_of(node) in CODED:
            named = [each.value for each in node.keywords if each.arg == "code"]
            yield from (text for each in named or node.args for text in texts(each))


def code_like(text: str) -> bool:
    return text.isidentifier() and text.islower()


ALL_CODES = {code for path in modules(batchinfer) for code in codes_in(path) if code_like(code)}
PATHS = [*modules(engine), *modules(flow)]


def test_the_codes_are_found():
    assert {"model_killed", "no_output", "timeout", "too_many_failures", "http_429"} <= ALL_CODES


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_it_spells_no_code(path: Path):
    assert ALL_CODES.isdisjoint(texts(ast.parse(path.read_text())))
