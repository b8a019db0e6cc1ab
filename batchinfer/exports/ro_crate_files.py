"""The files of a crate and their descriptions, kept on disk, as there may be millions.

There is one entity per id. An input's id is its `file://` address, byte for byte; if a file was
sent again with other content, the second id says so after a `#`. A file that many items share has
the first one's key. Only files that the run itself wrote are copied.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from hashlib import file_digest
from mimetypes import MimeTypes
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias
from urllib.parse import quote

from batchinfer.domain import (
    JSON_MEDIA_TYPE,
    TEXT_MEDIA_TYPE,
    ZIP_MEDIA_TYPE,
    InputFile,
    Json,
    ResultDetails,
    State,
)
from batchinfer.exports.export_source import ExportSource
from batchinfer.exports.filename_allocator import ensure_parent
from batchinfer.exports.image_items import make_absolute
from batchinfer.exports.safe_text import encode_strict_json
from batchinfer.exports.scratch import open_scratch_database
from batchinfer.inputs import is_local

CrateEntity: TypeAlias = Mapping[str, Json]
CrateFileRole: TypeAlias = Literal["input", "result", "model"]

_OUTPUT_NAME_PATTERN: Final = re.compile(r"outputs/[0-9A-Za-z][0-9A-Za-z.-]*")
"""How a run names a prediction that is bytes (docs/reference/run-format.md)."""
_URI_CHARACTERS: Final = "%/:?#[]@!$&'()*+,;="
"""What has a meaning in a URI and stays."""
_MIME_TYPES: Final = MimeTypes()
"""Python's own table; the machine's is not asked."""
_CRATE_FILES_SCHEMA: Final = (
    "CREATE TABLE parts (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, role TEXT NOT NULL, "
    "sha256 TEXT, entity BLOB NOT NULL);CREATE TABLE uses (session INTEGER NOT NULL, id TEXT NOT "
    "NULL, PRIMARY KEY (session, id)) WITHOUT ROWID;"
)
_UPSERT_CRATE_FILE: Final = """
INSERT INTO parts (id, role, sha256, entity) VALUES (?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET sha256 = excluded.sha256, entity = excluded.entity
WHERE parts.sha256 IS NULL AND excluded.sha256 IS NOT NULL
"""


class CrateFiles:
    """Every file of the crate, in the order they were met. A context manager."""

    def __init__(self, folder: Path, separate_sessions: Collection[int] = ()) -> None:
        """`folder`: the crate. `separate_sessions`: those that have an action of their own."""
        self._folder, self._separate_sessions = folder, separate_sessions
        self._resources = ExitStack()
        self._db = self._resources.enter_context(open_scratch_database(folder, _CRATE_FILES_SCHEMA))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._resources.close()

    def add_inputs(self, details: ResultDetails) -> Sequence[str]:
        """Add the files of an item; their ids."""
        ids = [self._add_input(details, file) for file in details.files]
        self._record_use(details, ids)
        return ids

    def add_output(
        self, details: ResultDetails, source: ExportSource, inputs: Sequence[str]
    ) -> bool:
        """Copy and add what an item has as a file, if anything; False: that is missing.

        That is its prediction, or an archive with all files that were returned.
        """
        result, name = details.result, details.output_name
        is_data = result.media_type in {JSON_MEDIA_TYPE, TEXT_MEDIA_TYPE}
        if result.state is not State.SUCCEEDED or (is_data and name is None):
            return True
        if name is None or not _OUTPUT_NAME_PATTERN.fullmatch(name):
            return False
        if (output_path := source.find_output(name, details.file_checksum)) is None:
            return False
        shutil.copyfile(output_path, ensure_parent(self._folder, name))
        based_on = {"isBasedOn": make_references(inputs)} if inputs else {}
        media_type = ZIP_MEDIA_TYPE if is_data else result.media_type
        self.add_local_file(name, "result", result.key, media_type, **based_on)
        self._record_use(details, [name])
        return True

    def add_local_file(
        self,
        relative_path: str,
        role: CrateFileRole,
        name: str,
        media_type: str | None,
        **properties: Json,
    ) -> None:
        """Add a file that was written into the crate; its id is its path there."""
        path = self._folder / relative_path
        with path.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        entity = _make_file_entity(relative_path, name, media_type, path.stat().st_size, digest)
        self._insert(role, digest, {**entity, **properties})

    def iter_ids(self, role: CrateFileRole | None = None) -> Iterator[str]:
        """Those of one role; None: of all."""
        query = "SELECT id FROM parts WHERE role = ifnull(?, role) ORDER BY number"
        for (file_id,) in self._db.execute(query, (role,)):
            yield file_id

    def iter_session_ids(self, role: CrateFileRole, session: int) -> Iterator[str]:
        """Those of one role that belong to a separate session, or (0) to all others.

        What belongs to no item belongs to all sessions.
        """
        query = """
            SELECT id FROM parts WHERE role = :role AND (
                EXISTS (SELECT 1 FROM uses WHERE session = :session AND uses.id = parts.id)
                OR (:role = 'result' AND id NOT LIKE 'outputs/%')
            ) ORDER BY number
        """
        for (file_id,) in self._db.execute(query, {"role": role, "session": session}):
            yield file_id

    def list_separate_sessions(self) -> Sequence[int]:
        """The separate sessions that have items here."""
        query = "SELECT DISTINCT session FROM uses WHERE session > 0 ORDER BY session"
        return [session for (session,) in self._db.execute(query)]

    def _record_use(self, details: ResultDetails, ids: Sequence[str]) -> None:
        if self._separate_sessions:
            session = details.session if details.session in self._separate_sessions else 0
            rows = [(session, each) for each in ids]
            self._db.executemany("INSERT OR IGNORE INTO uses VALUES (?, ?)", rows)

    def iter_entities(self) -> Iterator[bytes]:
        """All, as JSON."""
        for (entity,) in self._db.execute("SELECT entity FROM parts ORDER BY number"):
            yield entity

    def _add_input(self, details: ResultDetails, file: InputFile) -> str:
        digest, url = details.sha256.get(file.param), _make_file_url(file.path)
        _, extension = os.path.splitext(file.path)  # noqa: PTH122 - pathlib interns every part
        media_type, _ = _MIME_TYPES.guess_type("x" + extension.lower(), strict=False)
        entity = _make_file_entity(url, details.result.key, media_type, file.size, digest)
        if digest is not None:
            entity["sdDatePublished"] = details.result.started_at
        if len(details.files) > 1:
            entity["description"] = f"Sent as the parameter {file.param}"
        self._insert("input", digest, entity)
        query = "SELECT sha256 FROM parts WHERE id = ?"
        (known_digest,) = self._db.execute(query, (url,)).fetchone()
        if digest is None or digest == known_digest:
            return url
        changed_id = f"{url}#sha256={digest}"
        self._insert("input", digest, {**entity, "@id": changed_id})
        return changed_id

    def _insert(self, role: CrateFileRole, digest: str | None, entity: CrateEntity) -> None:
        self._db.execute(
            _UPSERT_CRATE_FILE, (entity["@id"], role, digest, encode_strict_json(entity))
        )


def make_references(ids: Sequence[str]) -> Json:
    """References as compacted JSON-LD has them: a list only where there are several."""
    entities = [{"@id": each} for each in ids]
    return entities[0] if len(entities) == 1 else entities


def _make_file_entity(
    entity_id: str, name: str, media_type: str | None, size: int | None, digest: str | None
) -> dict[str, Json]:
    optional = {
        "encodingFormat": media_type,
        "contentSize": None if size is None else str(size),
        "sha256": digest,
    }
    properties = {name: value for name, value in optional.items() if value is not None}
    return {"@id": entity_id, "@type": "File", "name": name, **properties}


def _make_file_url(path: str) -> str:
    """The `file://` address of a path, bytes that are not UTF-8 included; a URI as it is."""
    if not is_local(path):
        return quote(path, safe=_URI_CHARACTERS)
    try:
        path_bytes = os.fsencode(make_absolute(path))
    except UnicodeEncodeError:  # a manifest can name what no disk has
        path_bytes = make_absolute(path).encode(errors="surrogatepass")
    return "file://" + quote(path_bytes)
