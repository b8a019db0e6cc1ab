"""Looks through a whole run directory for what is damaged. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from batchinfer.domain import JSON, TEXT, Dossier
from batchinfer.errors import RunDamaged
from batchinfer.store.checking import Damages
from batchinfer.store.checksums import Damage, of_file, of_session
from batchinfer.store.database import DATABASE, open_to_read, translated, version_of
from batchinfer.store.read_sql import SESSIONS
from batchinfer.store.reader import RunReader
from batchinfer.store.schema import SESSIONS_SINCE

_MOST = 100
"""Findings of SQLite itself that are told."""


def verify(directory: Path) -> Sequence[Damage]:
    """Everything in the run that is not what was written: rows, pages of the database, outputs.

    Also beside a run that is going on. Takes as long as reading it all twice. Raises RunCorrupt
    when there is no run, or none that can be opened; StoreError when the disk fails.
    """
    damages = Damages()
    _pages(directory, damages)
    with RunReader(directory, damages) as reader:
        for dossier in reader.dossiers():
            _output(directory, dossier, damages)
            with suppress(RunDamaged):  # it is noted
                reader.item(dossier.result.key)
    return damages.found()


def _pages(directory: Path, damages: Damages) -> None:
    connection = open_to_read(directory)
    try:
        with translated(directory / DATABASE):
            for (told,) in connection.execute(f"PRAGMA integrity_check({_MOST})"):
                if told != "ok":
                    damages.add(DATABASE, told)
            if version_of(connection) >= SESSIONS_SINCE:
                for number, version, at, _, params, kept in connection.execute(SESSIONS):
                    if of_session(number, version, at, params) != kept:
                        damages.add(f"session {number}", "its checksum does not match")
    finally:
        connection.close()


def _output(directory: Path, dossier: Dossier, damages: Damages) -> None:
    result = dossier.result
    if result.media_type in {None, JSON, TEXT} or not isinstance(result.prediction, str):
        return
    name = result.prediction
    try:
        found = of_file(directory / name)
    except (OSError, ValueError) as error:
        damages.add(name, f"it cannot be read ({error})")
        return
    if dossier.file_checksum not in {None, found}:
        damages.add(name, "its bytes are not those that were recorded")
