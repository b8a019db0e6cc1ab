"""The lines of a manifest, what they become, and how their mistakes are collected.

A manifest may be plain or gzip, UTF-8 or UTF-16. No line is longer than a bound.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, TypeAlias

from batchinfer.domain import Json
from batchinfer.errors import SourceError

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAX_MANIFEST_LINE_BYTES = 1 << 24
"""Bytes of a line: beyond it the file is no manifest, and memory stays flat."""
_BUFFER_BYTES = 1 << 18
_GZIP_MAGIC = b"\x1f\x8b"
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
MAX_LISTED_MISTAKES = 20
"""So many mistakes are listed; of the rest only the number."""

ReportMistake: TypeAlias = Callable[[int, str], None]
"""Gets a mistake: line number from 1, and what is wrong. May raise to end the reading."""


class ManifestEntry(NamedTuple):
    """One item as the manifest has it: paths as written, no file touched."""

    line: int
    """Where it begins."""
    key: str
    files: tuple[tuple[str, str], ...]
    """(parameter, path) pairs; the default file parameter's first."""
    params: Mapping[str, Json]


class EntryBatch(NamedTuple):
    """What is checked of many entries: their keys, and the files that they name."""

    lines: Sequence[int]
    """Where each entry begins."""
    keys: Sequence[str]
    paths: Sequence[str]
    """Of all entries, in any order."""
    path_lines: Sequence[int]
    """Where the entry of each path begins."""


BATCH_ENTRIES: Final = 512
"""Entries in a batch. Python looks for garbage after 700 new lists; a batch makes fewer."""


def describe_line(name: str, line: int) -> str:
    """A line of a text, for people."""
    return f"{name}:{line}"


def estimate_max_lines(path: str) -> int:
    """More lines than a text is likely to have: 8 bytes each, and packed perhaps to an eighth."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


class ManifestReader(NamedTuple):
    """What reads manifests of one kind. Its functions get what `open` opens (of a text a stream),
    the default file parameter, and what is called for each line that is wrong.
    """  # noqa: D205 - one thought

    read_entries: Callable[[Any, str, ReportMistake], Iterator[ManifestEntry]]
    read_batches: Callable[[Any, str, ReportMistake], Iterator[EntryBatch]] | None = None
    """The same entries, many at a time, where that costs less; None: made of them."""
    open: Callable[[str], AbstractContextManager[Any]] | None = None
    """Opens the manifest at a path; None: as a text, `open_manifest_stream`."""
    describe_place: Callable[[str, int], str] = describe_line
    """What a line of a manifest of some name is called in messages."""
    estimate_max_entries: Callable[[str], int] = estimate_max_lines
    """More entries than the manifest at a path is likely to have."""

    def open_manifest(self, path: str) -> AbstractContextManager[Any]:
        """Open the manifest at a path."""
        return (self.open or open_manifest_stream)(path)

    def iter_batches(
        self, stream: Any, file_param: str, report: ReportMistake
    ) -> Iterator[EntryBatch]:
        """The entries, many at a time."""
        if self.read_batches is not None:
            return self.read_batches(stream, file_param, report)
        entries = self.read_entries(stream, file_param, report)
        return map(batch_entries, iter(lambda: list(islice(entries, BATCH_ENTRIES)), []))


def batch_entries(entries: Sequence[ManifestEntry]) -> EntryBatch:
    """The entries as a batch."""
    files = [(path, entry.line) for entry in entries for _, path in entry.files]
    return EntryBatch(
        [entry.line for entry in entries],
        [entry.key for entry in entries],
        [path for path, _ in files],
        [line for _, line in files],
    )


class ManifestMistake(Exception):  # noqa: N818 - it is the user's, not the program's
    """What is wrong with one line; never leaves this package."""


class MistakeCollector:
    """Collects mistakes of the manifests, in bounded memory."""

    def __init__(self) -> None:
        self._listed: list[str] = []
        self.count = 0
        """All of them, also those not kept."""

    def add(self, place: str, message: str) -> None:
        """Note one; `place` is `file:line`."""
        self.count += 1
        if len(self._listed) < MAX_LISTED_MISTAKES:
            self._listed.append(f"{place}: {message}")

    def raise_if_any(self, *, is_complete: bool = True) -> None:
        """Raises SourceError that lists them; `is_complete`: whether all were counted."""
        if not self.count:
            return
        more = self.count - len(self._listed)
        tail = [f"... and {more:,} more"] if more else []
        number = f"{self.count:,}" if is_complete else f"At least {self.count:,}"
        head = f"{number} {'mistake' if self.count == 1 else 'mistakes'}"
        raise SourceError(
            "\n  ".join([f"{head} in the manifest; nothing was sent:", *self._listed, *tail])
        )


def ignore_mistake(_line: int, _message: str) -> None:
    """A `ReportMistake` for a pass whose mistakes are reported by another one."""


@contextmanager
def open_manifest_stream(path: str) -> Iterator[BinaryIO]:
    """The file, unpacked if it begins as gzip does, as UTF-8 if it begins as UTF-16 does (Excel's
    "Unicode Text", PowerShell). Whatever it is called.

    Reading it raises UnicodeError where UTF-16 is broken.
    """  # noqa: D205 - one thought
    with ExitStack() as stack:
        raw: io.RawIOBase = io.FileIO(path)
        file: io.BufferedReader[Any] = stack.enter_context(io.BufferedReader(raw, _BUFFER_BYTES))
        if file.peek(2).startswith(_GZIP_MAGIC):
            decompressed = stack.enter_context(gzip.GzipFile(fileobj=file))
            file = stack.enter_context(io.BufferedReader(decompressed, _BUFFER_BYTES))
        if file.peek(2).startswith(_UTF16_BOMS):
            text = stack.enter_context(io.TextIOWrapper(file, "utf-16", newline=""))
            file = stack.enter_context(io.BufferedReader(_Utf8Reader(text), _BUFFER_BYTES))
        yield file


class _Utf8Reader(io.RawIOBase):
    """A text as UTF-8."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._pending = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Some of it; 0 at its end."""
        if not self._pending:
            self._pending = self._text.read(_BUFFER_BYTES).encode()
        view = memoryview(buffer)
        part, self._pending = self._pending[: len(view)], self._pending[len(view) :]
        view[: len(part)] = part
        return len(part)


