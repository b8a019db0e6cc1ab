"""Names of files that operating systems, file managers and storage devices leave behind. Pure.

Only names that cannot be a user's data are listed: those that a system reserves, and alternate
streams that it writes as separate files. Case is ignored, as those systems do.
"""

from __future__ import annotations

import re

_SYSTEM_FILES = (
    "Thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "Picasa.ini",
    "Icon\r",
    ".DS_Store",
    "pagefile.sys",
    "hiberfil.sys",
    "swapfile.sys",
    "DumpStack.log.tmp",
)
_SYSTEM_FOLDERS = (
    "@eaDir",  # Synology: thumbnails of every picture
    "@tmp",
    "#recycle",
    "#snapshot",
    "@Recycle",  # QNAP
    "@Recently-Snapshot",
    ".@__thumb",
    "__MACOSX",  # in archives that macOS made
    "$RECYCLE.BIN",
    "RECYCLER",
    "System Volume Information",
    "lost+found",
    "Network Trash Folder",
    "TheVolumeSettingsFolder",
    ".Spotlight-V100",
    ".Trashes",
    ".fseventsd",
)
_FILE_REGEXES = (
    # Streams of NTFS, spelled out by systems that have none; U+F03A is the colon of WSL and Samba.
    (r".+[:\uf03a](zone\.identifier|smartscreen|afp_(afpinfo|resource))", "Zone.Identifier"),
    (r".+[:\uf03a](encryptable|com\.(apple|dropbox)\..+)", "Zone.Identifier"),
    (r".+@syno(eastream|resource)", "@SynoEAStream"),
    (r"~\$.+\.(doc|dot|xls|xlt|ppt|pot)[a-z]?", "~$ (Office)"),
    (r".+\.crdownload", ".crdownload"),
    (r":2e.+", "hidden"),  # a leading dot, as Netatalk writes it
)  # fmt: skip
_FOLDER_REGEXES = ((r"found\.\d{3}", "found.000"),)

_FILE_BY_FOLDED_NAME = {name.casefold(): name for name in _SYSTEM_FILES}
_FOLDER_BY_FOLDED_NAME = {name.casefold(): name for name in _SYSTEM_FOLDERS}
_FILE_PATTERNS = [(re.compile(shape, re.IGNORECASE), name) for shape, name in _FILE_REGEXES]
_MARKS = (":", "\uf03a", "@syno", "~$", ".crdownload")
"""Of these, every name that matches one of the patterns holds one, in its folded spelling."""
_FOLDER_PATTERNS = [(re.compile(shape, re.IGNORECASE), name) for shape, name in _FOLDER_REGEXES]

HIDDEN_FILE_KIND = "hidden"
"""What files are called whose names begin with a dot."""


def classify_system_file(name: str) -> str | None:
    """What left a file of this name behind, for people; None: it is an ordinary file."""
    folded = name.casefold()
    if system_name := _FILE_BY_FOLDED_NAME.get(folded):
        return system_name
    for mark in _MARKS:  # far cheaper than a pattern, and most names hold none
        if mark in folded:
            for pattern, kind in _FILE_PATTERNS:
                if pattern.fullmatch(name):
                    return kind
            break
    return HIDDEN_FILE_KIND if name.startswith(".") else None


def classify_system_folder(name: str) -> str | None:
    """The same for a folder."""
    if system_name := _FOLDER_BY_FOLDED_NAME.get(name.casefold()):
        return f"{system_name}/"
    for pattern, kind in _FOLDER_PATTERNS:
        if pattern.fullmatch(name):
            return f"{kind}/"
    return f"{HIDDEN_FILE_KIND} folder" if name.startswith(".") else None
