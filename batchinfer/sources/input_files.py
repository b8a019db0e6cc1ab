"""What a file is called, how a file that was named is found, and what is seen of it unread."""

from __future__ import annotations

import os
import posixpath
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from batchinfer.archives.archive_uris import find_member_path, make_archive_uri
from batchinfer.domain import InputFile, Item, RemoteFile
from batchinfer.inputs import InputStat, find_container, find_uri_scheme, stat_input
from batchinfer.inputs.contained_inputs import glance_inside
from batchinfer.inputs.uri_scheme import get_scheme_name
from batchinfer.inputs.uri_secrets import find_uri_secret, hide_uri_secrets
from batchinfer.sources.own_files import OwnFiles, describe_refusal
from batchinfer.text_format import escape_undecodable

_ESCAPE_REGEX = r"x[89a-f][0-9a-f]|ud[89a-f][0-9a-f]{2}"
"""What `escape_undecodable` writes behind a backslash."""
_AMBIGUOUS_BACKSLASHES_PATTERN = re.compile(rf"\\+(?={_ESCAPE_REGEX}|[\ud800-\udfff])")
_ESCAPED_BYTE_PATTERN = re.compile(rf"(\\+)({_ESCAPE_REGEX})")
KEY_SEPARATOR = "/./"
"""What marks, in the absolute path of a single file, where its key begins."""
_FETCH_COMMANDS: Final = {
    "gs": "gcloud storage rsync -r {} photos` (or `rclone copy`)",
}


def name_to_key(name: str) -> str:
    r"""The key of a file: its name as `escape_undecodable` spells it.

    Different names have different keys: where a name itself holds what a byte is spelled as
    (`\xff`), its backslashes are doubled.
    """
    if name.isascii() and "\\" not in name:
        return name
    if "\\" in name:
        name = _AMBIGUOUS_BACKSLASHES_PATTERN.sub(lambda found: found[0] * 2, name)
    return escape_undecodable(name)


def to_nfc(text: str) -> str:
    """`text` in Unicode's normal form NFC, in which names are compared that a person typed."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def find_on_disk(path: str, base: str = "") -> str:
    r"""`path` as it is spelled on the disk, where it is there under another spelling only.

    macOS and what copies from it write `é` as two characters, people and other systems as one; and
    `\xNN` stands for a byte that is no UTF-8 (`escape_undecodable`). Part by part the spelling as
    typed wins. `base` is a folder that is there as it is.
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
    """`path` without `./`, `//` and inner `..`: one spelling, so that keys can be compared.

    URIs stay as they are.
    """
    if "//" in path or "./" in path or "/." in path:
        return path if find_uri_scheme(path) else posixpath.normpath(path)
    return path


def stat_file(param: str, path: str) -> InputFile:
    """`path` with size and time, both unknown if there is no regular file to be seen."""
    now = _try_stat_regular(path)
    return InputFile(param, path) if now is None else InputFile(param, path, now.size, now.mtime_ns)


def stat_named_file(param: str, base_folder: str, path: str) -> InputFile:
    """The file, with size and time if it is there under any spelling of its name."""
    path = resolve_member_path(path, base_folder)
    if find_uri_scheme(path) is not None:
        return RemoteFile(param, path, *_try_glance(path))
    input_file = stat_file(param, os.path.join(base_folder, path))  # noqa: PTH118 - once per item: no Path
    if input_file.size is None:
        return stat_file(param, find_on_disk(path, base_folder))
    return input_file


def _try_glance(uri: str) -> tuple[int | None, int | None, str | None]:
    """Size, time and fingerprint of an input, as far as they are to be had at a moderate cost."""
    with suppress(OSError):
        if (seen := glance_inside(uri)) is not None:
            return seen
    now = _try_stat_regular(uri)
    return (None, None, None) if now is None else (now.size, now.mtime_ns, now.fingerprint)


def resolve_member_path(path: str, base_folder: str) -> str:
    """The URI of a file in an archive, as `photos.zip!a.jpg`; all other paths as they are."""
    if (member := find_member_path(path, base_folder)) is None:
        return path
    return make_archive_uri(find_on_disk(member.container), member.name)


def _try_stat_regular(path: str) -> InputStat | None:
    try:
        now = stat_input(path)
    except (OSError, ValueError):
        return None
    return now if now.is_regular else None


def find_fault(
    base_folder: str, path: str, own_files: OwnFiles, *, may_be_missing: bool
) -> str | None:
    """Why the file that was named cannot be an input; None: it can. Blocks, as disks do.

    `may_be_missing`: its item fails by itself, which is said when it does.
    """
    path = resolve_member_path(path, base_folder)
    if find_uri_scheme(path) is not None:
        container = find_container(path)
        if secret := find_uri_secret(container):
            return (
                f"{escape_undecodable(hide_uri_secrets(container))} holds {secret}, which would be "
                "stored with the run: leave it out, and give credentials in [source]"
            )
        return None if may_be_missing else _find_uri_fault(path)
    if advice := explain_url(path):
        return advice
    return _find_local_fault(base_folder, path, own_files, may_be_missing=may_be_missing)


def _find_local_fault(
    base_folder: str, path: str, own_files: OwnFiles, *, may_be_missing: bool
) -> str | None:
    absolute_path = find_on_disk(path, base_folder)
    try:
        status = os.lstat(absolute_path)
        if is_link := stat.S_ISLNK(status.st_mode):
            status = os.stat(absolute_path)  # noqa: PTH116
    except (OSError, ValueError) as error:
        if may_be_missing:
            return None
        return f"{escape_undecodable(absolute_path)}: {_describe_stat_error(error)}"
    if description := own_files.describe_file(absolute_path, status, is_link=is_link):
        return describe_refusal(escape_undecodable(absolute_path), description)
    if stat.S_ISREG(status.st_mode) or may_be_missing:
        return None
    kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket"
    return f"{escape_undecodable(absolute_path)} is {kind}, not a file"


def explain_url(path: str) -> str | None:
    """What to do about a path that is a URL; None: it is none."""
    scheme = get_scheme_name(path)
    if scheme is None or os.path.lexists(path):
        return None
    displayed = escape_undecodable(path)
    if scheme == "file":
        return f"{displayed}: write the path of the file alone, without file://"
    command = _FETCH_COMMANDS.get(scheme)
    instruction = f": `{command.format(displayed)}, then name the copy" if command else ""
    return (
        f"{displayed}: only files on this machine, or on what is mounted, can be sent. Fetch it "
        f"first{instruction}"
    )


def _find_uri_fault(uri: str) -> str | None:
    try:
        if glance_inside(uri) is not None:
            return None
        now = stat_input(uri)
    except OSError as error:
        return f"{escape_undecodable(uri)}: {_describe_stat_error(error)}"
    return None if now.is_regular else f"{escape_undecodable(uri)} is not a file"


def _describe_stat_error(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"it cannot be seen ({error.strerror or error})"
    return "there is no such file"


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
            spec if spec.startswith("/") else working_directory.rstrip("/") + KEY_SEPARATOR + spec
        )
        _, separator, typed = absolute_spec.partition(KEY_SEPARATOR)
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
