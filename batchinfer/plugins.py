"""Plugins by name: built-in ones from a table, those of other packages by entry point.

An entry point is a line in the `pyproject.toml` of an installed package::

    [project.entry-points."batchinfer.exports"]
    kml = "my_package.kml:KmlExport"

Nothing is imported before it is asked for by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from batchinfer.errors import ConfigError

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
        others = {each.name for each in entry_points(group=self.group)} - set(self._built_in)
        return [*self._built_in, *sorted(others)]

    def get(self, name: str) -> T:
        """The plugin of that name, imported when it is first asked for.

        Ours cannot be replaced. Raises KeyError when there is none of that name, PluginError when
        it is installed and cannot be imported.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(self._find(name))
        return self._loaded[name]

    def _find(self, name: str) -> EntryPoint:
        if (where := self._built_in.get(name)) is not None:
            return EntryPoint(name, where, self.group)
        for found in entry_points(group=self.group, name=name):
            return found
        raise KeyError(name)

    def _load(self, entry: EntryPoint) -> T:
        if entry.name in self._built_in:
            plugin: T = entry.load()
            return plugin
        try:
            plugin = entry.load()
        except Exception as error:
            package = entry.dist.name if entry.dist else entry.value
            raise PluginError(
                f'"{entry.name}" of the package {package} cannot be loaded '
                f"({type(error).__name__}: {error}). Repair or remove that package."
            ) from error
        return plugin
