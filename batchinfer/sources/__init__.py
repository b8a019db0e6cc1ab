"""Where items come from: folders, patterns, single files, manifests, standard input.

Rules of the room:

* Memory does not know how long a source is: folders are read in bounded chunks, manifests line by
  line. Nothing is kept per item.
* The same source, unchanged, gives the same items in the same order: resuming reads it again.
* What is wrong with a *source* raises `SourceError`, as early as it can be seen. What is wrong with
  one *file* (missing, a broken link, unreadable) is no error here: its item is yielded with unknown
  size and becomes one failed item later. What is neither (a folder that cannot be opened, a socket)
  is told in `notices`. Nothing is dropped in silence but hidden files and hidden folders.

What a spec is, first match wins:

=====================  ============================================  ===========================
spec                   items                                         key
=====================  ============================================  ===========================
``-``                  lines of a manifest on standard input         see manifest
a folder               its files, recursively, `glob` chooses        path below the folder
a manifest, by name    its lines: .csv .jsonl .ndjson, also + .gz    `key`, else path as written
any other file         that file                                     the path as typed
a pattern, * ? [ ]     files that match it, ** spans folders         path below the fixed part
=====================  ============================================  ===========================

Keys are `/`-separated and tidy (no `./`, no `//`). To send a manifest-like file itself (a .csv),
name it in a manifest. In an absolute file spec `/./` marks where the key begins: that is how
`specs` remembers a path typed relatively, so that a resumed run finds the same keys.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeAlias

from batchinfer.domain import Item
from batchinfer.errors import SourceError
from batchinfer.ports import Notice
from batchinfer.sources import patterns
from batchinfer.sources.files import SingleFile, printable
from batchinfer.sources.folder import Folder
from batchinfer.sources.manifest import Manifest, check_manifests, manifest_format
from batchinfer.sources.spool import open_stdin

__all__ = ["Sources", "open_source"]

_Part: TypeAlias = Folder | SingleFile | Manifest


@dataclass(frozen=True, slots=True)
class Sources:
    """One or more sources, read one after the other; a `ports.Source`."""

    specs: tuple[str, ...]
    """The specs, absolute ("-" stays): opened again from any folder they give the same items."""
    parts: tuple[_Part, ...] = field(repr=False)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the latest iteration had to leave out (at most 20 per folder spec, then a count)."""
        return tuple(
            notice for part in self.parts if isinstance(part, Folder) for notice in part.notices
        )

    def check(self) -> None:
        """Find every mistake that can be found before anything is sent.

        Manifests are read whole, their keys compared across all of them; of a folder only its top
        is opened. Raises SourceError that lists the mistakes, each with its file and line.
        """
        for part in self.parts:
            if isinstance(part, Folder):
                part.check()
        check_manifests([part for part in self.parts if isinstance(part, Manifest)])

    def __iter__(self) -> Iterator[Item]:
        """Items in the order of the specs. Raises SourceError when a source breaks on the way."""
        for part in self.parts:
            yield from part


def open_source(
    specs: Sequence[str],
    *,
    file_param: str = "files",
    glob: str | None = None,
    spool: Path | None = None,
    stdin: BinaryIO | None = None,
) -> Sources:
    """Make a source of `specs` (the module's table says what a spec may be).

    Args:
        specs: at least one.
        file_param: the model parameter that receives an item's (first) file.
        glob: chooses among the files of folder specs. Without a `/` it is matched against the
            name of a file in any folder (`*.jpg`), with one against the path below the folder
            (`train/**/*.jpg`). Case counts.
        spool: where a manifest from standard input is kept; needed for "-".
        stdin: read to its end at once into `spool`, for "-". None when the run is resumed: then
            `spool` is read again, with paths relative to the folder of back then.

    Raises:
        SourceError: a spec leads nowhere, or a pattern cannot be understood.
    """
    if not specs:
        raise SourceError("No source given: name a folder, files, a manifest, or - for stdin.")
    if list(specs).count("-") > 1:
        raise SourceError("Standard input (-) can be read only once: give - a single time.")
    opened = [_open(spec, file_param, glob, spool, stdin) for spec in specs]
    return Sources(tuple(spec for spec, _ in opened), tuple(part for _, part in opened))


def _open(
    spec: str, file_param: str, glob: str | None, kept: Path | None, stdin: BinaryIO | None
) -> tuple[str, _Part]:
    """The spec made absolute, and what reads it."""
    if spec == "-":
        return spec, open_stdin(kept, stdin, file_param)
    here = os.path.abspath(spec)  # noqa: PTH100 - not resolve(): links are kept as typed
    if os.path.isdir(spec):  # noqa: PTH112 - paths are plain strings in this room
        return here, Folder(here, file_param, patterns.chooser(glob) if glob else None)
    if os.path.lexists(spec):
        return _open_file(spec, here, file_param)
    if patterns.has_magic(spec):
        base, pattern = patterns.split(here)
        return here, Folder(
            base, file_param, patterns.compiled(pattern), patterns.max_depth(pattern)
        )
    raise SourceError(
        f"{printable(spec)}: no such file or folder. Check the spelling; a relative path begins at"
        f" {printable(os.getcwd())}."  # noqa: PTH109 - printable() takes a string
    )


def _open_file(spec: str, here: str, file_param: str) -> tuple[str, _Part]:
    if read := manifest_format(spec):
        return here, Manifest(printable(spec), here, os.path.dirname(here), file_param, read)  # noqa: PTH120
    try:
        regular = stat.S_ISREG(os.stat(spec).st_mode)  # noqa: PTH116
    except OSError:
        regular = True  # a broken link: one failed item, as in a folder
    if not regular:
        raise SourceError(
            f"{printable(spec)} is not a regular file. A manifest from a pipe is given as -, on"
            " standard input."
        )
    single = SingleFile.of_spec(spec, file_param)
    return single.spec, single
