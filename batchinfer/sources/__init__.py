"""Where items come from: folders, patterns, files, manifests, lists of paths, standard input.

Rules of the package:

* Memory does not know how long a source is: folders are read in bounded chunks, manifests line by
  line. Nothing is kept per item.
* The same source, unchanged, gives the same items in the same order: resuming reads it again.
* What is wrong with a *source* raises `SourceError`, as early as it can be seen; so does a file
  that a manifest names and that is not there, unless the run has begun. What is wrong with one
  *file* of a folder (a broken link, unreadable) is no error here: its item is yielded with unknown
  size and becomes one failed item later. What is neither (a folder that cannot be opened, a socket)
  is told in `notices`. What is skipped is counted: nothing is dropped in silence.
* What batchinfer itself wrote is never an item: skipped in folders, refused where it is named.

What a spec is, first match wins:

=====================  ============================================  ===========================
spec                   items                                         key
=====================  ============================================  ===========================
``-``                  lines of a manifest on standard input         see manifest
``files-from:FILE``    files that a list names, a path a line        the path as written
``as-file:FILE``       that file, whatever it is called              the path as typed
a folder               its files, recursively, as selected           path below the folder
a manifest, by name    its lines: .csv .tsv .jsonl .ndjson, + .gz    `key`, else path as written
any other file         that file                                     the path as typed
a pattern, * ? [ ]     files that match it, ** spans folders         path below the fixed part
=====================  ============================================  ===========================

An only source that looks like a list but is none that can be read (.txt, .json, .xlsx, ...) is
asked about, not sent. Keys are `/`-separated and tidy (no `./`, no `//`). In an absolute file spec
`/./` marks where the key begins: that is how `specs` remembers a path typed relatively, so that a
resumed run finds the same keys.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, TypeAlias

from batchinfer.domain import Item
from batchinfer.errors import SourceError
from batchinfer.ports import Notice
from batchinfer.sources import patterns, skipped
from batchinfer.sources.files import SingleFile, printable, spelled_on_disk, tidy
from batchinfer.sources.folder import Folder
from batchinfer.sources.lists import AS_FILE, FILES_FROM, question
from batchinfer.sources.litter import litter
from batchinfer.sources.manifest import LIST, Format, Manifest, check_manifests, manifest_format
from batchinfer.sources.naming import elsewhere
from batchinfer.sources.own import Own, refusal
from batchinfer.sources.selection import Selection, spelled_out
from batchinfer.sources.skipped import Skipped
from batchinfer.sources.spool import open_stdin

__all__ = ["Own", "Selection", "Sources", "open_source"]

_Part: TypeAlias = Folder | SingleFile | Manifest


@dataclass(frozen=True, slots=True)
class Sources:
    """One or more sources, read one after the other; a `ports.Source`."""

    specs: tuple[str, ...]
    """The specs, absolute ("-" stays): opened again from any folder they give the same items."""
    parts: tuple[_Part, ...] = field(repr=False)
    own: Own = field(default_factory=Own, repr=False)
    left_out: Skipped = field(default_factory=Skipped, repr=False)
    """Named files that are not sent."""
    asked: tuple[str, ...] = ()
    """The selection among files, as typed."""

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the latest iteration had to leave out (at most 20 per folder spec, then a count),
        and when it has come to its end, what was taken and skipped.
        """  # noqa: D205 - one thought
        told = [notice for part in self._folders for notice in part.notices]
        taken, counts = self.skipped
        if counts and all(part.is_read for part in self._folders):
            told.append(Notice("skipped", skipped.sentence(taken, counts)))
        return tuple(told)

    @property
    def skipped(self) -> tuple[int, Mapping[str, int]]:
        """Files that the latest iteration took from folders and by patterns, or that were named;
        and how many it skipped, by kind.
        """  # noqa: D205 - one thought
        taken, counts = skipped.total([self.left_out, *(part.skipped for part in self._folders)])
        return taken + sum(isinstance(part, SingleFile) for part in self.parts), counts

    @property
    def has_folders(self) -> bool:
        """Whether what there is to take is known only when all has been read."""
        return bool(self._folders)

    @property
    def _folders(self) -> Sequence[Folder]:
        return [part for part in self.parts if isinstance(part, Folder)]

    def check(self, *, may_be_missing: bool = False) -> None:
        """Find every mistake that can be found before anything is sent.

        Manifests are read whole, their keys compared across all of them, every file looked at; of a
        folder only its top is opened. `may_be_missing`: for a run that has begun, whose files may
        have been moved away since. Raises SourceError that lists the mistakes, each with its file
        and line.
        """
        refused = []
        for part in self.parts:
            if isinstance(part, Folder):
                part.check()
            elif isinstance(part, SingleFile) and (what := self.own.file(part.path, part.seen())):
                refused.append(f"{refusal(printable(part.path), what)}.")
        if refused:
            raise SourceError("\n".join(refused))
        manifests = [part for part in self.parts if isinstance(part, Manifest)]
        check_manifests(manifests, self.own, may_be_missing=may_be_missing)

    def __iter__(self) -> Iterator[Item]:
        """Items in the order of the specs. Raises SourceError when a source breaks on the way."""
        for part in self.parts:
            yield from part


