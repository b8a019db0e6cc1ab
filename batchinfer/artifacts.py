"""Which files and folders batchinfer itself has written: they are nobody's inputs.

A file is known by what stands in it, so that it stays known when it is moved, renamed, packed or
came from another machine: the header of a table, the first line of JSON lines, a generator's name,
the application id of a database. What cannot show it, such as the table of a query, bears an
extended attribute where the file system has them (Linux). A folder of an export holds a file
`EXPORT_MARKER_NAME`; those of older versions are known by the files that only they hold together.

At most `_HEAD_BYTES` bytes of the beginning and of the end of a file are read, none of a picture,
a sound or a video.
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

EXPORT_MARKER_NAME: Final = ".batchinfer-export"
"""The file in the folder of an export that says so."""
PARTIAL_PREFIX, PARTIAL_SUFFIX = ".batchinfer-", ".part"
"""Around the name of what is being written, or was when its process was killed."""
GENERATOR: Final = f"batchinfer {__version__}"
"""What a file says wrote it, where its format has a place for that."""

_XATTR_NAME: Final = "user.batchinfer"
_HEAD_BYTES: Final = 65_536
_SQLITE_APPLICATION_ID: Final = b"binf"
"""Bytes 68 to 71 of `run.db` (`store.schema.APPLICATION_ID`)."""
_SQLITE_MAGIC: Final = b"SQLite format 3\0"
_RUN_DATABASE_NAME: Final = "run.db"
_RUN_DIRECTORY_NAMES: Final = frozenset(
    ("run.lock", "run.log", "run.db.new", ".control", "stdin.manifest", "outputs")
)
_SQLITE_LOG_SUFFIXES: Final = ("-wal", "-shm", "-journal")

_MEDIA_EXTENSIONS: Final = frozenset(
    (
        *("jpg", "jpeg", "jpe", "jfif", "png", "apng", "gif", "bmp", "webp", "avif", "heic"),
        *("heif", "tif", "tiff", "jp2", "jxl", "dng", "nef", "cr2", "cr3", "arw", "raw", "ppm"),
        *("wav", "mp3", "flac", "ogg", "opus", "m4a", "aac", "aiff", "mp4", "mov", "avi", "mkv"),
        *("webm", "mpg", "mpeg", "m4v", "nii", "dcm", "npy", "npz", "pdf", "h5", "hdf5", "nc"),
    )
)
"""Endings of files that are not looked into."""

_EXPORT_COLUMNS: Final = frozenset(
    ("key", "state", "code", "message", "attempts", "seconds", "started_at", "finished_at")
)
"""Columns that every table of an export has, and hardly any other table has together."""
_FOLDER_INDEX_COLUMNS: Final = frozenset(
    (("key", "image", "labels", "path"), ("key", "state", "prediction", "log", "error"))
)
COMPARISON_COLUMNS: Final = (
    *("key", "change", "aspects", "amount", "input_changed"),
    *("a_state", "a_code", "b_state", "b_code"),
    *("matched", "only_a", "only_b", "label_changes"),
    *("mean_iou", "lowest_iou", "largest_score_shift"),
)
"""Columns of the table of `batchinfer compare`."""
_PAYLOAD_INDEX_COLUMNS: Final = frozenset(
    {("file", "key", "path", "code"), ("file", "key", "path", "code", "query")}
)

_STATE_PATTERN: Final = rb'"(?:pending|submitted|succeeded|failed)"'
_JSON_STRING_PATTERN: Final = rb'"(?:[^"\\]|\\.)*"'
_EXPORT_PATTERNS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rb'\s*\{\s*"key":\s*%s,\s*"state":\s*%s,\s*"prediction":'
        % (_JSON_STRING_PATTERN, _STATE_PATTERN),  # JSON lines
        rb'\s*\{\s*"id":\s*"batch_req_[^"]+-\d+-\d+",\s*"custom_id":',  # openai-batch
        rb'\s*\{\s*"type":\s*"FeatureCollection",\s*"generator":\s*"batchinfer',  # GeoJSON, and as
        rb'\{"type":"FeatureCollection","features":\[\n(?s:.){,4096}?"state":%s'
        % _STATE_PATTERN,  # before
        rb"# Predictions of the run [^\n]+, by batchinfer",  # data.yaml
        rb'\{"media_type":"image","info":\{"run":"',  # FiftyOne's metadata.json
    )
)
_REPORT_PATTERN: Final = re.compile(rb'<meta name="generator" content="batchinfer[ "]')
_COCO_PATTERN: Final = re.compile(rb'"contributor":\s*"batchinfer"')
_FOLDER_FILE_PATTERNS: Final = {
    "tasks.json": re.compile(
        rb'\[\s*\{"data":\{"image":%s,"key":%s,"state":'
        % (_JSON_STRING_PATTERN, _JSON_STRING_PATTERN)
    ),
    "samples.json": re.compile(
        rb'\{"samples":\[\s*\{"filepath":%s,"tags":\[%s\]' % (_JSON_STRING_PATTERN, _STATE_PATTERN)
    ),
    "ro-crate-metadata.json": re.compile(rb'\s*\{"@context":(?s:.)*"#batchinfer"'),
}
"""Files that tell, by themselves, that their folder is an export."""
_PAYLOAD_PATTERN: Final = re.compile(rb'"oscar-files":\s*\[\s*\{"key":\s*"')
_ENV_FILE_PATTERN: Final = re.compile(
    rb"(?m)^# Secrets: for your eyes only\.$"
    rb"|^\s*(?:export\s+)?(?:OSCAR_TOKEN|MINIO_ACCESS_KEY|MINIO_SECRET_KEY)="
)
_TOML_SECTION_PATTERN: Final = re.compile(rb"(?m)^\s*\[{1,2}\s*([A-Za-z_]+)(?:\.[^\]\n]*)?\s*\]")
_CONFIG_KEY_PATTERN: Final = re.compile(
    rb"(?m)^\s*(?:endpoint|token|name|access_key|secret_key)\s*="
)
_CONFIG_SECTIONS: Final = frozenset(
    ("service", "bucket", "input", "source", "params", "protocol", "run", "watch", "cluster")
)
_CONNECTION_SECTIONS: Final = frozenset(("service", "bucket", "source"))


class ArtifactKind(StrEnum):
    """What a file or folder of ours is, as people call it."""

    RUN = "run directory"
    EXPORT = "export"
    REPORT = "report"
    CONFIG = "configuration"
    PAYLOAD = "payload"
    UNFINISHED = "unfinished file"


def is_artifact(path: str | os.PathLike[str]) -> bool:
    """Whether batchinfer has written the file, or the folder with all that is in it."""
    return detect_artifact(path) is not None


def detect_artifact(path: str | os.PathLike[str]) -> ArtifactKind | None:
    """What of ours the file or folder at `path` is; None when it is none, or cannot be read.

    Links are followed. Folders above `path` are not looked at: who walks down a tree asks of each.
    """
    text = os.fspath(path)
    try:
        status = os.stat(text)  # noqa: PTH116 - a name may be of any bytes
        if stat.S_ISDIR(status.st_mode):
            return _detect_folder(text)
        if stat.S_ISREG(status.st_mode):
            return _detect_file(text, status.st_size)
    except (OSError, ValueError):
        return None
    return ArtifactKind.RUN if _is_in_run_directory(text) else None  # a socket


def may_be_artifact(name: str) -> bool:
    """Whether a file of this name has to be looked at: no picture, sound or video has."""
    return name.rpartition(".")[2].lower() not in _MEDIA_EXTENSIONS or name.startswith(
        ("batchinfer.", ".batchinfer")
    )


def tag_file(path: Path, kind: ArtifactKind) -> None:
    """Note on a file what it is, where the file system can: tables of queries show it no other way.

    Never fails.
    """
    with suppress(OSError, AttributeError):
        os.setxattr(path, _XATTR_NAME, kind.encode())


def write_export_marker(folder: Path, format: str, run: str) -> None:
    """Put the marker into the folder of an export. Raises OSError."""
    content = {"written_by": GENERATOR, "format": format, "run": run}
    (folder / EXPORT_MARKER_NAME).write_text(json.dumps(content) + "\n", encoding="utf-8")


def is_partial_name(name: str) -> bool:
    """Whether this is the name of an export that is being written, or never was finished."""
    return name.startswith(PARTIAL_PREFIX) and name.endswith(PARTIAL_SUFFIX)


def _detect_folder(path: str) -> ArtifactKind | None:
    name = os.path.basename(path)  # noqa: PTH119
    if is_partial_name(name):
        return ArtifactKind.UNFINISHED
    if _is_run_directory(path) or _is_in_run_directory(path):
        return ArtifactKind.RUN
    return ArtifactKind.EXPORT if _is_folder_export(path) else None


def _is_folder_export(path: str) -> bool:
    if os.path.lexists(f"{path}/{EXPORT_MARKER_NAME}"):
        return True
    for name, pattern in _FOLDER_FILE_PATTERNS.items():
        if pattern.match(_read_head(f"{path}/{name}")):
            return True
    return _parse_header(_read_head(f"{path}/index.csv")) in _FOLDER_INDEX_COLUMNS


def _is_run_directory(folder: str) -> bool:
    return _is_database(_read_head(f"{folder}/{_RUN_DATABASE_NAME}", 100))


def _is_database(head: bytes) -> bool:
    return head.startswith(_SQLITE_MAGIC) and head[68:72] == _SQLITE_APPLICATION_ID


def _is_in_run_directory(path: str) -> bool:
    folder, name = os.path.split(path)
    return name in _RUN_DIRECTORY_NAMES and _is_run_directory(folder or ".")


def _detect_file(path: str, size: int) -> ArtifactKind | None:
    name = os.path.basename(path)  # noqa: PTH119
    if (kind := _detect_by_name(path, name)) is not None:
        return kind
    if name.rpartition(".")[2].lower() in _MEDIA_EXTENSIONS:
        return None
    with suppress(OSError, AttributeError, ValueError):
        return ArtifactKind(os.getxattr(path, _XATTR_NAME).decode())
    with open(path, "rb") as file:  # noqa: PTH123
        head = file.read(_HEAD_BYTES)
        file.seek(max(size - _HEAD_BYTES, 0))
        tail = file.read(_HEAD_BYTES) if size > _HEAD_BYTES else head
    return _detect_by_content(name, head, tail)


def _detect_by_name(path: str, name: str) -> ArtifactKind | None:
    if is_partial_name(name):
        return ArtifactKind.UNFINISHED
    if name.startswith(("batchinfer.toml", "batchinfer.env", ".batchinfer.env")):
        return ArtifactKind.CONFIG
    if name == EXPORT_MARKER_NAME:
        return ArtifactKind.EXPORT
    for ending in _SQLITE_LOG_SUFFIXES:
        if name.endswith(ending) and _is_database(_read_head(path.removesuffix(ending), 100)):
            return ArtifactKind.RUN
    return ArtifactKind.RUN if _is_in_run_directory(path) else None


def _detect_by_content(name: str, head: bytes, tail: bytes) -> ArtifactKind | None:
    if head.startswith(b"\x1f\x8b"):
        head = tail = _decompress_head(head)
    head = head.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in head[:1024] or head.startswith(b"PAR1"):
        return _detect_binary(head, tail)
    if _REPORT_PATTERN.search(head):
        return ArtifactKind.REPORT
    if _is_export(name, head, tail):
        return ArtifactKind.EXPORT
    if _PAYLOAD_PATTERN.search(head) or _parse_header(head) in _PAYLOAD_INDEX_COLUMNS:
        return ArtifactKind.PAYLOAD
    return ArtifactKind.CONFIG if _is_config(name, head) else None


def _detect_binary(head: bytes, tail: bytes) -> ArtifactKind | None:
    """What of ours is no text."""
    if _is_database(head):
        return ArtifactKind.RUN
    if not head.startswith((b"PAR1", b"ARROW1")):
        return None
    schema_bytes = tail if head.startswith(b"PAR1") else head
    return (
        ArtifactKind.EXPORT
        if all(each.encode() in schema_bytes for each in _EXPORT_COLUMNS)
        else None
    )


def _is_export(name: str, head: bytes, tail: bytes) -> bool:
    if head.lstrip()[:1] == b"{" and (_COCO_PATTERN.search(tail) or _COCO_PATTERN.search(head)):
        return True
    if any(pattern.match(head) for pattern in _EXPORT_PATTERNS):
        return True
    if name in _FOLDER_FILE_PATTERNS and _FOLDER_FILE_PATTERNS[name].match(head):
        return True
    columns = _parse_header(head)
    if columns == COMPARISON_COLUMNS:
        return True
    return columns in _FOLDER_INDEX_COLUMNS or _EXPORT_COLUMNS.issubset(columns)


def _is_config(name: str, head: bytes) -> bool:
    if "env" in name.lower() and _ENV_FILE_PATTERN.search(head):
        return True
    return _is_config_toml(head) if b"=" in head else False


def _is_config_toml(head: bytes) -> bool:
    """Whether this is a configuration: valid TOML, or TOML with a slip of the pen in it."""
    with suppress(ValueError):
        tables = tomllib.loads(head.decode())
        if not tables or not tables.keys() <= _CONFIG_SECTIONS:
            return False
        return any(_has_connection_keys(tables.get(name)) for name in _CONNECTION_SECTIONS)
    sections = {name.decode().lower() for name in _TOML_SECTION_PATTERN.findall(head)}
    has_connection = bool(sections & _CONNECTION_SECTIONS)
    return (
        has_connection
        and sections <= _CONFIG_SECTIONS
        and _CONFIG_KEY_PATTERN.search(head) is not None
    )


def _has_connection_keys(table: Any) -> bool:
    connection_keys = ("endpoint", "token", "name", "access_key", "secret_key")
    if isinstance(table, list):  # several services
        return any(map(_has_connection_keys, table))
    return isinstance(table, dict) and any(name in table for name in connection_keys)


def _parse_header(head: bytes) -> tuple[str, ...]:
    """The cells of the first line of a table, whatever separates them."""
    line = head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0].rstrip(b"\r")
    if len(line) > 4096:  # noqa: PLR2004 - no header of ours
        return ()
    cells = re.split(r"[,;\t]", line.decode("utf-8", "replace"))
    return tuple(cell.strip().strip('"') for cell in cells)


def _read_head(path: str, max_bytes: int = _HEAD_BYTES) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - a pipe would be waited for
            return b""
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read(max_bytes)
    except (OSError, ValueError):
        return b""


def _decompress_head(compressed: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(compressed, _HEAD_BYTES)
    except zlib.error:
        return b""
