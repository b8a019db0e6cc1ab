"""Packages that import their public names when they are first used."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import batchinfer

ROOT = Path(batchinfer.__file__).parent
STUBS = sorted(ROOT.rglob("*.pyi"))


def package(stub: Path) -> str:
    return ".".join(stub.parent.relative_to(ROOT.parent).parts)


def test_there_are_such_packages():
    assert ROOT / "__init__.pyi" in STUBS


@pytest.mark.parametrize("stub", STUBS, ids=package)
def test_it_exports_what_its_stub_says_from_where_it_says_so(stub):
    lines = ast.parse(stub.read_text()).body
    exports = {
        each.names[0].asname: each.module for each in lines if isinstance(each, ast.ImportFrom)
    }

    module = import_module(package(stub))

    assert len(exports) == len(lines) > 0
    assert module.__all__ == sorted(exports)
    for name, origin in exports.items():
        assert getattr(module, name) is getattr(import_module(origin), name)


@pytest.mark.parametrize("stub", STUBS, ids=package)
def test_any_other_name_is_an_attribute_error(stub):
    with pytest.raises(
        AttributeError, match=f"module '{package(stub)}' has no attribute 'nothing'"
    ):
        _ = import_module(package(stub)).nothing


def test_a_star_import_gives_them_all():
    done = subprocess.run(
        [sys.executable, "-c", "from batchinfer import *; print(run, Results, Item, __version__)"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "function run" in done.stdout
