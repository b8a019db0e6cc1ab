"""Which file system a folder is on, as far as it matters: is it shared with other machines?

Linux: the mount table, by the longest mount point above the folder, so that no server is asked and
none can hang. macOS: what `mount` prints. Elsewhere nothing is recognized.

How reliable: types of the kernel are certain. A file system in user space (FUSE) counts as shared
unless it is known to be local. What lies on top of another one (overlay, bindfs, encryption) hides
what is below; a type that is not listed here counts as local.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

MOUNT_TABLE: Final = Path("/proc/self/mountinfo")

_NETWORK_TYPES: Final = frozenset(
    (
        *("9p", "acfs", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "fhgfs", "gfs", "gfs2"),
        *("glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs"),
        *("prl_fs", "pvfs2", "quobyte", "smb2", "smb3", "smbfs", "vboxsf", "vmhgfs", "webdav"),
        "wekafs",
    )
)
_LOCAL_FUSE_TYPES: Final = frozenset(
    (
        *("bindfs", "cryfs", "encfs", "exfat", "exfat-fuse", "ext2", "fuse-overlayfs"),
        *("gocryptfs", "lxcfs", "mergerfs", "ntfs", "ntfs-3g", "securefs", "squashfuse"),
        *("unionfs", "unionfs-fuse", "vfat"),
    )
)
_OCTAL_ESCAPE: Final = re.compile(r"\\([0-7]{3})")
_MACOS_MOUNT_LINE: Final = re.compile(r".* on (?P<point>/.*) \((?P<type>\w+)")


def find_network_file_system(folder: Path, mount_table: Path | None = None) -> str | None:
    """The type ("nfs4", "lustre", "fuse.sshfs") if `folder` is on a network file system.

    None: it is local, or nothing is known. A folder that is not there yet is judged by the nearest
    one above it. `mount_table`: default `MOUNT_TABLE`.
    """
    try:
        mounts = list(_read_mounts(mount_table or MOUNT_TABLE))
    except (OSError, UnicodeError, subprocess.SubprocessError):
        return None
    file_system = _find_type(str(folder.resolve()), mounts)
    return file_system if file_system and _is_network_type(file_system) else None


def parse_mountinfo(text: str) -> Iterator[tuple[str, str]]:
    """Mount points and types of Linux's /proc/self/mountinfo, in their order."""
    for line in text.splitlines():
        mount, separator, source = line.partition(" - ")
        fields = mount.split(" ")
        if separator and len(fields) > 4:  # noqa: PLR2004 - proc(5): the fifth field
            yield _OCTAL_ESCAPE.sub(_unescape, fields[4]), source.split(" ", 1)[0]


def parse_macos_mounts(text: str) -> Iterator[tuple[str, str]]:
    """Mount points and types of what `mount` prints on macOS."""
    for line in text.splitlines():
        if found := _MACOS_MOUNT_LINE.fullmatch(line.partition(", ")[0].rstrip(")")):
            yield found["point"], found["type"]


def _read_mounts(mount_table: Path) -> Iterator[tuple[str, str]]:
    if sys.platform != "darwin":
        return parse_mountinfo(mount_table.read_text(encoding="utf-8", errors="surrogateescape"))
    printed = subprocess.run(
        ["/sbin/mount"], capture_output=True, text=True, timeout=10, check=True
    ).stdout
    return parse_macos_mounts(printed)


def _find_type(path: str, mounts: Iterable[tuple[str, str]]) -> str | None:
    """The type of the mount with the longest point above; of equal ones the last, which hides the
    others.
    """  # noqa: D205 - one thought
    best_point, best_type = "", None
    for point, file_system in mounts:
        is_above = point in {"/", path} or path.startswith(f"{point}/")
        if is_above and len(point) >= len(best_point):
            best_point, best_type = point, file_system
    return best_type


def _is_network_type(file_system: str) -> bool:
    base, _, subtype = file_system.partition(".")
    if base in {"fuse", "macfuse", "osxfuse"}:
        # Without a subtype nobody says what it is: no reason to refuse it.
        return bool(subtype) and subtype not in _LOCAL_FUSE_TYPES
    return base in _NETWORK_TYPES


def _unescape(match: re.Match[str]) -> str:
    return chr(int(match[1], 8))
