"""One name, one thing: what two modules of the package define under one name.

`make check` runs this. A second class, module or constant of a name needs a name of its own; a
constant that two modules need alike stands in one of them.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import batchinfer

ROOT = Path(batchinfer.__file__).parent
MODULES = {
    path.relative_to(ROOT.parent): ast.parse(path.read_text()) for path in ROOT.rglob("*.py")
}


FILES = {"env", "toml"}
"""Endings of our own files, in texts such as `batchinfer.toml`."""


def constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Names of a module in capitals, with what they are set to; type variables are no constants."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                continue
        if name.isupper() and not ast.unparse(value).startswith("TypeVar("):
            yield name, ast.unparse(value)


def shared(found: dict[str, set[str]]) -> dict[str, list[str]]:
    return {name: sorted(places) for name, places in found.items() if len(places) > 1}


def test_the_package_is_read():
    assert len(MODULES) > 100


def test_no_two_public_classes_share_a_name():
    found = defaultdict(set)
    for path, tree in MODULES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].add(str(path))

    assert shared(found) == {}


def test_no_two_modules_share_a_name():
    found = defaultdict(set)
    for path in MODULES:
        if path.stem not in {"__init__", "__main__"}:
            found[path.stem].add(str(path))

    assert shared(found) == {}


def test_no_two_constants_of_one_name_differ():
    values, places = defaultdict(set), defaultdict(set)
    for path, tree in MODULES.items():
        for name, value in constants(tree):
            values[name].add(value)
            places[name].add(str(path))

    assert {name: sorted(places[name]) for name, each in values.items() if len(each) > 1} == {}


def test_functions_that_messages_name_exist():
    named = {
        name
        for tree in MODULES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for name in re.findall(r"`batchinfer\.([a-z_]+)`", node.value)
    }

    assert "show" in named
    packages = {path.name for path in ROOT.iterdir()}
    assert {name for name in named - FILES - packages if not hasattr(batchinfer, name)} == set()
