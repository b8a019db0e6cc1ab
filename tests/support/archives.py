"""Archives of files, as people's programs write them."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import zstandard


def pack_zip(
    target: Path, folder: Path, names: Sequence[str], method: int = zipfile.ZIP_DEFLATED
) -> Path:
    """A zip of these files of a folder, in this order."""
    return write_zip(target, {name: (folder / name).read_bytes() for name in names}, method)


def write_zip(
    target: Path, contents: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED
) -> Path:
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return target


def pack_tar(target: Path, folder: Path, names: Sequence[str]) -> Path:
    """A tar of these files of a folder, in this order, compressed as its name says."""
    return write_tar(target, {name: (folder / name).read_bytes() for name in names})


def write_tar(target: Path, contents: Mapping[str, bytes]) -> Path:
    packed = BytesIO()
    compression = target.suffix[1:]
    known = compression in {"gz", "bz2", "xz"}
    with tarfile.open(fileobj=packed, mode=f"w:{compression}" if known else "w") as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, BytesIO(data))
    data = packed.getvalue()
    target.write_bytes(zstandard.compress(data) if compression == "zst" else data)
    return target
