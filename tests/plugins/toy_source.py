"""A source of another package, in one file: `toy://NAME` is what lies in `$TOY_SHELF/NAME`.

The shelf is away while a file `AWAY` lies on it.
"""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from batchinfer.inputs import InputStat, ListedInput


class ToySource:
    def check(self, uri: str) -> None:
        if not _find_file(uri).is_dir():
            raise FileNotFoundError(uri)

    def list_inputs(self, uri: str) -> Iterator[ListedInput]:
        folder = _find_file(uri)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                key = path.relative_to(folder).as_posix()
                child = f"{uri.rstrip('/')}/{key}"
                yield ListedInput(key, child, self.stat(child))

    def stat(self, uri: str) -> InputStat:
        data = _find_file(uri).read_bytes()
        return InputStat(len(data), fingerprint=sha256(data).hexdigest())

    def open(self, uri: str) -> BinaryIO:
        return _find_file(uri).open("rb")


def _find_file(uri: str) -> Path:
    shelf = Path(os.environ["TOY_SHELF"])
    if (shelf / "AWAY").exists():
        raise ConnectionError("the shelf does not answer")
    return shelf / uri.removeprefix("toy://")
