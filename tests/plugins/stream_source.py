"""A source of another package whose inputs can only be read on: `stream://NAME`, as `toy_source`.

Each input that is opened is written to `$TOY_SHELF/OPENED`; while a file `BREAK` lies there, the
connection breaks off after some bytes, once; while there is a file `HOLD`, no byte comes.
"""

import io
import os
import time
from pathlib import Path
from typing import BinaryIO

from toy_source import ToySource


class StreamSource(ToySource):
    def open(self, uri: str) -> BinaryIO:
        shelf = Path(os.environ["TOY_SHELF"])
        with (shelf / "OPENED").open("a") as opened:
            opened.write(f"{uri}\n")
        is_broken = (shelf / "BREAK").exists()
        (shelf / "BREAK").unlink(missing_ok=True)
        return _ForwardOnly(super().open(uri.replace("stream://", "toy://")), is_broken)

    def stat(self, uri: str):
        return super().stat(uri.replace("stream://", "toy://"))

    def check(self, uri: str) -> None:
        super().check(uri.replace("stream://", "toy://"))


class _ForwardOnly(io.RawIOBase):
    def __init__(self, file: BinaryIO, is_broken: bool) -> None:
        self._file = file
        self._left = 1_000 if is_broken else 1 << 60

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while (Path(os.environ["TOY_SHELF"]) / "HOLD").exists():
            time.sleep(0.001)
        if not self._left:
            raise ConnectionResetError("by the server")
        data = self._file.read(min(len(buffer), self._left))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
