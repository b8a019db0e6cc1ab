"""Plugins by name: built-in ones from a table, those of other packages by entry point.

An entry point is a line in the `pyproject.toml` of an installed package::

    [project.entry-points."batchinfer.exports"]
    kml = "my_package.kml:KmlExport"

Nothing is imported before it is asked for by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Generic, TypeVar

from batchinfer.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

T = TypeVar("T")


class PluginError(ConfigError):
    """An installed plugin cannot be loaded."""


class Registry(Generic[T]):
    """The plugins of one group."""

    def __init__(self, group: str, built_in: Mapping[str, str]) -> None:
        """`built_in`: the name of each of ours, and where it is ("module:attribute")."""
        self.group = group
        self._built_in = built_in
        self._loaded: dict[str, T] = {}

    def names(self) -> list[str]:
        """Every name that `get` knows: ours first, in their order, then those of others."""
        others = _find_entry_points(self.group).names - set(self._built_in)
        return [*self._built_in, *sorted(others)]

    def get(self, name: str) -> T:
        """The plugin of that name, imported when it is first asked for.

        Ours cannot be replaced. Raises KeyError when there is none of that name, PluginError when
        it is installed and cannot be imported.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def describe_origin(self, name: str) -> str:
        """Where a plugin comes from: "built-in", its package and version, or "missing"."""
        if name in self._built_in:
            return "built-in"
        if name not in (found := _find_entry_points(self.group)).names:
            return "missing"
        package = found[name].dist
        return "installed" if package is None else f"{package.name} {package.version}"

    def _load(self, name: str) -> T:
        if (where := self._built_in.get(name)) is not None:
            module, _, attribute = where.partition(":")
            built_in: T = getattr(import_module(module), attribute)
            return built_in
        entry_point = _find_entry_points(self.group)[name]
        try:
            plugin: T = entry_point.load()
        except Exception as error:
            package = entry_point.dist.name if entry_point.dist else entry_point.value
            raise PluginError(
                f'"{name}" of the package {package} cannot be loaded '
                f"({type(error).__name__}: {error}). Repair or remove that package."
            ) from error
        return plugin


def _find_entry_points(group: str) -> EntryPoints:
    # Imported here: it takes longer than most commands that need no plugin.
    from importlib.metadata import entry_points  # noqa: PLC0415

    return entry_points(group=group)
