"""What a file is called, and what is seen of it before it is read."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from batchinfer.domain import InputFile, Item

_SURROGATE = re.compile("[\ud800-\udfff]")
_KEY_BEGINS = "/./"
_READS_SO = re.compile(r"\\x(?=[0-9a-f]{2})")


def printable(name: str) -> str:
    r"""`name` without surrogates: bytes that were not UTF-8 become `\xNN`; all else stays."""
    if name.isascii():
        return name
    return _SURROGATE.sub(_escape, name)


def key_of(path: str) -> str:
    r"""The key of a path: a byte that was not UTF-8 is `\xNN`, a text that reads so `\x5cxNN`."""
    return printable(_READS_SO.sub(r"\\x5cx", path) if "\\x" in path else path)


def tidy(path: str) -> str:
    """`path` without `./`, `//` and inner `..`: one spelling, so that keys can be compared."""
    if "//" in path or "./" in path or "/." in path:
        return posixpath.normpath(path)
    return path


def look(param: str, path: str) -> InputFile:
    """`path` with size and time, both unknown if there is no regular file to be seen."""
    try:
        seen = os.stat(path)  # noqa: PTH116 - once per item: no Path is built for it
    except (OSError, ValueError):
        return InputFile(param, path)
    if not stat.S_ISREG(seen.st_mode):
        return InputFile(param, path)
    return InputFile(param, path, seen.st_size, seen.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class SingleFile:
    """A source of one item: a file that was named."""

    spec: str
    path: str
    key: str
    file_param: str

    @classmethod
    def of_spec(cls, spec: str, file_param: str) -> SingleFile:
        """The file named by `spec`; see the package's docstring for `/./`."""
        here = os.getcwd()  # noqa: PTH109 - a string is wanted
        full = spec if spec.startswith("/") else here.rstrip("/") + _KEY_BEGINS + spec
        _, mark, typed = full.partition(_KEY_BEGINS)
        path = os.path.abspath(full)  # noqa: PTH100 - not resolve(): links are kept as typed
        return cls(full, path, key_of(tidy(typed if mark else full)), file_param)

    def __iter__(self) -> Iterator[Item]:
        """The one item."""
        yield Item(self.key, (look(self.file_param, self.path),))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"  # noqa: PLR2004 - PEP 383
