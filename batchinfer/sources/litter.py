"""What operating systems, file managers and storage boxes leave in folders of photographs. Pure.

Only what is surely nobody's data is listed: names that a system reserves, and streams that it
spells out beside a file. Names are compared without regard to case, for these systems do not heed
it.
"""

from __future__ import annotations

import re

_FILES = (
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
_FOLDERS = (
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
_SHAPES = (
    # Streams of NTFS, spelled out by systems that have none; U+F03A is the colon of WSL and Samba.
    (r".+[:\uf03a](zone\.identifier|smartscreen|afp_(afpinfo|resource))", "Zone.Identifier"),
    (r".+[:\uf03a](encryptable|com\.(apple|dropbox)\..+)", "Zone.Identifier"),
    (r".+@syno(eastream|resource)", "@SynoEAStream"),
    (r"~\$.+\.(doc|dot|xls|xlt|ppt|pot)[a-z]?", "~$ (Office)"),
    (r".+\.crdownload", ".crdownload"),
    (r":2e.+", "hidden"),  # a leading dot, as Netatalk writes it
)  # fmt: skip
_FOLDER_SHAPES = ((r"found\.\d{3}", "found.000"),)

_NAMES = {name.casefold(): name for name in _FILES}
_FOLDER_NAMES = {name.casefold(): name for name in _FOLDERS}
_PATTERNS = [(re.compile(shape, re.IGNORECASE), name) for shape, name in _SHAPES]
_ANY_SHAPE = re.compile("|".join(f"(?:{shape})" for shape, _ in _SHAPES), re.IGNORECASE)
_FOLDER_PATTERNS = [(re.compile(shape, re.IGNORECASE), name) for shape, name in _FOLDER_SHAPES]

HIDDEN = "hidden"
"""What files are called whose names begin with a dot."""


def litter(name: str) -> str | None:
    """What kind of dropping a file of this name is, for people; None: none."""
    if found := _NAMES.get(name.casefold()):
        return found
    if _ANY_SHAPE.fullmatch(name):  # one look, for most names have none
        return next(kind for pattern, kind in _PATTERNS if pattern.fullmatch(name))
    return HIDDEN if name.startswith(".") else None


def litter_folder(name: str) -> str | None:
    """The same for a folder."""
    if found := _FOLDER_NAMES.get(name.casefold()):
        return f"{found}/"
    for pattern, kind in _FOLDER_PATTERNS:
        if pattern.fullmatch(name):
            return f"{kind}/"
    return f"{HIDDEN} folder" if name.startswith(".") else None
