"""Reading the files of an item, with everything checked that decides whether they may be sent.

What is wrong with a file is a `Failure` of its item, with the signal INPUT_UNREADABLE where it may
be its source that is away. That this process can open no more files, or has no memory left, is a
shortage and the fault of no item (`machine_limits`):

===============  ================================================================================
file_missing     it is not there (any more)
file_unreadable  no permission, a read error, no answer in time, or not a regular file
file_empty       it has no bytes: a model can only fail on it
file_changed     it is not the one that was added (its size, time or fingerprint differs), or it
                 changed while it was read
file_too_large   the item's files are larger together than `MAX_ITEM_BYTES`, or it would unpack to
                 far more than is packed (EFBIG)
file_holds_secret  a small file holds a secret of the configuration: it is never sent
===============  ================================================================================
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence, Sized
from dataclasses import replace
from typing import Final, TypeVar

from batchinfer.backends.redaction import Redactor
from batchinfer.domain import Failure, FailureKind, InputFile, ServiceSignal
from batchinfer.inputs import OpenInput, SourceAwayError, open_input, read_unchanged, stat_input
from batchinfer.machine_limits import detect_shortage

MAX_ITEM_BYTES: Final = 1 << 30
"""Bytes of all files of one item: the platform holds a payload in memory several times over."""
SECRET_SCAN_MAX_BYTES: Final = 1 << 16
"""Bytes of a file up to which it is searched for secrets: what holds them on purpose is small."""

_MAX_REASON_CHARS: Final = 300
_Content = TypeVar("_Content", bound=Sized)

_TRANSIENT_READ_ERRNOS: Final = frozenset(
    {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN}
)
"""Troubles of a disk or a network file system: may be gone at the next attempt."""


def read_files(
    files: Sequence[InputFile], max_bytes: int = MAX_ITEM_BYTES, redactor: Redactor | None = None
) -> Sequence[tuple[InputFile, bytes]] | Failure:
    """The bytes of each file, or what is wrong with the first bad one. Blocks: for a thread."""
    contents: list[tuple[InputFile, bytes]] = []
    for file in files:
        unchanged = read_unchanged(file) if (file.size or 0) <= max_bytes else None
        data = unchanged or read_checked(file, max_bytes, _read_whole)
        if isinstance(data, Failure):
            return data
        if (
            redactor is not None
            and len(data) <= SECRET_SCAN_MAX_BYTES
            and redactor.has_secret(data)
        ):
            return _file_failure("file_holds_secret", file, _REFUSED_CONTENT, _ADVICE_KEEP_OUT)
        max_bytes -= len(data)
        contents.append((file, data))
    return contents


def add_sizes(files: Sequence[InputFile]) -> Sequence[InputFile]:
    """The files with their sizes, also those that nobody has looked at yet. Blocks."""
    return [f if f.size is not None else replace(f, size=_stat_size(f.path)) for f in files]


def _stat_size(path: str) -> int:
    try:
        return stat_input(path).size
    except (OSError, ValueError):  # reading the file says what is wrong
        return 0


def read_checked(
    file: InputFile, max_bytes: int, read_content: Callable[[OpenInput, int], _Content]
) -> _Content | Failure:
    """What `read_content` makes of a file and its size, or what is wrong with the file. Blocks."""
    try:
        opened = open_input(file.path)
        try:
            if failure := _check_opened(file, opened, max_bytes):
                return failure
            data = read_content(opened, opened.size)
            has_changed = len(data) != opened.size or opened.has_changed()
        finally:
            opened.close()
    except ValueError:  # a NUL in the path
        return _file_failure(
            "file_missing", file, "no file can have this name", _ADVICE_REPAIR_OR_EXCLUDE
        )
    except OSError as error:
        return _classify_read_error(file, error)
    if has_changed:
        return _file_failure(
            "file_changed", file, "it changed while it was read", _ADVICE_SEND_AS_IS
        )
    return data


def _read_whole(opened: OpenInput, size: int) -> bytes:
    return opened.read(size)


def _check_opened(file: InputFile, now: OpenInput, max_bytes: int) -> Failure | None:
    if not now.is_regular:
        return _file_failure(
            "file_unreadable", file, "it is not a regular file", _ADVICE_REPAIR_OR_EXCLUDE
        )
    if file.size is not None and file.size != now.size:
        problem = f"it has {now.size:,} bytes now, and had {file.size:,} when it was added"
        return _file_failure("file_changed", file, problem, _ADVICE_SEND_AS_IS)
    if file.has_changed(now.size, now.mtime_ns, now.fingerprint):
        return _file_failure(
            "file_changed", file, "it was written to after it was added", _ADVICE_SEND_AS_IS
        )
    if now.size == 0:
        return _file_failure(
            "file_empty", file, "it is empty, and was not sent", _ADVICE_REPAIR_OR_EXCLUDE
        )
    if now.size > max_bytes:
        problem = (
            f"its {now.size:,} bytes are more than can be sent ({max_bytes:,} left for this item)"
        )
        return _file_failure("file_too_large", file, problem, "Make it smaller")
    return None


_ADVICE_SEND_AS_IS = "Retry it to send it as it is then; results of other files are kept"
_REFUSED_CONTENT = "it holds a secret of the configuration (not shown), and was not sent"
_ADVICE_KEEP_OUT = (
    "Move it out of the source, or leave it out with --exclude; if it was ever shared, have the "
    "secret renewed"
)
_ADVICE_REPAIR_OR_EXCLUDE = "Repair it, then retry it; or leave it out"


def read_timeout_failure(file: InputFile, seconds: float) -> Failure:
    """The failure of a file that was not read within so many seconds."""
    return _file_failure(
        "file_unreadable",
        file,
        f"reading it took longer than {seconds:g} s",
        "Check whether its disk or file server answers",
        FailureKind.TRANSIENT,
        shared=True,
    )


def _classify_read_error(file: InputFile, error: OSError) -> Failure:
    if machine_shortage := detect_shortage(error):
        return machine_shortage
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        advice = "Put it back, then retry it; or leave it out"
        return _file_failure("file_missing", file, "file not found", advice, shared=True)
    if error.errno == errno.EFBIG:
        problem = _escape_unprintable(f"{error.strerror}"[:_MAX_REASON_CHARS])
        return _file_failure("file_too_large", file, problem, _ADVICE_REPAIR_OR_EXCLUDE)
    is_transient = error.errno in _TRANSIENT_READ_ERRNOS or isinstance(
        error, ConnectionError | TimeoutError | SourceAwayError
    )
    kind = FailureKind.TRANSIENT if is_transient else FailureKind.PERMANENT
    reason = error.strerror or str(error) or type(error).__name__
    problem = f"it cannot be read ({_escape_unprintable(reason[:_MAX_REASON_CHARS])})"
    return _file_failure(
        "file_unreadable", file, problem, _ADVICE_REPAIR_OR_EXCLUDE, kind, shared=True
    )


def _file_failure(
    code: str,
    file: InputFile,
    problem: str,
    advice: str,
    kind: FailureKind = FailureKind.PERMANENT,
    *,
    shared: bool = False,
) -> Failure:
    message = f"{_printable_path(file.path)}: {problem}. {advice}"
    signal = ServiceSignal.INPUT_UNREADABLE if shared else ServiceSignal.UNSENT
    return Failure(code=code, message=message, kind=kind, signal=signal)


def _printable_path(path: str) -> str:
    """The path on one line, whatever bytes it has."""
    return _escape_unprintable(os.fsencode(path).decode("utf-8", "backslashreplace"))


def _escape_unprintable(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
