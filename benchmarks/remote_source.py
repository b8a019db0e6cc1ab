"""A bucket as the source of a run: first call, memory, speed, and what a resume sends.

    python -m benchmarks.remote_source [KEYS]

The store is a real one (`rclone serve s3` on a folder, 1,000 keys in each of its own), the service
the stub. Each run is a command of its own: it is killed (SIGKILL) when half is done, and resumed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import batchinfer
from batchinfer.errors import StoreError
from batchinfer.local.rclone import find_rclone
from benchmarks.measuring import plain_environment
from benchmarks.services import StubService, stub

KEYS = 100_000
BUCKET = "pictures"
ACCESS_KEY, SECRET_KEY = "benchmark0123456789", "benchmark/0123456789"
IN_FLIGHT = 64
MAX_MEMORY_MB, MAX_FIRST_CALL_SECONDS = 150, 2.0
_STARTED = re.compile(rb"Starting s3 server on \[(http://[^/\]]+)")
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


@dataclass(frozen=True, slots=True)
class Figures:
    keys: int
    first_call_seconds: float
    """From the start of the command to the first request at the service."""
    memory_mb: float
    """The most that either process had."""
    seconds: float
    """Of both processes."""
    requests: int
    """That came in at the service."""
    done_before: int
    """Items that were on record when the process was killed."""
    sent_again: int
    """Of those, how many have another attempt now."""
    succeeded: int


def measure(keys: int, work: Path) -> Figures:
    """Fill a bucket, run, kill, resume."""
    _fill(work / "store" / BUCKET, keys)
    with _serve(work / "store") as endpoint, stub(None) as service:
        config, run = work / "c.toml", work / "run"
        config.write_text(
            f'[service]\nendpoint = "{service.url}"\ntoken = "benchmark-token-0123"\n'
            f'[source]\nendpoint = "{endpoint}"\naccess_key = "{ACCESS_KEY}"\n'
            f'secret_key = "{SECRET_KEY}"\n[run]\nconcurrency = {IN_FLIGHT}\n'
        )
        service.tell()
        started_at = time.monotonic()
        process = _start("run", f"s3://{BUCKET}", "-c", config, "-o", run, "-q", "--no-validate")
        first, requests = _wait_for_first(service, process)
        memory = _watch(process, run, keys // 2)
        process.send_signal(signal.SIGKILL)
        process.wait()
        attempts = _read_attempts(run)
        process = _start("resume", run, "-q")
        memory = max(memory, _watch(process, run, None))
        if process.wait() != 0:
            raise RuntimeError(f"resume ended with {process.returncode}")
        seconds = time.monotonic() - started_at
        after = _read_attempts(run)
        return Figures(
            keys=keys,
            first_call_seconds=first - started_at,
            memory_mb=memory,
            seconds=seconds,
            requests=requests + service.tell().requests,
            done_before=len(attempts),
            sent_again=sum(after.get(key) != count for key, count in attempts.items()),
            succeeded=len(after),
        )


def _fill(folder: Path, keys: int) -> None:
    for number in range(keys):
        path = folder / f"{number // 1000:04d}" / f"{number:07d}.jpg"
        if number % 1000 == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(b"%07d" % number * 100)


@contextmanager
def _serve(root: Path) -> Iterator[str]:
    keys = {"RCLONE_AUTH_KEY": f'"{ACCESS_KEY},{SECRET_KEY}"', "RCLONE_CONFIG": os.devnull}
    command = [find_rclone(), "serve", "s3", str(root), "--addr", "127.0.0.1:0"]
    with subprocess.Popen(
        [*command, "--vfs-cache-mode", "off"],
        env=plain_environment() | keys,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            assert process.stderr
            for line in process.stderr:
                if started := _STARTED.search(line):
                    yield started[1].decode()
                    return
            raise RuntimeError("rclone did not start")
        finally:
            process.kill()


def _start(*args: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "batchinfer", *map(str, args)], env=plain_environment()
    )


def _wait_for_first(service: StubService, process: subprocess.Popen[bytes]) -> tuple[float, int]:
    while process.poll() is None:
        tally = service.tell()
        if tally.first is not None:
            return tally.first, tally.requests
        time.sleep(0.01)
    raise RuntimeError(f"the run ended with {process.returncode} before its first call")


def _watch(process: subprocess.Popen[bytes], run: Path, until: int | None) -> float:
    """Megabytes that a process had at the most, until it ends or so many items are done."""
    peak = 0.0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = max(peak, *(int(found) / 1024 for found in _PEAK.findall(status)))
            if until is not None and batchinfer.status(run).counts.finished >= until:
                break
        except (OSError, StoreError, TypeError):
            pass
        time.sleep(0.05)
    return peak


def _read_attempts(run: Path) -> dict[str, int]:
    rows = batchinfer.query(run, "select key, attempts from results where state = 'succeeded'")
    return {str(row["key"]): int(row["attempts"]) for row in rows}


def main(keys: int) -> int:
    with tempfile.TemporaryDirectory(prefix="batchinfer-remote-") as work:
        figures = measure(keys, Path(work))
    print(f"keys                 {figures.keys:,}")
    print(
        f"first call           {figures.first_call_seconds:.2f} s (goal {MAX_FIRST_CALL_SECONDS})"
    )
    print(f"memory, at the most  {figures.memory_mb:.0f} MB (goal {MAX_MEMORY_MB})")
    print(f"both processes       {figures.seconds:.0f} s, {keys / figures.seconds:,.0f} items/s")
    print(f"requests             {figures.requests:,}")
    print(f"done before the kill {figures.done_before:,}, sent again {figures.sent_again}")
    print(f"succeeded            {figures.succeeded:,}")
    is_met = (
        figures.first_call_seconds <= MAX_FIRST_CALL_SECONDS
        and figures.memory_mb <= MAX_MEMORY_MB
        and figures.sent_again == 0
        and figures.succeeded == keys
    )
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else KEYS))
