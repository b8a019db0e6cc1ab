"""An item as it can be sent: its body in parts, so that nobody copies what need not be copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from yarl import URL

from batchinfer.backends.body_memory import BodyMemory
from batchinfer.domain import SentFile

PayloadBody: TypeAlias = bytes | memoryview


@dataclass(slots=True)
class LoadedPayload:
    """An item as it can be sent."""

    parts: Sequence[PayloadBody]
    """The body in order, in at least one part: text before, between and behind the files, and
    their contents."""
    inputs: tuple[SentFile, ...] = ()
    """Its files, as they stand in the body."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """HTTP headers of its own."""
    query: str = ""
    """What follows the `?` of the URL, encoded as it is sent."""
    memory: BodyMemory | None = field(default=None, repr=False, compare=False)
    """Where the body is, if that can be used again: to be given back by whoever has sent it."""

    method: Literal["GET", "POST"] = "POST"
    """A GET has no body."""
    path: str | None = None
    """Where it is sent, encoded as it is sent; None: to the address of the carrier."""

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return sum(map(len, self.parts))

    @property
    def body(self) -> PayloadBody:
        """The body in one piece. It is joined when it is first asked for, and kept so."""
        if len(self.parts) != 1:
            self.parts = (b"".join(self.parts),)
        return self.parts[0]

    def make_target(self, url: URL) -> str:
        """Path and query of the request, for a carrier whose address is `url`."""
        if self.path is None and not self.query:
            return url.raw_path_qs
        path = url.raw_path if self.path is None else self.path
        return f"{path}?{self.query}" if self.query else path
