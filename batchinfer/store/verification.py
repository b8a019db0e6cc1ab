"""Looks through a whole run directory for what is damaged. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from batchinfer.domain import ResultDetails
from batchinfer.errors import RunDamaged
from batchinfer.store.checksums import checksum_file, checksum_session
from batchinfer.store.database import (
    DATABASE_NAME,
    get_format_version,
    open_readonly,
    translate_errors,
)
from batchinfer.store.item_counts import list_wrong_counts
from batchinfer.store.migrations import ITEM_COUNTS_MIN_VERSION, SESSIONS_MIN_VERSION
from batchinfer.store.row_checks import Damage, DamageCollector
from batchinfer.store.run_reader import RunReader
from batchinfer.store.sql_read import SELECT_SESSIONS

_MAX_INTEGRITY_FINDINGS = 100
"""Findings of SQLite itself that are reported."""


def verify_run(directory: Path) -> Sequence[Damage]:
    """Everything in the run that is not what was written: rows, pages of the database, outputs.

    Also beside a run that is going on. Takes as long as reading it all twice. Raises RunCorrupt
    when there is no run, or none that can be opened; StoreError when the disk fails.
    """
    damages = DamageCollector()
    _check_database(directory, damages)
    with RunReader(directory, damages) as reader:
        for details in reader.iter_result_details():
            _check_output_file(directory, details, damages)
            with suppress(RunDamaged):  # it is noted
                reader.read_item_detail(details.result.key)
    return damages.list_damages()


def _check_database(directory: Path, damages: DamageCollector) -> None:
    connection = open_readonly(directory)
    try:
        with translate_errors(directory / DATABASE_NAME):
            for (finding,) in connection.execute(
                f"PRAGMA integrity_check({_MAX_INTEGRITY_FINDINGS})"
            ):
                if finding != "ok":
                    damages.add(DATABASE_NAME, finding)
            if get_format_version(connection) >= ITEM_COUNTS_MIN_VERSION:
                for wrong_count in list_wrong_counts(connection):
                    damages.add(f"{DATABASE_NAME} (item_counts)", wrong_count)
            if get_format_version(connection) >= SESSIONS_MIN_VERSION:
                for number, version, started_at, _, params, checksum in connection.execute(
                    SELECT_SESSIONS
                ):
                    if checksum_session(number, version, started_at, params) != checksum:
                        damages.add(f"session {number}", "its checksum does not match")
    finally:
        connection.close()


def _check_output_file(directory: Path, details: ResultDetails, damages: DamageCollector) -> None:
    name = details.output_name
    if name is None:
        return
    try:
        checksum = checksum_file(directory / name)
    except (OSError, ValueError) as error:
        damages.add(name, f"it cannot be read ({error})")
        return
    if details.file_checksum not in {None, checksum}:
        damages.add(name, "its bytes are not those that were recorded")
