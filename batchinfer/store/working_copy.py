"""A run whose directory is on a network file system: a copy on a local disk to work in.

Rules:

1. The run directory always holds a whole `run.db`, replaced by renaming, and no log beside it.
   Files in `outputs/` are written there at once; the working copy only has a link to the folder.
2. The working copy knows what it put into the run directory (`published.json`). If that is still
   there, the copy is as new or newer. If not, the run went on elsewhere, and the copy is given up,
   unless it holds work that was not copied back: then it is moved aside, never deleted.
3. A copy that was copied back completely is removed at the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, TypeAlias

from batchinfer.atomic_files import replace_file, sync_folder
from batchinfer.errors import BatchInferError, ConfigError, RunLocked, option
from batchinfer.store.database import (
    DATABASE_NAME,
    has_run,
    open_readonly,
    open_writable,
    translate_errors,
)
from batchinfer.store.network_file_systems import find_network_file_system
from batchinfer.store.output_files import OUTPUTS_DIR
from batchinfer.store.run_reader import RunReader

_PUBLISHED_NAME: Final = "published.json"
_SNAPSHOT_NAME: Final = "snapshot.db"
_COPY_BYTES: Final = 4 * 2**20

_Version: TypeAlias = "list[int]"
"""Size and time of a `run.db`, which renaming does not change."""


class WorkingCopy:
    """The copy of one run in the scratch folder of one machine. Hold the run's lock first."""

    def __init__(self, run: Path, scratch: Path, is_lock_held: Callable[[], bool]) -> None:
        """`is_lock_held`: whether no other machine has taken over the run meanwhile."""
        self.run = run
        real = os.fsencode(run.resolve())
        self.directory = scratch / f"batchinfer-{run.name}-{hashlib.sha256(real).hexdigest()[:12]}"
        """Where the run is worked on, in place of its run directory."""
        self._is_lock_held = is_lock_held
        self._copied_state: list[_Version] = []

    def prepare(self) -> str | None:
        """Bring the copy to the newest state of the run; what was moved aside, in words.

        Raises ConfigError for a scratch folder that cannot be used, StoreError.
        """
        self._make_directory()
        with translate_errors(self.run / DATABASE_NAME):
            message = self._choose_newest()
            if has_run(self.run):
                self._link_outputs()
        return message

    def publish(self) -> bool:
        """Copy the run back, if anything has changed; whether it has. Raises StoreError.

        Until it returns, the run directory holds the state of the last time.
        """
        state = self._get_state()
        if not has_run(self.directory) or state == self._copied_state:
            return False
        snapshot, target = self.directory / _SNAPSHOT_NAME, self.run / DATABASE_NAME
        with translate_errors(target):
            self._write_snapshot(snapshot)
            with replace_file(target, durable=True) as file:
                with snapshot.open("rb") as source:
                    shutil.copyfileobj(source, file, _COPY_BYTES)
                file.flush()
                os.fsync(file.fileno())
                # Known before it is there: a kill in between leaves no doubt which one is newer.
                version = _to_version(os.fstat(file.fileno()))
                self._write_published([*self._read_published()[-1:], version])
                self._require_lock()
            sync_folder(self.run)
            snapshot.unlink()
            self._link_outputs()
        self._copied_state = state
        return True

    def remove(self) -> None:
        """Delete the copy, after `publish`."""
        shutil.rmtree(self.directory, ignore_errors=True)
        with suppress(OSError):  # it is not empty
            (self.run / OUTPUTS_DIR).rmdir()

    def _link_outputs(self) -> None:
        (self.run / OUTPUTS_DIR).mkdir(exist_ok=True)
        outputs = self.directory / OUTPUTS_DIR
        if not outputs.is_symlink():
            outputs.symlink_to((self.run / OUTPUTS_DIR).resolve(), target_is_directory=True)

    def _require_lock(self) -> None:
        if not self._is_lock_held():
            raise RunLocked(
                f"Another machine has taken over the run in {self.run}: this one was not heard of "
                f"for a while. What it did since it last copied the run back is in "
                f"{self.directory}; nothing there was written to the run."
            )

    def _make_directory(self) -> None:
        scratch = self.directory.parent
        if (file_system := find_network_file_system(scratch)) is not None:
            raise ConfigError(
                f"{scratch} is on a network file system itself ({file_system}): for "
                f"{option('scratch')} name a folder on a local disk of this machine."
            )
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.directory.lstat()
        except OSError as error:
            raise ConfigError(
                f"{scratch} cannot be used for {option('scratch')}: {error.strerror}. Name a "
                "folder on a local disk in which you may write."
            ) from error
        # Scratch folders such as /tmp are everybody's.
        is_foreign = hasattr(os, "geteuid") and found.st_uid != os.geteuid()
        if not stat.S_ISDIR(found.st_mode) or is_foreign:
            raise ConfigError(f"{self.directory} belongs to somebody else: choose another scratch.")

    def _choose_newest(self) -> str | None:
        has_copy, is_published = has_run(self.directory), has_run(self.run)
        published = self._read_published()
        if has_copy and not is_published and not published:
            return None  # killed before anything was copied back
        if has_copy and is_published and _get_version(self.run / DATABASE_NAME) in published:
            return None
        message = None
        if has_copy and not self._is_older_than_published():
            message = self._move_aside()
        self._clear()
        if is_published:
            self._copy_in()
        return message

    def _is_older_than_published(self) -> bool:
        """Whether the run directory has all that the copy has, by the sessions of both."""
        if not has_run(self.run):
            return False
        try:
            with RunReader(self.directory) as copy, RunReader(self.run) as published:
                if copy.info.id != published.info.id:
                    return False
                sessions = {each.number: each for each in published.read_sessions()}
                return all(
                    (other := sessions.get(each.number)) is not None
                    and other.started_at == each.started_at
                    and other.active_until >= each.active_until
                    for each in copy.read_sessions()
                )
        except BatchInferError:
            return False

    def _move_aside(self) -> str:
        aside = self.directory.with_name(f"{self.directory.name}.kept-{int(time.time())}")
        self.directory.rename(aside)
        self._make_directory()
        return (
            "The run went on elsewhere since this machine was interrupted. What it had not copied "
            f"back then is kept in {aside}; the run goes on without it. Delete that folder when "
            "you do not need it."
        )

    def _clear(self) -> None:
        for path in self.directory.iterdir():
            path.unlink()

    def _copy_in(self) -> None:
        source = self.run / DATABASE_NAME
        if any(self.run.glob(f"{DATABASE_NAME}-*")):  # of a process that worked here and was killed
            open_writable(self.run).close()
        version = _get_version(source)
        with (
            source.open("rb") as file,
            replace_file(self.directory / DATABASE_NAME, durable=True) as copy,
        ):
            shutil.copyfileobj(file, copy, _COPY_BYTES)
        self._write_published([version])

    def _write_snapshot(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        with (
            closing(open_readonly(self.directory)) as source,
            closing(sqlite3.connect(path, isolation_level=None)) as target,
        ):
            target.execute("PRAGMA synchronous = OFF")
            source.backup(target)  # at once: what the run writes meanwhile is not waited for
            target.execute("PRAGMA journal_mode = DELETE")  # readable where nothing can be written

    def _get_state(self) -> list[_Version]:
        """Changes with every commit. A log without content comes and goes with readers."""
        database = self.directory / DATABASE_NAME
        paths = [database, database.with_name(f"{DATABASE_NAME}-wal")]
        return [_get_version(path) for path in paths if path.exists() and path.stat().st_size]

    def _read_published(self) -> list[_Version]:
        """The `run.db` that was copied back last, and the one before; as it was found, at first."""
        try:
            return list(json.loads((self.directory / _PUBLISHED_NAME).read_bytes()))
        except (OSError, ValueError):
            return []

    def _write_published(self, versions: list[_Version]) -> None:
        with replace_file(self.directory / _PUBLISHED_NAME, durable=True) as file:
            file.write(json.dumps(versions).encode())
        sync_folder(self.directory)


def refuse_network_file_system(run: Path) -> None:
    """Raise ConfigError when a run cannot be worked on where its directory is."""
    if (file_system := find_network_file_system(run)) is not None:
        raise ConfigError(
            f"{run} is on a network file system ({file_system}), where SQLite cannot keep a run "
            f"safely. Add {option('scratch', 'DIR')}, any folder on a local disk (often $TMPDIR): "
            "the run works there and is copied back to its directory every minute and at its end. "
            f"Or choose a run directory on a local disk with {option('run')}."
        )


def _get_version(path: Path) -> _Version:
    return _to_version(path.stat())


def _to_version(found: os.stat_result) -> _Version:
    return [found.st_size, found.st_mtime_ns]
