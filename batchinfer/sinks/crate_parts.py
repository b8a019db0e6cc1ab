"""The files of a crate, described while they are met: kept on disk, for there may be millions.

Rules of the room: one entity per id. An input's id is its `file://` address, byte for byte; of a
file that was sent again with another content, the second one says so behind a `#`. A file that many
items share bears the first one's key. Only what a run itself wrote is copied.
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

from batchinfer.domain import JSON, TEXT, Dossier, InputFile, Json, State
from batchinfer.sinks.book import Book
from batchinfer.sinks.cells import json_text
from batchinfer.sinks.names import below
from batchinfer.sinks.pictures import absolute
from batchinfer.sinks.scratch import open_scratch

Entity: TypeAlias = Mapping[str, Json]
Role: TypeAlias = Literal["input", "result", "model"]

_OUTPUT: Final = re.compile(r"outputs/[0-9A-Za-z][0-9A-Za-z.-]*")
"""How a run names a prediction that is bytes (docs/run-format.md)."""
_TYPES: Final = MimeTypes()
"""Python's own table; the machine's is not asked."""
_PARTS: Final = (
    "CREATE TABLE parts (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, role TEXT NOT NULL,"
    " sha256 TEXT, entity BLOB NOT NULL);"
    "CREATE TABLE uses (session INTEGER NOT NULL, id TEXT NOT NULL, PRIMARY KEY (session, id))"
    " WITHOUT ROWID;"
)
_ADD: Final = """
INSERT INTO parts (id, role, sha256, entity) VALUES (?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET sha256 = excluded.sha256, entity = excluded.entity
WHERE parts.sha256 IS NULL AND excluded.sha256 IS NOT NULL
"""


class Parts:
    """Every file of the crate, in the order they were met. A context manager."""

    def __init__(self, folder: Path, apart: Collection[int] = ()) -> None:
        """`folder`: the crate; `apart`: sessions whose items are told apart from all others."""
        self._folder, self._apart = folder, apart
        self._open = ExitStack()
        self._db = self._open.enter_context(open_scratch(folder, _PARTS))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def inputs(self, dossier: Dossier) -> Sequence[str]:
        """Add the files of an item; their ids."""
        ids = [self._input(dossier, file) for file in dossier.files]
        self._use(dossier, ids)
        return ids

    def output(self, dossier: Dossier, book: Book, inputs: Sequence[str]) -> bool:
        """Copy and add the prediction of an item, if it is a file; False: that is missing."""
        result = dossier.result
        if result.state is not State.SUCCEEDED or result.media_type in {JSON, TEXT}:
            return True
        name = result.prediction
        if not isinstance(name, str) or not _OUTPUT.fullmatch(name):
            return False
        if (source := book.output(name, dossier.file_checksum)) is None:
            return False
        shutil.copyfile(source, below(self._folder, name))
        origin = {"isBasedOn": references(inputs)} if inputs else {}
        self.local(name, "result", result.key, result.media_type, **origin)
        self._use(dossier, [name])
        return True

    def local(
        self, place: str, role: Role, name: str, media_type: str | None, **more: Json
    ) -> None:
        """Add a file that was written into the crate, to `place`; its id is the same."""
        path = self._folder / place
        with path.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        described = _file(place, name, media_type, path.stat().st_size, digest)
        self._add(role, digest, {**described, **more})

    def ids(self, role: Role | None = None) -> Iterator[str]:
        """Those of one role; None: of all."""
        asked = "SELECT id FROM parts WHERE role = ifnull(?, role) ORDER BY number"
        for (found,) in self._db.execute(asked, (role,)):
            yield found

    def ids_of(self, role: Role, session: int) -> Iterator[str]:
        """Those of one role that belong to a session apart, or (0) to the others.

        What belongs to no item belongs to all.
        """
        asked = """
            SELECT id FROM parts WHERE role = :role AND (
                EXISTS (SELECT 1 FROM uses WHERE session = :session AND uses.id = parts.id)
                OR (:role = 'result' AND id NOT LIKE 'outputs/%')
            ) ORDER BY number
        """
        for (found,) in self._db.execute(asked, {"role": role, "session": session}):
            yield found

    def used_apart(self) -> Sequence[int]:
        """The sessions apart that have items here."""
        asked = "SELECT DISTINCT session FROM uses WHERE session > 0 ORDER BY session"
        return [session for (session,) in self._db.execute(asked)]

    def _use(self, dossier: Dossier, ids: Sequence[str]) -> None:
        if self._apart:
            session = dossier.session if dossier.session in self._apart else 0
            rows = [(session, each) for each in ids]
            self._db.executemany("INSERT OR IGNORE INTO uses VALUES (?, ?)", rows)

    def entities(self) -> Iterator[bytes]:
        """All, as JSON."""
        for (entity,) in self._db.execute("SELECT entity FROM parts ORDER BY number"):
            yield entity

    def _input(self, dossier: Dossier, file: InputFile) -> str:
        digest, address = dossier.sha256.get(file.param), _address(file.path)
        _, ending = os.path.splitext(file.path)  # noqa: PTH122 - pathlib interns every part
        media_type, _ = _TYPES.guess_type("x" + ending.lower(), strict=False)
        entity = _file(address, dossier.result.key, media_type, file.size, digest)
        if digest is not None:
            entity["sdDatePublished"] = dossier.result.started_at
        if len(dossier.files) > 1:
            entity["description"] = f"Sent as the parameter {file.param}"
        self._add("input", digest, entity)
        asked = "SELECT sha256 FROM parts WHERE id = ?"
        (known,) = self._db.execute(asked, (address,)).fetchone()
        if digest is None or digest == known:
            return address
        changed = f"{address}#sha256={digest}"
        self._add("input", digest, {**entity, "@id": changed})
        return changed

    def _add(self, role: Role, digest: str | None, entity: Entity) -> None:
        self._db.execute(_ADD, (entity["@id"], role, digest, json_text(entity)))


def references(ids: Sequence[str]) -> Json:
    """References as compacted JSON-LD has them: a list only where there are several."""
    found = [{"@id": each} for each in ids]
    return found[0] if len(found) == 1 else found


def _file(
    address: str, name: str, media_type: str | None, size: int | None, digest: str | None
) -> dict[str, Json]:
    known = {
        "encodingFormat": media_type,
        "contentSize": None if size is None else str(size),
        "sha256": digest,
    }
    told = {name: value for name, value in known.items() if value is not None}
    return {"@id": address, "@type": "File", "name": name, **told}


def _address(path: str) -> str:
    """The `file://` address of a path, bytes that are not UTF-8 included."""
    try:
        exact = os.fsencode(absolute(path))
    except UnicodeEncodeError:  # a manifest can name what no disk has
        exact = absolute(path).encode(errors="surrogatepass")
    return "file://" + quote(exact)
