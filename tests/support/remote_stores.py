"""S3 stores for tests of remote sources.

Real ones are folders of this machine, served by rclone. What no real one does when it is asked to
(break off, expire, restart) does a scripted one.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import md5
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote
from xml.sax.saxutils import escape

from support.servers import Answer, Request, reserved_port

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
                *(
                    "--vfs-cache-mode",
                    "off",
                    "--dir-cache-time",
                    "0s",
                    "--copy-links",
                    *self._flags,
                ),
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


@dataclass
class StubStore:
    """What a scripted server answers as an S3 store of one bucket, "b"; its faults are settable."""

    objects: dict[str, bytes] = field(default_factory=dict)
    page_size: int = 2
    faults: list[Answer | None] = field(default_factory=list)
    """Answers to the next requests; None: as usual."""
    cut_bodies: int = 0
    """How many of the next objects break off in the middle."""

    def answer(self, request: Request) -> Answer:
        if self.faults and (fault := self.faults.pop(0)) is not None:
            return fault
        path, _, query = request.target.partition("?")
        bucket, _, key = unquote(path).removeprefix("/").partition("/")
        if bucket != "b":
            return make_refusal(404, "NoSuchBucket")
        return self._get(key, request) if key else self._list(parse_qs(query))

    def _get(self, key: str, request: Request) -> Answer:
        if key not in self.objects:
            return make_refusal(404, "NoSuchKey")
        data = self.objects[key]
        etag = f'"{md5(data, usedforsecurity=False).hexdigest()}"'
        if request.headers.get("if-match", etag) != etag:
            return make_refusal(412, "PreconditionFailed")
        headers = {"ETag": etag, "Last-Modified": "Mon, 23 Nov 2026 07:34:05 GMT"}
        status, begin = 200, 0
        if wanted := request.headers.get("range"):
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
            headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
            status = 206
        answer = Answer(status, data[begin:], headers)
        if self.cut_bodies and request.method == "GET":
            self.cut_bodies -= 1
            return replace(answer, cut=250 + (len(data) - begin) // 2)
        return answer

    def _list(self, query: dict[str, list[str]]) -> Answer:
        prefix = query.get("prefix", [""])[0]
        after = query.get("continuation-token", query.get("start-after", [""]))[0]
        keys = [k for k in sorted(self.objects, key=str.encode) if k.startswith(prefix)]
        keys = [k for k in keys if k.encode() > after.encode()]
        page = keys[: int(query.get("max-keys", [str(self.page_size)])[0])]
        rows = "".join(
            f"<Contents><Key>{quote(k)}</Key><Size>{len(self.objects[k])}</Size>"
            "<LastModified>2026-11-23T07:34:05.120Z</LastModified>"
            f"<ETag>&quot;{md5(self.objects[k], usedforsecurity=False).hexdigest()}&quot;</ETag>"
            "</Contents>"
            for k in page
        )
        more = len(keys) > len(page)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        return Answer(
            200,
            (
                f"<ListBucketResult><EncodingType>url</EncodingType>{rows}{token}"
                f"<IsTruncated>{str(more).lower()}</IsTruncated></ListBucketResult>"
            ).encode(),
            {"Content-Type": "application/xml"},
        )


def make_refusal(status: int, code: str) -> Answer:
    """What S3 stores answer when they refuse."""
    return Answer(status, f"<Error><Code>{code}</Code></Error>".encode())
