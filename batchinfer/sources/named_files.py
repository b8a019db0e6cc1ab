"""Files that were named, in a manifest, a list or on the command line: found, or what is wrong.

A name is found under the spelling that the disk has (`files.find_on_disk`).
"""

from __future__ import annotations

import os
import re
import stat
from typing import Final

from batchinfer.domain import InputFile
from batchinfer.sources.input_files import find_on_disk, stat_file
from batchinfer.sources.own_files import OwnFiles, describe_refusal
from batchinfer.text_format import escape_undecodable

_URL_SCHEME_PATTERN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_FETCH_COMMANDS: Final = {
    "s3": "aws s3 sync {} photos` (or `mc mirror`, `rclone copy`)",
    "gs": "gcloud storage rsync -r {} photos` (or `rclone copy`)",
    "http": "curl -O {}` (or `wget`)",
}


def stat_named_file(param: str, base_folder: str, path: str) -> InputFile:
    """The file, with size and time if it is there under any spelling of its name."""
    input_file = stat_file(param, os.path.join(base_folder, path))  # noqa: PTH118 - once per item: no Path
    if input_file.size is None:
        return stat_file(param, find_on_disk(path, base_folder))
    return input_file


def find_fault(
    base_folder: str, path: str, own_files: OwnFiles, *, may_be_missing: bool
) -> str | None:
    """Why the file that was named cannot be an input; None: it can. Blocks, as disks do.

    `may_be_missing`: its item fails by itself, which is said when it does.
    """
    if advice := explain_url(path):
        return advice
    absolute_path = find_on_disk(path, base_folder)
    try:
        status = os.stat(absolute_path)  # noqa: PTH116
    except (OSError, ValueError) as error:
        if may_be_missing:
            return None
        return f"{escape_undecodable(absolute_path)}: {_describe_stat_error(error)}"
    if description := own_files.describe_file(absolute_path, status):
        return describe_refusal(escape_undecodable(absolute_path), description)
    if stat.S_ISREG(status.st_mode) or may_be_missing:
        return None
    kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket"
    return f"{escape_undecodable(absolute_path)} is {kind}, not a file"


def explain_url(path: str) -> str | None:
    """What to do about a path that is a URL; None: it is none."""
    match = _URL_SCHEME_PATTERN.match(path)
    if match is None or os.path.lexists(path):
        return None
    displayed = escape_undecodable(path)
    if (scheme := match["scheme"].lower()) == "file":
        return f"{displayed}: write the path of the file alone, without file://"
    command = _FETCH_COMMANDS.get(scheme.removesuffix("s") if scheme == "https" else scheme)
    instruction = f": `{command.format(displayed)}, then name the copy" if command else ""
    return (
        f"{displayed}: only files on this machine, or on what is mounted, can be sent. Fetch it"
        f" first{instruction}"
    )


def _describe_stat_error(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"it cannot be seen ({error.strerror})"
    return "there is no such file"
