"""A source of which everything goes wrong: what does is in its URIs."""

import io
import threading
from collections.abc import Iterator
from typing import BinaryIO

from batchinfer.inputs import InputStat, ListedInput

HANG = threading.Event()
"""Never set, so that who waits for it hangs."""
CONTENT = {"odd://changes": b"12", "odd://secret": b"the key: " + b"0123456789abcdef" * 4}
ERRORS = {
    "odd://missing": FileNotFoundError("odd://missing"),
    "odd://refused": PermissionError("403 for the key " + "0123456789abcdef" * 4),
    "odd://reset": ConnectionResetError("by the\nserver"),
    "odd://slow": TimeoutError(),
    "odd://broken": KeyError("etag"),
}


class OddSource:
    def __init__(self) -> None:
        self._looks = 0

    def check(self, uri: str) -> None:
        if uri in ERRORS:
            raise ERRORS[uri]

    def list_inputs(self, uri: str) -> Iterator[ListedInput]:
        yield ListedInput("one", "odd://one")
        raise ERRORS[uri]

    def stat(self, uri: str) -> InputStat:
        if uri in ERRORS:
            raise ERRORS[uri]
        self._looks += 1
        size = len(CONTENT.get(uri, b"content"))
        return InputStat(size, fingerprint=str(self._looks) if uri == "odd://changes" else "same")

    def open(self, uri: str) -> BinaryIO:
        if uri == "odd://hangs":
            HANG.wait()
        return io.BytesIO(CONTENT.get(uri, b"content"))
