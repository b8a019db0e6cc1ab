"""The sessions of runs that are merged: which process sent what, and with which parameters."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from batchinfer.store import sql_merge, sql_read
from batchinfer.store.checksums import checksum_session
from batchinfer.store.merge_input import MergeInput
from batchinfer.store.row_checks import DamageCollector


class SessionNumbers:
    """The number of each session in the run that is written; added when they are first needed."""

    def __init__(
        self, db: sqlite3.Connection, runs: Sequence[MergeInput], damages: DamageCollector
    ) -> None:
        self._db, self._runs, self._damages = db, runs, damages
        self._numbers: dict[tuple[Path, int], int] = {}

    def add_all(self) -> None:
        """Add the sessions of all runs, unless that was done; each that is not there yet."""
        if self._numbers:
            return
        known = {
            (version, started_at, params): number
            for number, version, started_at, _, params, _ in self._db.execute(
                sql_read.SELECT_SESSIONS
            )
        }
        sessions = [(run.directory, each) for run in self._runs for each in run.sessions]
        for directory, cells in sorted(sessions, key=lambda each: each[1][2]):
            old_number, version, started_at, active_until, params = cells
            if (version, started_at, params) not in known:
                number = max(known.values(), default=0) + 1
                checksum = checksum_session(number, version, started_at, params)
                row = (number, version, started_at, active_until, params, checksum)
                self._db.execute(sql_merge.INSERT_MERGED_SESSION, row)
                known[version, started_at, params] = number
            self._numbers[directory, old_number] = known[version, started_at, params]

    def find(self, run: MergeInput, number: int | None) -> int | None:
        """The number of a session of `run`; None: it is not known which one it was."""
        if number is None:
            return None
        found = self._numbers.get((run.directory, number))
        if found is None:
            self._damages.add(f"session {number} of {run.directory}", "its row is gone")
        return found
