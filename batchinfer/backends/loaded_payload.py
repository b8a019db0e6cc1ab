"""An item as it can be sent: its body in parts, so that nobody copies what need not be copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

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
    memory: BodyMemory | None = field(default=None, repr=False, compare=False)
    """Where the body is, if that can be used again: to be given back by whoever has sent it."""

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
