"""What the contenders talk to: the stub, a real S3 server, and a process that plays the service.

Each is a process of its own on the service's core, and ends with the context that started it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from benchmarks.measuring import ROOT, ContenderFailed, cpu_seconds_of, pin, plain_environment
from benchmarks.peers.buckets import ACCESS_KEY, SECRET_KEY

_STARTED = re.compile(rb"Starting s3 server on \[(http://[^/\]]+)")


class Service:
    """A running service."""

    def __init__(self, url: str, *processes: subprocess.Popen[bytes], ca_file: str = "") -> None:
        self.url, self.ca_file = url, ca_file
        self._processes = processes

    def cpu_seconds(self) -> float | None:
        """CPU seconds that its processes have used."""
        used = [cpu_seconds_of(process.pid) for process in self._processes]
        known = [each for each in used if each is not None]
        return sum(known) if known else None


class StubService(Service):
    """A stub, which tells what has come in."""

    def tell(self) -> Tally:
        """What has come in since the last time."""
        (process,) = self._processes
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"\n")
        process.stdin.flush()
        return Tally(**json.loads(process.stdout.readline()))


@dataclass(frozen=True, slots=True)
class Tally:
    """What has come in at a stub."""

    requests: int
    first: float | None
    """When the first request had come in, by this machine's monotonic clock."""
    last: float | None
    """When the latest one had."""


@contextmanager
def stub(
    core: int | None,
    *,
    answer: str = "platform",
    keys: int = 0,
    latency: float = 0.0,
    tls: bool = False,
) -> Iterator[StubService]:
    """The stub (see there). With TLS its certificate is one of `ca_file`'s, for localhost."""
    with tempfile.TemporaryDirectory(prefix="batchinfer-tls-") as folder:
        command = [sys.executable, "-m", "benchmarks.stub", "--answer", answer]
        command += ["--keys", str(keys), "--latency", str(latency)]
        ca_file = ""
        if tls:
            ca_file, certificate = _make_certificates(Path(folder))
            command += ["--certificate", certificate]
        if core is not None:
            command += ["--core", str(core)]
        with _running(command) as process:
            assert process.stdout
            port = process.stdout.readline().decode().strip()
            origin = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
            yield StubService(f"{origin}/run/stub", process, ca_file=ca_file)


@contextmanager
def s3_server(core: int | None) -> Iterator[Service]:
    """`rclone serve s3`, which keeps its objects in memory; with one empty bucket."""
    from batchinfer.local.rclone import find_rclone  # noqa: PLC0415 - only the parent has it

    command = [find_rclone(), "serve", "s3", "--addr", "127.0.0.1:0", "--vfs-cache-mode", "off"]
    keys = {"RCLONE_AUTH_KEY": f'"{ACCESS_KEY},{SECRET_KEY}"', "RCLONE_CONFIG": os.devnull}
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            [*command, ":memory:"],
            stdin=subprocess.DEVNULL,
            stderr=said,
            env=plain_environment() | keys,
            preexec_fn=partial(pin, core),  # noqa: PLW1509 - there are no threads
        ) as process,
    ):
        try:
            url = _wait_for_address(said, process)
            subprocess.run([sys.executable, "-m", "benchmarks.buckets", url], check=True, cwd=ROOT)
            yield Service(url, process)
        finally:
            process.kill()


def _wait_for_address(said: IO[bytes], process: subprocess.Popen[bytes]) -> str:
    while process.poll() is None:
        if started := _STARTED.search(os.pread(said.fileno(), 1 << 16, 0)):
            return started[1].decode()
        time.sleep(0.02)
    raise ContenderFailed(f"rclone did not start: {os.pread(said.fileno(), 200, 0)!r}")


@contextmanager
def answered_bucket(core: int | None, python: str) -> Iterator[Service]:
    """The S3 server, and a process that puts the outputs of each input into its bucket."""
    with s3_server(core) as server:
        command = [python, "-m", "benchmarks.peers.answering", server.url]
        with _running(command, core) as answering:
            assert answering.stdout
            answering.stdout.readline()
            yield Service(server.url, *server._processes, answering)  # noqa: SLF001 - its own


@contextmanager
def _running(command: list[str], core: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends when its standard input does."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=plain_environment(),
        preexec_fn=partial(pin, core),  # noqa: PLW1509 - there are no threads
    ) as process:
        assert process.stdin
        try:
            yield process
        finally:
            process.stdin.close()


def _make_certificates(folder: Path) -> tuple[str, str]:
    """The authority's certificate, and the service's with its key."""
    import trustme  # noqa: PLC0415 - only where it is needed

    authority, served = folder / "ca.pem", folder / "served.pem"
    issuer = trustme.CA()
    issuer.cert_pem.write_to_path(authority)
    issuer.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(served)
    return str(authority), str(served)
