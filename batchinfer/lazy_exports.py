"""Packages whose public names are imported when they are first used.

Such a package has an `__init__.pyi`, which type checkers and editors read: a line for each name,
`from package.module import name as name`. Its `__init__.py` takes the names from there, so that the
list stands once. A command, or a program that uses one function, loads only what it needs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module

_EXPORT_PATTERN = re.compile(r"^from (\S+) import (\w+) as \2$", re.MULTILINE)


def lazy_exports(package: str) -> Callable[[str], object]:
    """The `__getattr__` of a package; also gives its `__all__`: what its `__init__.pyi` exports."""
    module_by_name: dict[str, str] = {}

    def get_export(name: str) -> object:
        if not module_by_name:
            module_by_name.update(_read_exports(package))
        if name == "__all__":
            value: object = sorted(module_by_name)
        elif name in module_by_name:
            value = getattr(import_module(module_by_name[name]), name)
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)  # the next look-up does not come here
        return value

    return get_export


def _read_exports(package: str) -> dict[str, str]:
    """Every exported name with the module that defines it."""
    from pkgutil import get_data  # noqa: PLC0415 - most imports of a package ask for no name

    stub = (get_data(package, "__init__.pyi") or b"").decode()
    return {name: module for module, name in _EXPORT_PATTERN.findall(stub)}
