"""Whether a source is there, asked when one of its files is not.

A disk that was unplugged, a mount point with nothing mounted, a folder that moved, a server that
does not answer: then no file is to be found, and none of their items is at fault. Signs of it,
first match wins:

0. the file is a URI: no package reads it, its scheme says that the source cannot be listed, or
   that it is away (`SourceAwayError`) or has to be waited for; nobody answers, and no other file is
   there; it lies in a table, and that is gone or cannot be opened. Where it lies in another file
   (an archive), what follows is asked of that file, too, and that file is a source of its own
   when several of the run's lie in it;
1. the source's folder is gone, no folder, empty, cannot be read, or on another device than before;
2. a link to a folder on the way to the file leads nowhere;
3. the source is a list (a manifest, single files), and with the file a whole folder is gone that
   held others, too (`MIN_MISSING_FILES` of those that are known);
4. none of the other files that are known is there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from batchinfer.inputs import (
    SourceAwayError,
    explain_wait,
    find_container,
    find_uri_scheme,
    is_local,
    stat_input,
)
from batchinfer.inputs.contained_inputs import ContainedInputs
from batchinfer.inputs.uri_scheme import get_scheme_name
from batchinfer.plugins import PluginError
from batchinfer.sources import glob_patterns
from batchinfer.sources.list_detection import split_prefix
from batchinfer.sources.source_formats import detect_format
from batchinfer.sources.uri_source import explain_uri_absence
from batchinfer.text_format import escape_undecodable

MIN_MISSING_FILES: Final = 3


class SourcePresence:
    """Tells whether the source is there that `specs` name, as a run keeps them. Blocks."""

    def __init__(self, specs: Sequence[str]) -> None:
        self._specs = frozenset(specs)
        self._uris = [spec for spec in specs if not is_local(spec)]
        roots = (find_root_folder(spec) for spec in specs)
        self._device_by_root = {root: _get_device(root) for root in roots if root is not None}

    def explain_absence(self, path: str, others: Sequence[str]) -> str | None:
        """Why the source of a file that cannot be read is away; None: it is there.

        `others`: paths of some other files of the run.
        """
        if not is_local(path):
            if reason := self._explain_missing_uri(path) or _explain_silence(path, others):
                return reason
            if (container := find_container(path)) != path:
                return self._explain_missing_container(container, [*map(find_container, others)])
        return self._explain_missing_file(path, others)

    def _explain_missing_file(self, path: str, others: Sequence[str]) -> str | None:
        root = self._find_root(path)
        if root is not None:
            if reason := self._explain_missing_root(root):
                return reason
            others = [other for other in others if other.startswith(_with_slash(root))]
        missing_folder = _find_missing_folder(path) if is_local(path) else None
        if missing_folder is not None and os.path.islink(missing_folder):  # noqa: PTH114 - paths are strings here
            return f"the link {escape_undecodable(missing_folder)} leads nowhere"
        if missing_folder is not None and root is None:
            others_below = [
                other for other in others if other.startswith(_with_slash(missing_folder))
            ]
            if len(others_below) >= MIN_MISSING_FILES:
                return f"the folder {escape_undecodable(missing_folder)} is not there"
        others = [other for other in others if other != path]
        if len(others) >= MIN_MISSING_FILES and not any(map(_exists, others)):
            where = f" in {escape_undecodable(root)}" if root is not None else ""
            return f"none of {len(others)} files of this run that were looked for{where} is there"
        return None

    def _explain_missing_container(self, container: str, others: Sequence[str]) -> str | None:
        """The same of the file that an input lies in; `others`: those that the others lie in."""
        is_source = container in self._specs or others.count(container) >= MIN_MISSING_FILES
        if is_source and self._find_root(container) is None and not _exists(container):
            return f"the file {escape_undecodable(container)} is not there"
        return self.explain_absence(container, others)

    def has_all_folders(self) -> bool:
        """Whether all folders that were named are there."""
        return not any(self._explain_missing_root(root) for root in self._device_by_root)

    def _find_root(self, path: str) -> str | None:
        containing_roots = [
            root for root in self._device_by_root if path.startswith(_with_slash(root))
        ]
        return max(containing_roots, key=len, default=None)

    def _explain_missing_uri(self, uri: str) -> str | None:
        try:
            scheme = find_uri_scheme(uri)
        except PluginError as error:
            return str(error).rstrip(".")
        if scheme is None:
            return f"no installed package reads {get_scheme_name(uri)}:// (it once did)"
        if isinstance(scheme, ContainedInputs):
            return _explain_unopened(find_container(uri))
        with suppress(OSError):
            if reason := explain_wait(uri):
                return f"{escape_undecodable(find_container(uri))}: {reason}"
        reasons = (
            explain_uri_absence(scheme, spec) for spec in self._uris if _same_scheme(spec, uri)
        )
        return next(filter(None, reasons), None)

    def _explain_missing_root(self, root: str) -> str | None:
        name = f"the source {escape_undecodable(root)}"
        try:
            device = os.stat(root).st_dev  # noqa: PTH116
            with os.scandir(root) as entries:
                is_empty = next(entries, None) is None
        except FileNotFoundError:
            return f"{name} is not there"
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM}:
                return None  # a shortage of this process says nothing about the source
            return f"{name} cannot be read ({error.strerror})"
        if is_empty:
            return f"{name} is empty (is its disk mounted?)"
        known_device = self._device_by_root[root]
        if known_device is None:
            self._device_by_root[root] = device
        elif device != known_device:
            return f"{name} is on another disk than before (is its own mounted?)"
        return None


def find_root_folder(spec: str) -> str | None:
    """The folder that a spec names, absolute; None for a list, a single file, standard input."""
    if spec == "-" or "/./" in spec or split_prefix(spec)[0] or not is_local(spec):
        return None
    if not os.path.lexists(spec):
        if glob_patterns.has_magic(spec):
            return glob_patterns.split_pattern(spec)[0]
        return None if detect_format(spec) else spec
    return spec if os.path.isdir(spec) else None  # noqa: PTH112


def _explain_unopened(path: str) -> str | None:
    """Why the file that holds an input cannot be opened; None: it can."""
    displayed = escape_undecodable(path)
    try:
        with open(path, "rb"):  # noqa: PTH123 - a string
            return None
    except (FileNotFoundError, NotADirectoryError):
        return f"the file {displayed} is not there, which holds it"
    except OSError as error:
        if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM}:
            return None  # a shortage of this process says nothing about the source
        return f"the file {displayed}, which holds it, cannot be read ({error.strerror})"


def _with_slash(folder: str) -> str:
    return folder.rstrip("/") + "/"


def _same_scheme(one: str, other: str) -> bool:
    return get_scheme_name(one) == get_scheme_name(other)


def _explain_silence(uri: str, others: Sequence[str]) -> str | None:
    """Why an input is away with others, by how its scheme fails to look at it."""
    try:
        stat_input(uri)
    except SourceAwayError as error:
        return f"{escape_undecodable(uri)} cannot be read ({error.strerror or error})"
    except (ConnectionError, TimeoutError) as error:
        if not any(_exists(other) for other in others if other != uri):
            return f"{escape_undecodable(uri)} cannot be read ({error.strerror or error})"
    except (OSError, ValueError):
        pass
    return None


def _exists(path: str) -> bool:
    if is_local(path):
        return os.path.lexists(path)
    try:
        stat_input(path)
    except OSError:
        return False
    return True


def _get_device(root: str) -> int | None:
    try:
        with os.scandir(root) as entries:
            is_empty = next(entries, None) is None
        return None if is_empty else os.stat(root).st_dev  # noqa: PTH116
    except OSError:
        return None


def _find_missing_folder(path: str) -> str | None:
    """The first folder on the way to a file that is not there; None: all are."""
    missing, folder = None, os.path.dirname(path)  # noqa: PTH120
    while folder not in {"", "/"} and not os.path.isdir(folder):  # noqa: PTH112
        missing, folder = folder, os.path.dirname(folder)  # noqa: PTH120
    return missing
