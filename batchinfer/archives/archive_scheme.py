"""The scheme of what lies in archives: lists, looks at and opens it."""

from __future__ import annotations

import errno
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import BinaryIO, Final

from batchinfer.archives.archive_reader import ArchiveReader
from batchinfer.archives.archive_uris import make_archive_uri, split_archive_uri
from batchinfer.inputs import InputStat, ListedInput, stat_input

_MAX_OPEN_ARCHIVES: Final = 4


class ArchiveScheme:
    """Files in archives, see the package; at most `_MAX_OPEN_ARCHIVES` are open at a time.

    An archive that was replaced is opened anew: it is looked at each time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._archives: OrderedDict[str, ArchiveReader] = OrderedDict()

    def check(self, uri: str) -> None:
        """As `UriScheme.check`; of a file in an archive, the archive is checked."""
        self._open_archive(split_archive_uri(uri).container).check()

    def list_inputs(self, uri: str) -> Iterator[ListedInput]:
        """List the files in an archive, or in a folder of it, in the archive's order."""
        container, folder = split_archive_uri(uri)
        archive = self._open_archive(container)
        prefix = f"{folder.rstrip('/')}/" if folder else ""
        for member in archive.iter_members():
            if member.skipped_as is not None:
                if not prefix:
                    yield ListedInput("", uri, skipped_as=member.skipped_as)
            elif member.name.startswith(prefix):
                key = member.name[len(prefix) :]
                member_uri = make_archive_uri(container, member.name)
                yield ListedInput(key, member_uri, archive.stat(member))
            elif member.name == folder:
                yield ListedInput(folder.rpartition("/")[2], uri, archive.stat(member))

    def stat(self, uri: str) -> InputStat:
        """Look at a file in an archive."""
        container, name = split_archive_uri(uri)
        archive = self._open_archive(container)
        if not name:
            return archive.seen
        if (member := archive.find(name)) is None:
            raise FileNotFoundError(errno.ENOENT, "it is not in the archive", uri)
        return archive.stat(member)

    def open(self, uri: str) -> BinaryIO:
        """Open a file in an archive."""
        container, name = split_archive_uri(uri)
        archive = self._open_archive(container)
        if (member := archive.find(name)) is None:
            raise FileNotFoundError(errno.ENOENT, "it is not in the archive", uri)
        return archive.open(member)

    def find_container(self, uri: str) -> str:
        """The archive that an input lies in."""
        return split_archive_uri(uri).container

    def explain_wait(self, uri: str) -> str | None:
        """Why the files of an archive have to be waited for; None: they have not."""
        with self._lock:
            archive = self._archives.get(split_archive_uri(uri).container)
        return None if archive is None else archive.explain_wait()

    def _open_archive(self, container: str) -> ArchiveReader:
        seen = stat_input(container)
        if not seen.is_regular:
            raise OSError(errno.EINVAL, "it is not a regular file")
        with self._lock:
            archive = self._archives.get(container)
            if archive is None or archive.seen != seen:
                archive = self._archives[container] = ArchiveReader(container, seen)
            self._archives.move_to_end(container)
            while len(self._archives) > _MAX_OPEN_ARCHIVES:
                self._archives.popitem(last=False)
            return archive
