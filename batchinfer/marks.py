"""Which files and folders batchinfer itself has written: they are nobody's inputs.

A file is known by what stands in it, so that it stays known when it is moved, renamed, packed or
came from another machine: the header of a table, the first line of JSON lines, a generator's name,
the application id of a database. What cannot show it, such as the table of a query, bears an
extended attribute where the file system has them (Linux). A folder of an export holds a file
`MARKER`; those of older versions are known by the files that only they hold together.

At most `_HEAD` bytes of the beginning and of the end of a file are read, none of a picture, a sound
or a video.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
import zlib
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from batchinfer._version import __version__

MARKER: Final = ".batchinfer-export"
"""The file in the folder of an export that says so."""
PART_PREFIX, PART_SUFFIX = ".batchinfer-", ".part"
"""Around the name of what is being written, or was when its process was killed."""
GENERATOR: Final = f"batchinfer {__version__}"
"""What a file says wrote it, where its format has a place for that."""

_ATTRIBUTE: Final = "user.batchinfer"
_HEAD: Final = 65_536
_APPLICATION_ID: Final = b"binf"
"""Bytes 68 to 71 of `run.db` (`store.schema.APPLICATION_ID`)."""
_SQLITE: Final = b"SQLite format 3\0"
_DATABASE: Final = "run.db"
_BESIDE_DATABASE: Final = frozenset(
    ("run.lock", "run.log", "run.db.new", ".control", "stdin.manifest", "outputs")
)
_LOG_ENDINGS: Final = ("-wal", "-shm", "-journal")

_MEDIA: Final = frozenset(
    (
        *("jpg", "jpeg", "jpe", "jfif", "png", "apng", "gif", "bmp", "webp", "avif", "heic"),
        *("heif", "tif", "tiff", "jp2", "jxl", "dng", "nef", "cr2", "cr3", "arw", "raw", "ppm"),
        *("wav", "mp3", "flac", "ogg", "opus", "m4a", "aac", "aiff", "mp4", "mov", "avi", "mkv"),
        *("webm", "mpg", "mpeg", "m4v", "nii", "dcm", "npy", "npz", "pdf", "h5", "hdf5", "nc"),
    )
)
"""Endings of files that are not looked into."""

_ROWS: Final = frozenset(
    ("key", "state", "code", "message", "attempts", "seconds", "started_at", "finished_at")
)
"""Columns that every table of an export has, and hardly any other table has together."""
_FOLDER_INDEXES: Final = frozenset(
    (("key", "image", "labels", "path"), ("key", "state", "prediction", "log", "error"))
)
_PAYLOAD_INDEX: Final = ("file", "key", "path", "code")

_STATE: Final = rb'"(?:pending|submitted|succeeded|failed)"'
_TEXT: Final = rb'"(?:[^"\\]|\\.)*"'
_EXPORTS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rb'\s*\{\s*"key":\s*%s,\s*"state":\s*%s,\s*"prediction":' % (_TEXT, _STATE),  # JSON lines
        rb'\s*\{\s*"id":\s*"batch_req_[^"]+-\d+-\d+",\s*"custom_id":',  # openai-batch
        rb'\s*\{\s*"type":\s*"FeatureCollection",\s*"generator":\s*"batchinfer',  # GeoJSON, and as
        rb'\{"type":"FeatureCollection","features":\[\n(?s:.){,4096}?"state":%s' % _STATE,  # before
        rb"# Predictions of the run [^\n]+, by batchinfer",  # data.yaml
        rb'\{"media_type":"image","info":\{"run":"',  # FiftyOne's metadata.json
    )
)
_REPORT: Final = re.compile(rb'<meta name="generator" content="batchinfer[ "]')
_COCO: Final = re.compile(rb'"contributor":\s*"batchinfer"')
_FOLDER_FILES: Final = {
    "tasks.json": re.compile(rb'\[\s*\{"data":\{"image":%s,"key":%s,"state":' % (_TEXT, _TEXT)),
    "samples.json": re.compile(
        rb'\{"samples":\[\s*\{"filepath":%s,"tags":\[%s\]' % (_TEXT, _STATE)
    ),
    "ro-crate-metadata.json": re.compile(rb'\s*\{"@context":(?s:.)*"#batchinfer"'),
}
"""Files that tell, by themselves, that their folder is an export."""
_PAYLOAD: Final = re.compile(rb'"oscar-files":\s*\[\s*\{"key":\s*"')
_ENVIRONMENT: Final = re.compile(
    rb"(?m)^# Secrets: for your eyes only\.$"
    rb"|^\s*(?:export\s+)?(?:OSCAR_TOKEN|MINIO_ACCESS_KEY|MINIO_SECRET_KEY)="
)
_SECTION: Final = re.compile(rb"(?m)^\s*\[\s*([A-Za-z_]+)(?:\.[^\]\n]*)?\s*\]")
_SETTING: Final = re.compile(rb"(?m)^\s*(?:endpoint|token|name|access_key|secret_key)\s*=")
_SECTIONS: Final = frozenset(("service", "bucket", "input", "params", "run"))


class Mark(StrEnum):
    """What a file or folder of ours is, as people call it."""

    RUN = "run directory"
    EXPORT = "export"
    REPORT = "report"
    CONFIG = "configuration"
    PAYLOAD = "payload"
    UNFINISHED = "unfinished file"


def is_ours(path: str | os.PathLike[str]) -> bool:
    """Whether batchinfer has written the file, or the folder with all that is in it."""
    return mark_of(path) is not None


def mark_of(path: str | os.PathLike[str]) -> Mark | None:
    """What of ours the file or folder at `path` is; None when it is none, or cannot be read.

    Links are followed. Folders above `path` are not looked at: who walks down a tree asks of each.
    """
    text = os.fspath(path)
    try:
        status = os.stat(text)  # noqa: PTH116 - a name may be of any bytes
        if stat.S_ISDIR(status.st_mode):
            return _of_folder(text)
        if stat.S_ISREG(status.st_mode):
            return _of_file(text, status.st_size)
    except (OSError, ValueError):
        return None
    return Mark.RUN if _is_beside_database(text) else None  # a socket


def may_be_ours(name: str) -> bool:
    """Whether a file of this name has to be looked at: no picture, sound or video has."""
    return name.rpartition(".")[2].lower() not in _MEDIA or name.startswith(
        ("batchinfer.", ".batchinfer")
    )


def set_mark(path: Path, mark: Mark) -> None:
    """Note on a file what it is, where the file system can: tables of queries show it no other way.

    Never fails.
    """
    with suppress(OSError, AttributeError):
        os.setxattr(path, _ATTRIBUTE, mark.encode())


def mark_folder(folder: Path, format: str, run: str) -> None:
    """Put the marker into the folder of an export. Raises OSError."""
    said = {"written_by": GENERATOR, "format": format, "run": run}
    (folder / MARKER).write_text(json.dumps(said) + "\n", encoding="utf-8")


def is_part(name: str) -> bool:
    """Whether this is the name of an export that is being written, or never was finished."""
    return name.startswith(PART_PREFIX) and name.endswith(PART_SUFFIX)


def _of_folder(path: str) -> Mark | None:
    name = os.path.basename(path)  # noqa: PTH119
    if is_part(name):
        return Mark.UNFINISHED
    if _is_run(path) or _is_beside_database(path):
        return Mark.RUN
    return Mark.EXPORT if _is_folder_export(path) else None


def _is_folder_export(path: str) -> bool:
    if os.path.lexists(f"{path}/{MARKER}"):
        return True
    for name, pattern in _FOLDER_FILES.items():
        if pattern.match(_head(f"{path}/{name}")):
            return True
    return _columns(_head(f"{path}/index.csv")) in _FOLDER_INDEXES


def _is_run(folder: str) -> bool:
    return _is_database(_head(f"{folder}/{_DATABASE}", 100))


def _is_database(head: bytes) -> bool:
    return head.startswith(_SQLITE) and head[68:72] == _APPLICATION_ID


def _is_beside_database(path: str) -> bool:
    folder, name = os.path.split(path)
    return name in _BESIDE_DATABASE and _is_run(folder or ".")


def _of_file(path: str, size: int) -> Mark | None:
    name = os.path.basename(path)  # noqa: PTH119
    if (known := _by_name(path, name)) is not None:
        return known
    if name.rpartition(".")[2].lower() in _MEDIA:
        return None
    with suppress(OSError, AttributeError, ValueError):
        return Mark(os.getxattr(path, _ATTRIBUTE).decode())
    with open(path, "rb") as file:  # noqa: PTH123
        head = file.read(_HEAD)
        file.seek(max(size - _HEAD, 0))
        tail = file.read(_HEAD) if size > _HEAD else head
    return _by_content(name, head, tail)


def _by_name(path: str, name: str) -> Mark | None:
    if is_part(name):
        return Mark.UNFINISHED
    if name.startswith(("batchinfer.toml", "batchinfer.env", ".batchinfer.env")):
        return Mark.CONFIG
    if name == MARKER:
        return Mark.EXPORT
    for ending in _LOG_ENDINGS:
        if name.endswith(ending) and _is_database(_head(path.removesuffix(ending), 100)):
            return Mark.RUN
    return Mark.RUN if _is_beside_database(path) else None


def _by_content(name: str, head: bytes, tail: bytes) -> Mark | None:
    if head.startswith(b"\x1f\x8b"):
        head = tail = _unpacked(head)
    head = head.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in head[:1024] or head.startswith(b"PAR1"):
        return _by_bytes(head, tail)
    if _REPORT.search(head):
        return Mark.REPORT
    if _is_export(name, head, tail):
        return Mark.EXPORT
    if _PAYLOAD.search(head) or _columns(head) == _PAYLOAD_INDEX:
        return Mark.PAYLOAD
    return Mark.CONFIG if _is_config(name, head) else None


def _by_bytes(head: bytes, tail: bytes) -> Mark | None:
    """What of ours is no text."""
    if _is_database(head):
        return Mark.RUN
    if not head.startswith((b"PAR1", b"ARROW1")):
        return None
    told = tail if head.startswith(b"PAR1") else head
    return Mark.EXPORT if all(each.encode() in told for each in _ROWS) else None


def _is_export(name: str, head: bytes, tail: bytes) -> bool:
    if head.lstrip()[:1] == b"{" and (_COCO.search(tail) or _COCO.search(head)):
        return True
    if any(pattern.match(head) for pattern in _EXPORTS):
        return True
    if name in _FOLDER_FILES and _FOLDER_FILES[name].match(head):
        return True
    columns = _columns(head)
    return columns in _FOLDER_INDEXES or _ROWS.issubset(columns)


def _is_config(name: str, head: bytes) -> bool:
    if "env" in name.lower() and _ENVIRONMENT.search(head):
        return True
    return _is_settings(head) if b"=" in head else False


def _is_settings(head: bytes) -> bool:
    """Whether this is a configuration: valid TOML, or TOML with a slip of the pen in it."""
    with suppress(ValueError):
        tables = tomllib.loads(head.decode())
        if not tables or not tables.keys() <= _SECTIONS:
            return False
        return any(_has_settings(tables.get(name)) for name in ("service", "bucket"))
    sections = {name.decode().lower() for name in _SECTION.findall(head)}
    reaches = bool(sections & {"service", "bucket"})
    return reaches and sections <= _SECTIONS and _SETTING.search(head) is not None


def _has_settings(table: Any) -> bool:
    known = ("endpoint", "token", "name", "access_key", "secret_key")
    return isinstance(table, dict) and any(name in table for name in known)


def _columns(head: bytes) -> tuple[str, ...]:
    """The cells of the first line of a table, whatever separates them."""
    line = head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0].rstrip(b"\r")
    if len(line) > 4096:  # noqa: PLR2004 - no header of ours
        return ()
    cells = re.split(r"[,;\t]", line.decode("utf-8", "replace"))
    return tuple(cell.strip().strip('"') for cell in cells)


def _head(path: str, most: int = _HEAD) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - a pipe would be waited for
            return b""
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read(most)
    except (OSError, ValueError):
        return b""


def _unpacked(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(packed, _HEAD)
    except zlib.error:
        return b""
