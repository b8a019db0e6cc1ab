"""No package but `inputs` opens an input: the others call none of the functions that would."""

import ast
from pathlib import Path

import pytest

import batchinfer

PACKAGE = Path(batchinfer.__file__).parent
MODULES = sorted(
    path.relative_to(PACKAGE).as_posix()
    for pattern in (
        "backends/*.py",
        "images/*.py",
        "report/*.py",
        "engine/*.py",
        "exports/image_*.py",
        "store/transitions.py",
        "store/file_relocation.py",
        "api/dry_run.py",
        "api/run_sources.py",
        "api/prediction_format.py",
    )
    for path in PACKAGE.glob(pattern)
)
OPENING = {
    "open",
    "io.open",
    "io.FileIO",
    "os.open",
    "os.stat",
    "os.lstat",
    "os.access",
    "os.path.getsize",
    "Path().open",
    "Path().stat",
    "Path().lstat",
    "Path().read_bytes",
    "Path().read_text",
}


def called_functions(source: str) -> set[str]:
    """The dotted names of all functions that are called; `Path(...)` is spelled `Path()`."""

    def name_of(node: ast.expr) -> str:
        match node:
            case ast.Name(name):
                return name
            case ast.Attribute(value, name):
                return f"{name_of(value)}.{name}"
            case ast.Call(function):
                return f"{name_of(function)}()"
        return "?"

    return {
        name_of(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)
    }


@pytest.mark.parametrize("module", MODULES)
def test_no_other_package_opens_or_looks_at_an_input(module):
    assert called_functions((PACKAGE / module).read_text()) & OPENING == set()


def test_what_opens_a_file_is_found():
    source = "with Path(x).open() as f, open(y): os.path.getsize(z); self.file.stat()"
    assert called_functions(source) & OPENING == {"Path().open", "open", "os.path.getsize"}
