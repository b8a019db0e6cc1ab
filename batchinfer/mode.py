"""The mode of a run, apart from `domain`: `--help` names modes, and loads no other value."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """How items reach the model; OSCAR's own terms."""

    SYNC = "sync"
    ASYNC = "async"

    @property
    def section(self) -> str:
        """The section of a configuration that says where items of this mode are sent."""
        return {"sync": "service", "async": "bucket"}[self.value]

    @property
    def uses_bucket(self) -> bool:
        """Whether items are submitted and collected, so that objects may be left in a bucket."""
        return self is Mode.ASYNC
