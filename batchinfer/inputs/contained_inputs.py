"""Inputs that lie inside of a file of this machine: the cells of a table, say.

A scheme whose inputs do implements `ContainedInputs`, too. Then a file that is gone is the source's
absence and no item's fault, a run's inputs move with the files that hold them, and looking at a
million inputs takes no reading.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from batchinfer.inputs.uri_scheme import UriScheme, call_plugin, find_uri_scheme


class Glance(NamedTuple):
    """What can be seen of an input without reading any of what holds it."""

    size: int | None
    """Bytes; None: not known before it is read."""
    mtime_ns: int | None
    """Modification time of what holds it."""
    fingerprint: str | None
    """As in `InputStat`. Of a copy of what holds it, only the time in it differs: `TIME-SIZE`."""


@runtime_checkable
class ContainedInputs(UriScheme, Protocol):
    """A `UriScheme` whose inputs lie inside of local files."""

    def find_container(self, uri: str) -> str:
        """The path of the file that holds an input."""

    def move_container(self, uri: str, path: str) -> str:
        """The URI of the same input in a file at another path."""

    def glance(self, uri: str) -> Glance:
        """Look at an input as far as that costs no reading. Raises as `UriScheme.stat`."""


def move_container(uri: str, path: str) -> str:
    """The URI of an input that is in a file, which has moved to `path`."""
    scheme = _find_scheme(uri)
    return uri if scheme is None else call_plugin(scheme.move_container, uri, path)


def glance_inside(path: str) -> Glance | None:
    """What a glance tells of an input; None: it lies in no other file. Raises OSError."""
    scheme = _find_scheme(path)
    return None if scheme is None else call_plugin(scheme.glance, path)


def may_be_copy(fingerprint: str | None, other: str | None) -> bool:
    """Whether files with these fingerprints can hold the same: not if their sizes differ."""
    if fingerprint is None or other is None:
        return True
    return fingerprint.rpartition("-")[2] == other.rpartition("-")[2]


def _find_scheme(path: str) -> ContainedInputs | None:
    scheme = find_uri_scheme(path)
    return scheme if isinstance(scheme, ContainedInputs) else None
