"""A folder as two machines see it that share it over a network: two mounts by sshfs.

sshfs is a real network file system of the weakest kind: no lock holds from one mount to the other,
and what was read is remembered for seconds. No network is needed: it speaks with an sftp-server
that it starts itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_SERVER_FOLDERS = ("/usr/lib/openssh", "/usr/libexec/openssh", "/usr/lib/ssh", "/usr/libexec")


@contextmanager
def mounted_twice(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Two mounts of one folder. Skips the test where sshfs is not installed or may not mount."""
    sshfs = shutil.which("sshfs")
    path = os.pathsep.join([os.environ["PATH"], *_SERVER_FOLDERS])
    server = shutil.which("sftp-server", path=path)
    if sshfs is None or server is None:
        if os.environ.get("CI"):
            pytest.fail("sshfs and sftp-server are needed")
        pytest.skip("sshfs and sftp-server are not installed")
    below, one, two = folder / "disk", folder / "one", folder / "two"
    command = folder / "sftp"
    command.write_text(f"#!/bin/sh\nexec {server}\n")
    command.chmod(0o755)
    mounted = []
    try:
        for point in (one, two):
            below.mkdir(exist_ok=True)
            point.mkdir()
            done = subprocess.run(
                [sshfs, "-o", f"ssh_command={command}", f"nobody@nowhere:{below}", point],
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            if done.returncode != 0:
                pytest.skip(f"sshfs may not mount here: {done.stderr}")
            mounted.append(point)
        yield one, two
    finally:
        for point in mounted:
            unmount = ["fusermount3", "-u"] if shutil.which("fusermount3") else ["umount"]
            subprocess.run([*unmount, "-l" if unmount == ["umount"] else "-z", point], check=True)
