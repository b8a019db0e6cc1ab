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
from batchinfer.text_format import escape_undecodable

_ESCAPE_REGEX = r"x[89a-f][0-9a-f]|ud[89a-f][0-9a-f]{2}"
"""What `printable` writes behind a backslash."""
_AMBIGUOUS_BACKSLASHES_PATTERN = re.compile(rf"\\+(?={_ESCAPE_REGEX}|[\ud800-\udfff])")
_ESCAPED_BYTE_PATTERN = re.compile(rf"(\\+)({_ESCAPE_REGEX})")
_KEY_SEPARATOR = "/./"


def name_to_key(name: str) -> str:
    r"""The key of a file: its name as `printable` spells it.

    Different names have different keys: where a name itself holds what a byte is spelled as
    (`\xff`), its backslashes are doubled.
    """
    if "\\" in name:
        name = _AMBIGUOUS_BACKSLASHES_PATTERN.sub(lambda found: found[0] * 2, name)
    return escape_undecodable(name)


def to_nfc(text: str) -> str:
    """`text` in Unicode's normal form NFC, in which names are compared that a person typed."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def find_on_disk(path: str, base: str = "") -> str:
    r"""`path` as it is spelled on the disk, where it is there under another spelling only.

    macOS and what copies from it write `é` as two characters, people and other systems as one; and
    `\xNN` stands for a byte that is no UTF-8 (`printable`). Part by part the spelling as typed
    wins. `base` is a folder that is there as it is.
    """
    full = os.path.join(base, path)  # noqa: PTH118 - paths are plain strings in this package
    if (path.isascii() and "\\x" not in path) or os.path.lexists(full):
        return full
    resolved = "/" if path.startswith("/") else base
    for part in filter(None, path.split("/")):
        candidate = os.path.join(resolved, part)  # noqa: PTH118
        alternatives = (os.path.join(resolved, spell(part)) for spell in _ALTERNATIVE_SPELLINGS)  # noqa: PTH118
        resolved = (
            candidate
            if os.path.lexists(candidate)
            else next(filter(os.path.lexists, alternatives), candidate)
        )
    return resolved


def key_to_name(key: str) -> str:
    """The name whose key it is: the inverse of `name_to_key`."""
    return _ESCAPED_BYTE_PATTERN.sub(_unescape_byte, key)


def _unescape_byte(match: re.Match[str]) -> str:
    backslashes, code = match[1], match[2]
    half = "\\" * (len(backslashes) // 2)
    if len(backslashes) % 2 == 0:
        return half + code
    return half + chr(int(code[1:], 16) + (0xDC00 if code[0] == "x" else 0))


_ALTERNATIVE_SPELLINGS: tuple[Callable[[str], str], ...] = (
    to_nfc,
    lambda name: unicodedata.normalize("NFD", name),
    key_to_name,
)


def normalize_path(path: str) -> str:
    """`path` without `./`, `//` and inner `..`: one spelling, so that keys can be compared."""
    if "//" in path or "./" in path or "/." in path:
        return posixpath.normpath(path)
    return path


def stat_file(param: str, path: str) -> InputFile:
    """`path` with size and time, both unknown if there is no regular file to be seen."""
    try:
        status = os.stat(path)  # noqa: PTH116 - once per item: no Path is built for it
    except (OSError, ValueError):
        return InputFile(param, path)
    if not stat.S_ISREG(status.st_mode):
        return InputFile(param, path)
    return InputFile(param, path, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class SingleFileSource:
    """A source of one item: a file that was named."""

    spec: str
    path: str
    key: str
    file_param: str

    @classmethod
    def from_spec(cls, spec: str, file_param: str) -> SingleFileSource:
        """The file named by `spec`; see the package's docstring for `/./`."""
        working_directory = os.getcwd()  # noqa: PTH109 - a string is wanted
        spec = find_on_disk(spec)
        absolute_spec = (
            spec if spec.startswith("/") else working_directory.rstrip("/") + _KEY_SEPARATOR + spec
        )
        _, separator, typed = absolute_spec.partition(_KEY_SEPARATOR)
        path = os.path.abspath(absolute_spec)  # noqa: PTH100 - not resolve(): links are kept as typed
        return cls(
            absolute_spec,
            path,
            name_to_key(normalize_path(typed if separator else absolute_spec)),
            file_param,
        )

    def try_stat(self) -> os.stat_result | None:
        """What is there; None: nothing that can be seen."""
        try:
            return os.stat(self.path)  # noqa: PTH116
        except (OSError, ValueError):
            return None

    def __iter__(self) -> Iterator[Item]:
        """The one item; one that is batchinfer's own has been refused before."""
        yield Item(self.key, (stat_file(self.file_param, self.path),))
