"""Which files of a source are sent: included, excluded, or only those of one kind.

Patterns are relative to the source and know no case; a name is the same in either Unicode normal
form. Without a `/` a pattern means the name, in any folder. An exclude that matches a folder leaves
out all that is in it; an include that ends in `/` takes all that is in that folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from batchinfer.errors import option
from batchinfer.sources import glob_patterns
from batchinfer.sources.file_kinds import FILE_KINDS
from batchinfer.sources.input_files import to_nfc
from batchinfer.sources.shard import Shard
from batchinfer.videos.frame_rule import FrameRule


@dataclass(frozen=True, slots=True)
class Selection:
    """What is taken. The default takes everything."""

    include_patterns: tuple[re.Pattern[str], ...] = ()
    exclude_patterns: tuple[re.Pattern[str], ...] = ()
    extensions: tuple[str, ...] = ()
    """With their dots; empty: of any kind."""
    literal_names: frozenset[str] = frozenset()
    """Names that an include spells out: they are taken though systems leave such files behind."""
    as_typed: tuple[str, ...] = ()
    """Its patterns and kinds as typed, each with its option, for the message of an error."""
    shard: Shard | None = None
    """The part of all items that is taken, by their keys; None: all."""
    frames: FrameRule | None = None
    """Which frames are taken in the place of each video; None: the videos themselves."""

    @classmethod
    def of(
        cls,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        only: Sequence[str] = (),
        shard: Shard | None = None,
        frames: FrameRule | None = None,
    ) -> Selection:
        """From patterns and kinds as typed. Raises SourceError for an invalid pattern."""
        typed = (("include", include), ("exclude", exclude), ("only", only))
        as_typed = tuple([option(name, each) for name, given in typed for each in given])
        include = [f"{each}**" if each.endswith("/") else each for each in include]
        return cls(
            tuple([glob_patterns.compile_filter(each) for each in include]),
            tuple([glob_patterns.compile_filter(each.rstrip("/") or "/") for each in exclude]),
            tuple([f".{ending}" for kind in only for ending in FILE_KINDS[kind]]),
            find_literal_names(include),
            as_typed,
            shard,
            frames,
        )

    def includes(self, relative_path: str) -> bool:
        """Whether the file at this path below the source is taken."""
        if not self.include_patterns:
            return self.allows(relative_path)
        path = to_nfc(relative_path)
        if not any(each.fullmatch(path) for each in self.include_patterns):
            return False
        return self.allows(path)

    def allows(self, relative_path: str) -> bool:
        """The same for what was named: whether it is neither excluded nor of another kind."""
        if not self.extensions and not self.exclude_patterns:
            return True
        path = to_nfc(relative_path)
        if self.extensions and not path.lower().endswith(self.extensions):
            return False
        return not any(each.fullmatch(path) for each in self.exclude_patterns)

    def allows_folder(self, relative_path: str) -> bool:
        """Whether the folder at this path is read at all."""
        path = to_nfc(relative_path)
        return not any(each.fullmatch(path) for each in self.exclude_patterns)


def find_literal_names(typed_patterns: Sequence[str]) -> frozenset[str]:
    """The names in patterns that hold no wildcard."""
    parts = (part for pattern in typed_patterns for part in pattern.split("/"))
    return frozenset(to_nfc(part).casefold() for part in parts if not glob_patterns.has_magic(part))
