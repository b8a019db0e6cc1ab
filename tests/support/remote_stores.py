"""Real S3 stores for tests of remote sources: folders of this machine, served by rclone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.servers import reserved_port

ACCESS_KEY = "reader0123456789"
SECRET_KEY = "s3cr3t/key+0123456789"


class RemoteStore:
    """A store whose buckets are the folders in `root`."""

    def __init__(self, root: Path, port: int, secret_key: str, *flags: str) -> None:
        self.root, self.port = root, port
        self.access_key, self.secret_key = ACCESS_KEY, secret_key
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                Path(sys.executable).with_name("rclone"),
                *("serve", "s3", str(self.root), "--addr", f"127.0.0.1:{self.port}"),
                *("--auth-key", f"{self.access_key},{self.secret_key}"),
                *("--vfs-cache-mode", "off", "--dir-cache-time", "0s", *self._flags),
            ],
            env={**os.environ, "RCLONE_CONFIG": os.devnull},
            stderr=subprocess.DEVNULL,
        )
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None:
                raise RuntimeError(f"rclone ended with {self._process.returncode}")
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def open_store(root: Path, secret_key: str = SECRET_KEY, *flags: str) -> Iterator[RemoteStore]:
    """A store that runs; it may be stopped and started again meanwhile."""
    with reserved_port() as port:
        store = RemoteStore(root, port, secret_key, *flags)
        store.start()
        try:
            yield store
        finally:
            store.stop()


def source_section(store: RemoteStore, by_name: str = "", **more: str) -> str:
    """A `[source]` for a config; with `by_name` its keys are variables of the environment."""
    keys = (
        ("${STORE_ACCESS_KEY}", "${STORE_SECRET_KEY}")
        if by_name
        else (store.access_key, store.secret_key)
    )
    lines = {"endpoint": store.endpoint, "access_key": keys[0], "secret_key": keys[1], **more}
    return "\n[source]\n" + "".join(f'{name} = "{value}"\n' for name, value in lines.items())
