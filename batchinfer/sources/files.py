"""What a file is called, and what is seen of it before it is read."""

from __future__ import annotations

import os
import posixpath
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from batchinfer.domain import InputFile, Item

_SURROGATE = re.compile("[\ud800-\udfff]")
_SPELLED = r"x[89a-f][0-9a-f]|ud[89a-f][0-9a-f]{2}"
"""What `printable` writes behind a backslash."""
_MISLEADING = re.compile(rf"\\+(?={_SPELLED}|[\ud800-\udfff])")
_ESCAPED = re.compile(rf"(\\+)({_SPELLED})")
_KEY_BEGINS = "/./"


def printable(name: str) -> str:
    r"""`name` without surrogates: bytes that were not UTF-8 become `\xNN`; all else stays."""
    if name.isascii():
        return name
    return _SURROGATE.sub(_escape, name)


def key_of(name: str) -> str:
    r"""The key of a file: its name as `printable` spells it.

    Different names have different keys: where a name itself holds what a byte is spelled as
    (`\xff`), its backslashes are doubled.
    """
    if "\\" in name:
        name = _MISLEADING.sub(lambda found: found[0] * 2, name)
    return printable(name)


def composed(text: str) -> str:
    """`text` in Unicode's normal form NFC, in which names are compared that a person typed."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def spelled_on_disk(path: str, base: str = "") -> str:
    r"""`path` as it is spelled on the disk, where it is there under another spelling only.

    macOS and what copies from it write `é` as two characters, people and other systems as one; and
    `\xNN` stands for a byte that is no UTF-8 (`printable`). Part by part the spelling as typed
    wins. `base` is a folder that is there as it is.
    """
    full = os.path.join(base, path)  # noqa: PTH118 - paths are plain strings in this package
    if (path.isascii() and "\\x" not in path) or os.path.lexists(full):
        return full
    found = "/" if path.startswith("/") else base
    for part in filter(None, path.split("/")):
        here = os.path.join(found, part)  # noqa: PTH118
        others = (os.path.join(found, spell(part)) for spell in _SPELLINGS)  # noqa: PTH118
        found = here if os.path.lexists(here) else next(filter(os.path.lexists, others), here)
    return found


def name_of(key: str) -> str:
    """The name whose key it is: the inverse of `key_of`."""
    return _ESCAPED.sub(_unescape, key)


def _unescape(found: re.Match[str]) -> str:
    backslashes, code = found[1], found[2]
    half = "\\" * (len(backslashes) // 2)
    if len(backslashes) % 2 == 0:
        return half + code
    return half + chr(int(code[1:], 16) + (0xDC00 if code[0] == "x" else 0))


_SPELLINGS: tuple[Callable[[str], str], ...] = (
    composed,
    lambda name: unicodedata.normalize("NFD", name),
    name_of,
)


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
        spec = spelled_on_disk(spec)
        full = spec if spec.startswith("/") else here.rstrip("/") + _KEY_BEGINS + spec
        _, mark, typed = full.partition(_KEY_BEGINS)
        path = os.path.abspath(full)  # noqa: PTH100 - not resolve(): links are kept as typed
        return cls(full, path, key_of(tidy(typed if mark else full)), file_param)

    def seen(self) -> os.stat_result | None:
        """What is there; None: nothing that can be seen."""
        try:
            return os.stat(self.path)  # noqa: PTH116
        except (OSError, ValueError):
            return None

    def __iter__(self) -> Iterator[Item]:
        """The one item; one that is batchinfer's own has been refused before."""
        yield Item(self.key, (look(self.file_param, self.path),))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"  # noqa: PLR2004 - PEP 383