def iter_lines(stream: BinaryIO, report: ReportMistake) -> Iterator[bytes]:
    """Every line with its end (LF, CRLF, CR), without a BOM; stops after one that cannot be one."""
    return chain.from_iterable(_iter_line_blocks(stream, report))


def iter_text_lines(stream: BinaryIO, report: ReportMistake) -> Iterator[str]:
    """The same as text. A line that is not UTF-8, or holds a NUL, is reported and passed on."""
    return chain.from_iterable(_iter_text_blocks(stream, report))


def _iter_line_blocks(stream: BinaryIO, report: ReportMistake) -> Iterator[list[bytes]]:
    """Many lines at a time: a manifest may have millions."""
    line_count = 0
    while block := stream.read(_BUFFER_BYTES):
        if not line_count:
            block = block.removeprefix(_UTF8_BOM)
        block += stream.readline(MAX_MANIFEST_LINE_BYTES)  # to the end of its last line
        if len(block) >= MAX_MANIFEST_LINE_BYTES:
            break
        lines = block.splitlines(keepends=True)
        line_count += len(lines)
        yield lines
    else:
        return
    # A line that is too long, or very many that end with CR only.
    for number, line in enumerate(_split_lines(block, stream), line_count + 1):
        if len(line) >= MAX_MANIFEST_LINE_BYTES:
            report(number, f"longer than {MAX_MANIFEST_LINE_BYTES:,} bytes; the rest was not read")
            return
        yield [line]


def _split_lines(first_block: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """Lines, at most about `MAX_MANIFEST_LINE_BYTES` each. A CR alone ends one, too."""
    rest = b""
    more = iter(partial(stream.readline, MAX_MANIFEST_LINE_BYTES), b"")
    for block in chain(io.BytesIO(first_block), more):
        if rest and block == b"\n" and rest.endswith(b"\r"):
            yield rest + block
            rest = b""
            continue
        *complete, rest = (rest + block).splitlines(keepends=True)
        yield from complete
        if rest.endswith(b"\n") or len(rest) >= MAX_MANIFEST_LINE_BYTES:
            yield rest
            rest = b""
    if rest:
        yield rest


def _iter_text_blocks(stream: BinaryIO, report: ReportMistake) -> Iterator[Iterable[str]]:
    line_count = 0
    for lines in _iter_line_blocks(stream, report):
        try:
            texts = [*map(bytes.decode, lines)]
        except UnicodeDecodeError:
            texts = []
        if not texts or b"\0" in b"".join(lines):
            yield _decode_reporting(lines, line_count + 1, report)
        else:
            yield texts
        line_count += len(lines)


def _decode_reporting(
    lines: Sequence[bytes], first_number: int, report: ReportMistake
) -> Iterator[str]:
    for number, line in enumerate(lines, first_number):
        if b"\0" in line:
            report(number, "holds a NUL byte; no file name or value can")
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            report(number, describe_utf8_error(error))
            yield line.decode(errors="replace")


def describe_utf8_error(error: UnicodeDecodeError) -> str:
    """The message for it."""
    byte = error.object[error.start]
    return (
        f"not UTF-8 (byte 0x{byte:02x} at byte {error.start + 1}); save the manifest as UTF-8 (in "
        "Excel: CSV UTF-8)"
    )