def open_source(
    specs: Sequence[str],
    *,
    file_param: str = "files",
    selection: Selection | None = None,
    own: Own | None = None,
    spool: Path | None = None,
    stdin: BinaryIO | None = None,
    is_known: bool = False,
) -> Sources:
    """Make a source of `specs` (the module's table says what a spec may be).

    Args:
        specs: at least one.
        file_param: the model parameter that receives an item's (first) file.
        selection: chooses among the files of folders; what it excludes, and files of other kinds
            than it asks for, are also left out of patterns and of files that were named.
        own: what is not sent, for it is batchinfer's own.
        spool: where a manifest from standard input is kept; needed for "-".
        stdin: read to its end at once into `spool`, for "-". None when the run is resumed: then
            `spool` is read again, with paths relative to the folder of back then.
        is_known: the specs are those of a run: nothing is asked about them.

    Raises:
        SourceError: a spec leads nowhere, or a pattern cannot be understood.
    """
    if not specs:
        raise SourceError("No source given: name a folder, files, a manifest, or - for stdin.")
    if sum(spec.removeprefix(FILES_FROM) == "-" for spec in specs) > 1:
        raise SourceError("Standard input (-) can be read only once: give - a single time.")
    if not is_known and len(specs) == 1 and (asked := question(specs[0])):
        raise SourceError(asked)
    opener = _Opener(file_param, selection or Selection(), own or Own(), spool, stdin)
    left_out, opened = Skipped(), []
    for spec in specs:
        if len(specs) > 1 and (kind := opener.leaves_out(spec)):
            left_out.add(kind)
        else:
            opened.append(opener.open(spec))
    given = tuple(spec for spec, _ in opened)
    parts = tuple(part for _, part in opened)
    return Sources(given, parts, opener.own, left_out, opener.selection.asked)


@dataclass(frozen=True, slots=True)
class _Opener:
    """What all specs have in common."""

    file_param: str
    selection: Selection
    own: Own
    spool: Path | None
    stdin: BinaryIO | None

    def leaves_out(self, spec: str) -> str | None:
        """As what one of several named files is skipped: a shell names all that is there."""
        name = os.path.basename(spec)  # noqa: PTH119 - paths are plain strings in this package
        if not os.path.isfile(spec) or manifest_format(spec):  # noqa: PTH113
            return None
        if (kind := litter(name)) and not name.startswith("."):  # which no shell names by itself
            return kind
        return None if self.selection.allows(printable(tidy(spec))) else skipped.ending(name)

    def open(self, spec: str) -> tuple[str, _Part]:
        """The spec made absolute, and what reads it."""
        if spec == "-":
            return spec, open_stdin(self.spool, self.stdin, self.file_param)
        if not os.path.lexists(spec):
            if (listed := spec.removeprefix(FILES_FROM)) != spec:
                return self._list(listed)
            if (named := spec.removeprefix(AS_FILE)) != spec:
                here, single = self._single(_there(named))
                return AS_FILE + here, single
        return self._path(spec)

    def _path(self, spec: str) -> tuple[str, _Part]:
        spec = spelled_on_disk(spec)
        here = os.path.abspath(spec)  # noqa: PTH100 - not resolve(): links are kept as typed
        if os.path.isdir(spec):  # noqa: PTH112
            return here, Folder(here, self.file_param, self.selection, self.own)
        if os.path.lexists(spec):
            if read := manifest_format(spec):
                return here, self._manifest(spec, read)
            return self._single(spec)
        if patterns.has_magic(spec):
            return here, self._pattern(here)
        return _there(spec), self._single(spec)[1]  # which raises: nothing is there

    def _list(self, listed: str) -> tuple[str, _Part]:
        if listed == "-":
            return FILES_FROM + listed, open_stdin(self.spool, self.stdin, self.file_param, LIST)
        part = self._manifest(_there(listed), LIST)
        return FILES_FROM + part.path, part

    def _manifest(self, spec: str, read: Format) -> Manifest:
        here = os.path.abspath(spec)  # noqa: PTH100
        return Manifest(printable(spec), here, os.path.dirname(here), self.file_param, read)  # noqa: PTH120

    def _pattern(self, here: str) -> Folder:
        base, pattern = patterns.split(here)
        names = self.selection.names | spelled_out([pattern])
        return Folder(
            base,
            self.file_param,
            replace(self.selection, names=names),
            self.own,
            patterns.compiled(pattern),
            patterns.max_depth(pattern),
        )

    def _single(self, spec: str) -> tuple[str, SingleFile]:
        try:
            regular = stat.S_ISREG(os.stat(spec).st_mode)  # noqa: PTH116
        except OSError:
            regular = True  # a broken link: one failed item, as in a folder
        if not regular:
            raise SourceError(
                f"{printable(spec)} is not a regular file. A manifest from a pipe is given as -, on"
                " standard input."
            )
        single = SingleFile.of_spec(spec, self.file_param)
        return single.spec, single


def _there(spec: str) -> str:
    """The path as the disk spells it. Raises SourceError when nothing is there."""
    found = spelled_on_disk(spec)
    if os.path.lexists(found):
        return found
    if told := elsewhere(spec):
        raise SourceError(f"{told}.")
    raise SourceError(
        f"{printable(spec)}: no such file or folder. Check the spelling; a relative path begins at"
        f" {printable(os.getcwd())}."  # noqa: PTH109 - printable() takes a string
    )
