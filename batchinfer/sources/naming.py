"""Files that were named, in a manifest, a list or on the command line: found, or what is wrong.

A name is found under the spelling that the disk has (`files.spelled_on_disk`).
"""

from __future__ import annotations

import os
import re
import stat
from typing import Final

from batchinfer.domain import InputFile
from batchinfer.sources.files import look, printable, spelled_on_disk
from batchinfer.sources.own import Own, refusal

_SCHEME = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_FETCH: Final = {
    "s3": "aws s3 sync {} photos` (or `mc mirror`, `rclone copy`)",
    "gs": "gcloud storage rsync -r {} photos` (or `rclone copy`)",
    "http": "curl -O {}` (or `wget`)",
}


def look_named(param: str, base: str, path: str) -> InputFile:
    """The file, with size and time if it is there under any spelling of its name."""
    found = look(param, os.path.join(base, path))  # noqa: PTH118 - once per item: no Path
    if found.size is None:
        return look(param, spelled_on_disk(path, base))
    return found


def fault(base: str, path: str, own: Own, *, may_be_missing: bool) -> str | None:
    """Why the file that was named cannot be an input; None: it can. Blocks, as disks do.

    `may_be_missing`: its item fails by itself, which is said when it does.
    """
    if told := elsewhere(path):
        return told
    full = spelled_on_disk(path, base)
    try:
        seen = os.stat(full)  # noqa: PTH116
    except (OSError, ValueError) as error:
        if may_be_missing:
            return None
        return f"{printable(full)}: {_missing(error)}"
    if what := own.file(full, seen):
        return refusal(printable(full), what)
    if stat.S_ISREG(seen.st_mode) or may_be_missing:
        return None
    kind = "a folder" if stat.S_ISDIR(seen.st_mode) else "a device, pipe or socket"
    return f"{printable(full)} is {kind}, not a file"


def elsewhere(path: str) -> str | None:
    """What to do about a path that is a URL; None: it is none."""
    found = _SCHEME.match(path)
    if found is None or os.path.lexists(path):
        return None
    shown = printable(path)
    if (scheme := found["scheme"].lower()) == "file":
        return f"{shown}: write the path of the file alone, without file://"
    fetch = _FETCH.get(scheme.removesuffix("s") if scheme == "https" else scheme)
    how = f": `{fetch.format(shown)}, then name the copy" if fetch else ""
    return (
        f"{shown}: only files on this machine, or on what is mounted, can be sent. Fetch it"
        f" first{how}"
    )


def _missing(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"it cannot be seen ({error.strerror})"
    return "there is no such file"
