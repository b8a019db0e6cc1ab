"""The real command line against the real local service: what the end-to-end tests share."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import batchinfer as bi
from batchinfer.domain import Counts
from batchinfer.local.service_process import ServiceProcess

FIELDS = ("key", "state", "prediction", "media_type", "code", "message", "path", "params")
"""What an interrupted run's rows share with an undisturbed run's (not times, not attempts)."""
TOKEN = "0123456789abcdef" * 4
CONFIG = """
[service]
endpoint = "http://127.0.0.1:9/run/nobody"
token = "${OSCAR_TOKEN}"
"""
"""Of a service that nobody reaches."""


def png(number: int) -> bytes:
    """A real PNG image of 4 by 4 pixels, another one for each number."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    shade = number.to_bytes(4, "big")
    header = struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + shade for _ in range(4)))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def images(folder: Path, count: int) -> Path:
    """A folder of images in sub-folders, the same base names in each."""
    for number in range(count):
        path = folder / f"site-{number % 7}" / f"img {number // 7:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    return folder


def config(path: Path, service: ServiceProcess, run: str = "") -> Path:
    path.write_text(f"{service.connection.to_toml()}\n[run]\n{run}\n")
    return path


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "batchinfer", *map(str, args)]


def batchinfer(*args: object, code: int | None = 0, **options) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; it must end with `code` (None: with any)."""
    done = subprocess.run(
        command(*args), capture_output=True, text=True, timeout=300, check=False, **options
    )
    assert code in {None, done.returncode}, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


_started: list[subprocess.Popen[str]] = []


def start(*args: object, **options) -> subprocess.Popen[str]:
    """Start a command; what a test leaves of it is killed when the test is over."""
    process = subprocess.Popen(
        command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
    _started.append(process)
    return process


def kill_started() -> None:
    """Kill what was started and is still running: a test that failed half way."""
    for process in _started:
        if process.poll() is None:
            process.kill()
            process.communicate()
    _started.clear()


def until(run: Path, reached: Callable[[Counts], bool], process: subprocess.Popen[str]) -> Counts:
    """Watch a run from outside until it has come so far, or its process has ended."""
    while process.poll() is None:
        try:
            counts = bi.status(run).counts
        except bi.StoreError:
            counts = Counts()
        if reached(counts):
            return counts
        time.sleep(0.005)
    return bi.status(run).counts


def rows(run: Path) -> list[dict[str, object]]:
    """The exported rows, without what differs from run to run."""
    exported = batchinfer("export", run, "-o", "-", "--format", "jsonl").stdout
    return [{name: row[name] for name in FIELDS} for row in map(json.loads, exported.splitlines())]


def clean_environment(**more: str) -> dict[str, str]:
    ours = ("BATCHINFER_", "OSCAR_", "MINIO_")
    return {n: v for n, v in os.environ.items() if not n.startswith(ours)} | more


def told(desk, *args, code=2, stdin=None, **env) -> str:
    """What a command says on stderr that must end with `code`, without a traceback."""
    environment = clean_environment(**({"OSCAR_TOKEN": TOKEN} | env))
    done = batchinfer(*args, code=code, cwd=desk, env=environment, input=stdin)
    assert "Traceback" not in done.stderr
    return done.stderr


def shell(lines: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run lines as a person would, in a shell that ends whatever it has started."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
    }
    return subprocess.run(
        ["bash", "-e", "-c", f"trap 'for job in $(jobs -p); do kill $job; done' EXIT\n{lines}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
