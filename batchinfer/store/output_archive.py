"""The archive with all files that the model returned for an item, where those are several.

A zip in `outputs/`, one for each such attempt: one file to write, to copy, to verify. Its files are
not compressed again, their times say nothing: the same files make the same archive. Its comment
tells it from a zip that a service returned.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

from batchinfer.domain import OutputFile

_COMMENT: Final = b"outputs of one attempt, packed by batchinfer"
_PLAIN_OUTPUT_NAME: Final = re.compile(r"outputs/[0-9A-Za-z][0-9A-Za-z-]*\.zip")
_UNSAFE_CHARS: Final = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""The first one that a zip can say."""
_READABLE: Final = 0o100644 << 16
_MAX_PART_CHARS: Final = 200
_EXTRACT_CHUNK_BYTES: Final = 1 << 20


def make_archive(files: Sequence[OutputFile]) -> bytes:
    """The archive of these files; names that would lead elsewhere are made harmless."""
    packed = BytesIO()
    taken: set[str] = set()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = _COMMENT
        for file in files:
            name = _make_unique(_make_safe_name(file.name), taken)
            info = zipfile.ZipInfo(name, _TIME)
            info.external_attr = _READABLE
            archive.writestr(info, file.data)
    return packed.getvalue()


def is_own_archive(path: Path) -> bool:
    """Whether `make_archive` made the file: nothing in it is compressed. Raises OSError."""
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                is_marked = archive.comment == _COMMENT
        except zipfile.BadZipFile:
            return False
    is_plain = all(each.compress_type == zipfile.ZIP_STORED for each in members)
    return is_marked and is_plain and sum(m.file_size for m in members) <= path.stat().st_size


def list_members_of_output(run: Path, name: str | None) -> Sequence[tuple[str, int]]:
    """Name and bytes of each file in a zip of a run directory; none of anything else.

    Names in a zip that a service returned may be hostile.
    """
    if name is None or not _PLAIN_OUTPUT_NAME.fullmatch(name):
        return []
    try:
        with zipfile.ZipFile(run / name) as archive:
            return [(each.filename, each.file_size) for each in archive.infolist()]
    except (OSError, ValueError, zipfile.BadZipFile):
        return []


def read_members(data: bytes) -> tuple[OutputFile, ...]:
    """The files of an archive of ours. Raises ValueError when it is damaged."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return tuple(
                OutputFile(each.filename, archive.read(each)) for each in archive.infolist()
            )
    except zipfile.BadZipFile as error:
        raise ValueError(f"the archive is damaged: {error}") from None


def extract_members(path: Path, folder: Path) -> Iterator[str]:
    """Write the files of an archive of ours into `folder`; yields the name of each, relative.

    Raises OSError, and zipfile.BadZipFile when it was damaged.
    """
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = _make_safe_name(info.filename)
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, target.open("xb") as file:
                while chunk := source.read(_EXTRACT_CHUNK_BYTES):
                    file.write(chunk)
            yield name


def _make_safe_name(name: str) -> str:
    """A relative path, `/`-separated, that stays in its folder on every system."""
    parts = [
        _UNSAFE_CHARS.sub("_", part)[-_MAX_PART_CHARS:].rstrip(". ")
        for part in name.encode("utf-8", "replace").decode().split("/")
    ]
    return "/".join(part for part in parts if part) or "output"


def _make_unique(name: str, taken: set[str]) -> str:
    """The name, or another one where there is such a file already, or on some disk would be."""
    candidate, number = name, 1
    while candidate.casefold() in taken:
        number += 1
        head, dot, extension = name.rpartition(".")
        candidate = f"{head}~{number}{dot}{extension}" if dot else f"{name}~{number}"
    taken.add(candidate.casefold())
    return candidate
