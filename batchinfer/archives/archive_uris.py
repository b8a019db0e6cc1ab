"""How the files in an archive are named: `archive://CONTAINER!NAME`, as an item's path. Pure.

CONTAINER is the archive's absolute path, or its own URI (`archive://s3://bucket/photos.zip!a.jpg`).
The first `!` ends it: one in CONTAINER itself is written `%21` (and a `%21` or `%25` there with
`%25` for its `%`). NAME stands as it is. Without `!NAME` the URI is the archive itself.
"""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple

ARCHIVE_SCHEME: Final = "archive"
MEMBER_SEPARATOR: Final = "!"
"""Between an archive and what is in it, in URIs, keys and manifests."""
_ARCHIVE_PREFIX: Final = f"{ARCHIVE_SCHEME}://"
_ARCHIVE_EXTENSIONS: Final = (
    *(".zip", ".tar"),
    *(".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tgz", ".tbz2", ".txz", ".tzst"),
)
_ENDING: Final = "|".join(map(re.escape, _ARCHIVE_EXTENSIONS))
_MEMBER_PATH_PATTERN: Final = re.compile(rf"(.+?(?:{_ENDING}))!(.+)", re.IGNORECASE | re.DOTALL)
_ESCAPED_PATTERN: Final = re.compile(r"%21|%25(?=21|25)")
_AMBIGUOUS_PERCENT_PATTERN: Final = re.compile(r"%(?=21|25)")


class MemberPath(NamedTuple):
    """An archive, and what is in it."""

    container: str
    """Path or URI of the archive."""
    name: str
    """Of the file, or of a folder; empty: the archive as a whole."""


def is_archive_name(name: str) -> bool:
    """Whether a file of this name is an archive that can be a source. Case does not count."""
    return name.lower().endswith(_ARCHIVE_EXTENSIONS)


def make_archive_uri(container: str, name: str = "") -> str:
    """The URI of an archive, or of a file in it."""
    escaped = _AMBIGUOUS_PERCENT_PATTERN.sub("%25", container).replace(MEMBER_SEPARATOR, "%21")
    return _ARCHIVE_PREFIX + (f"{escaped}{MEMBER_SEPARATOR}{name}" if name else escaped)


def is_archive_uri(path: str) -> bool:
    """Whether a path is the URI of an archive, or of what is in one."""
    return path.lower().startswith(_ARCHIVE_PREFIX)


def split_archive_uri(uri: str) -> MemberPath:
    """The inverse of `make_archive_uri`."""
    escaped, _, name = uri[len(_ARCHIVE_PREFIX) :].partition(MEMBER_SEPARATOR)
    return MemberPath(_ESCAPED_PATTERN.sub(_unescape, escaped), name)


def find_member_path(path: str, base_folder: str = "") -> MemberPath | None:
    """What a path as `photos.zip!a/b.jpg` names, its archive absolute; None: it is none of those.

    `base_folder`: where a relative path begins. Looks at the disk: a file of that name is itself.
    """
    if MEMBER_SEPARATOR not in path or (match := _MEMBER_PATH_PATTERN.fullmatch(path)) is None:
        return None
    if is_archive_uri(path):
        return None
    container, name = match[1], match[2]
    if "://" in container:
        return MemberPath(container, name)
    if os.path.lexists(os.path.join(base_folder, path)):  # noqa: PTH118 - paths are plain strings
        return None
    absolute = os.path.abspath(os.path.join(base_folder, container))  # noqa: PTH100, PTH118
    return MemberPath(absolute, name)


def _unescape(match: re.Match[str]) -> str:
    return "!" if match[0] == "%21" else "%"
