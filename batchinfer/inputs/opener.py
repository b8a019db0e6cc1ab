"""Opens whatever `InputFile.path` names: a plain path, or a URI whose scheme is known."""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from typing import BinaryIO, Final, TypeVar

from batchinfer.domain import InputFile, RemoteFile
from batchinfer.inputs.local_files import LocalFiles, OpenLocalFile
from batchinfer.inputs.source_access import carry_context
from batchinfer.inputs.uri_scheme import (
    InputOpener,
    InputStat,
    OpenInput,
    UriScheme,
    call_plugin,
    find_uri_scheme,
    get_scheme_name,
)
from batchinfer.plugins import PluginError

MAX_COPY_BYTES: Final = 64 << 20
"""Bytes of a remote input up to which it is fetched to be shown or measured."""
COPY_TIMEOUT_SECONDS: Final = 60.0

R = TypeVar("R")
_LOCAL_FILES: Final = LocalFiles()


class InputTooLargeError(OSError):
    """A remote input is larger than what is fetched of it."""


def is_local(path: str) -> bool:
    """Whether a path is a plain one of this machine, and no URI."""
    return get_scheme_name(path) is None


def may_be_readable(path: str) -> bool:
    """Whether nothing speaks against opening an input, as far as this machine can tell."""
    return not is_local(path) or os.access(path, os.R_OK)


def stat_input(path: str) -> InputStat:
    """Look at an input. Raises OSError, and ValueError for a path that no file can have."""
    if (scheme := _find_opener(path)) is None:
        return _LOCAL_FILES.stat(path)
    return call_plugin(scheme.stat, path)


def open_input(path: str) -> OpenInput:
    """Open an input to be read in large pieces. Raises as `stat_input`."""
    if path.startswith("/") or (scheme := _find_opener(path)) is None:
        return OpenLocalFile(path)
    if isinstance(scheme, InputOpener):
        return _CheckedInput(call_plugin(scheme.open_input, path))
    return _OpenUri(scheme, path)


def open_raw(path: str) -> BinaryIO:
    """Open an input as its scheme does: it can seek if that can. Raises as `stat_input`.

    What its methods raise is the scheme's, see `call_plugin`.
    """
    if (scheme := _find_opener(path)) is None:
        return _LOCAL_FILES.open(path)
    return call_plugin(scheme.open, path)


def read_head(path: str, size: int) -> bytes:
    """Read the first bytes of an input. Raises as `stat_input`."""
    with closing(open_input(path)) as file:
        return file.read(size)


def open_stream(
    path: str, max_bytes: int = MAX_COPY_BYTES, timeout: float = COPY_TIMEOUT_SECONDS
) -> BinaryIO:
    """Open an input to be read here and there.

    A remote one is fetched first, if it has at most `max_bytes` and arrives within `timeout`
    seconds. Raises as `stat_input`; NotRegularFileError, InputTooLargeError, TimeoutError.
    """
    if is_local(path):
        return _LOCAL_FILES.open(path)
    return io.BytesIO(_run_with_timeout(lambda: _fetch(path, max_bytes), timeout))


def restat_file(file: InputFile) -> InputFile:
    """The same file as it is now; what cannot be seen without a network is unknown."""
    if isinstance(file, RemoteFile):
        return replace(file, size=None, mtime_ns=None, fingerprint=None)
    try:
        now = _LOCAL_FILES.stat(file.path)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return replace(file, size=None, mtime_ns=None)
    return replace(file, size=now.size, mtime_ns=now.mtime_ns)


class _CheckedInput:
    """An input that its plugin has opened itself; whatever it raises comes out as OSError."""

    def __init__(self, opened: OpenInput) -> None:
        self._opened = opened
        self.size, self.mtime_ns = opened.size, opened.mtime_ns
        self.fingerprint, self.is_regular = opened.fingerprint, opened.is_regular

    def read(self, size: int) -> bytes:
        """Read on: `size` bytes, fewer only at its end."""
        return call_plugin(self._opened.read, size)

    def has_changed(self) -> bool:
        """Whether it is another now than when it was opened."""
        return call_plugin(self._opened.has_changed)

    def close(self) -> None:
        """Close it."""
        call_plugin(self._opened.close)


class _OpenUri:
    """An open input of a plugin."""

    def __init__(self, scheme: UriScheme, uri: str) -> None:
        self._scheme, self._uri = scheme, uri
        self._seen = call_plugin(scheme.stat, uri)
        self.size, self.mtime_ns, self.fingerprint, self.is_regular = self._seen
        self._file = call_plugin(scheme.open, uri)

    def read(self, size: int) -> bytes:
        """Read on: `size` bytes, fewer only at its end."""
        data = bytearray()
        while len(data) < size and (more := call_plugin(self._file.read, size - len(data))):
            data += more
        return bytes(data)

    def has_changed(self) -> bool:
        """Whether it is another now than when it was opened."""
        return self._seen != call_plugin(self._scheme.stat, self._uri)

    def close(self) -> None:
        """Close it."""
        call_plugin(self._file.close)


def _find_opener(path: str) -> UriScheme | None:
    """The plugin that opens a URI; None for a plain path. Raises OSError when there is none."""
    if is_local(path):
        return None
    try:
        scheme = find_uri_scheme(path)
    except PluginError as error:
        raise OSError(errno.ENOTSUP, str(error)) from error
    if scheme is None:
        raise OSError(errno.ENOTSUP, f"no installed package reads {get_scheme_name(path)}://")
    return scheme


def _fetch(uri: str, max_bytes: int) -> bytes:
    with closing(open_input(uri)) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise InputTooLargeError(errno.EFBIG, f"it is larger than {max_bytes >> 20} MiB")
    return data


def _run_with_timeout(work: Callable[[], R], seconds: float) -> R:
    """What `work` returns or raises; after so many seconds it is left alone in its thread."""
    future = Future[R]()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where it was asked for
            future.set_exception(error)

    target = carry_context(run)
    threading.Thread(target=target, name="batchinfer-fetch", daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError as error:
        if future.done():
            raise
        raise TimeoutError(errno.ETIMEDOUT, f"no answer within {seconds:g} s") from error
