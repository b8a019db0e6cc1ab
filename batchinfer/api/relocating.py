"""A run's source at a new place; and whether what is given is the run's source at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from batchinfer.domain import InputFile, RunInfo
from batchinfer.errors import RunMismatch, SourceError
from batchinfer.sources import patterns
from batchinfer.sources.files import printable
from batchinfer.sources.lists import AS_FILE, FILES_FROM, unprefixed
from batchinfer.sources.manifest import manifest_format
from batchinfer.sources.presence import root_of
from batchinfer.store.relocating import Move, files_of, keep_sources, moved_from, relocate

_KEY_BEGINS = "/./"


@dataclass(frozen=True, slots=True)
class _Place:
    """A source that moved."""

    was: str
    """The source as it was named."""
    old: str
    """The folder that its files were in."""
    new: str
    spec: str
    """The source as it is named now."""


def move_source(run: Path, info: RunInfo, given: Sequence[str]) -> str:
    """Keep the new place of the run's source; what was done, in words.

    Every file of the run is looked for there, and its size compared. Raises SourceError when most
    are not there, or any is another one: then nothing is changed.
    """
    places = [_place(run, spec, new) for spec, new in zip(*_matched(run, info, given), strict=True)]
    moves = [moved_from(place.old, place.new) for place in places]
    found = _check(run, moves, places)
    specs = {place.was: place.spec for place in places}
    relocate(run, _first_that_moves(moves), [specs.get(spec, spec) for spec in info.sources])
    return found


def known_as(spec: str, sources: Sequence[str]) -> str:
    """The spec as the run spells it, if it is one of its sources in another spelling."""
    return next((known for known in sources if _is_same(spec, known)), spec)


def refuse_others(run: Path, info: RunInfo, given: Sequence[str]) -> None:
    """Raise RunMismatch when something is given that the run was not made from."""
    other = [spec for spec in given if not _belongs(spec, info.sources)]
    if not other:
        return
    raise RunMismatch(
        f"The run in {run} was made from {', '.join(map(printable, info.sources))}; you gave "
        f"{', '.join(map(printable, other))}. Nothing was sent. If the source has moved there, add "
        "--moved; to add other items to this run, --add; else choose another run directory with -o."
    )


def add_sources(run: Path, info: RunInfo, given: Sequence[str]) -> None:
    """Keep further sources of the run, so that it goes on with them, too."""
    new = [spec for spec in given if not _belongs(spec, info.sources)]
    if new:
        keep_sources(run, [*info.sources, *new])


# ------------------------------------------------------------------------------------------------


def _is_same(spec: str, known: str) -> bool:
    (prefix, spec), (known_prefix, known) = unprefixed(spec), unprefixed(known)
    if prefix != known_prefix:
        return False
    here = spec if spec == "-" or _KEY_BEGINS in spec else os.path.abspath(spec)  # noqa: PTH100
    if here == known:
        return True
    if "-" in {here, known} or _KEY_BEGINS in known:
        return False
    if patterns.has_magic(here) and patterns.has_magic(known) and not os.path.lexists(here):
        (base, pattern), (known_base, known_pattern) = patterns.split(here), patterns.split(known)
        return pattern == known_pattern and _same_file(base, known_base)
    return _same_file(here, known)


def _same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)  # noqa: PTH121 - by device and inode
    except OSError:
        return False


def _belongs(spec: str, sources: Sequence[str]) -> bool:
    if any(_is_same(spec, known) for known in sources):
        return True
    prefix, spec = unprefixed(spec)
    here = os.path.abspath(spec)  # noqa: PTH100
    if prefix == FILES_FROM:
        return False
    if os.path.isfile(here):  # noqa: PTH113
        # More files of a folder, as a shell expands a pattern. Another list is another source.
        return (prefix == AS_FILE or not manifest_format(here)) and any(
            _same_file(os.path.dirname(here), _folder_of(known))  # noqa: PTH120
            for known in sources
            if not _is_list(known)
        )
    root = root_of(here)
    return root is not None and any(
        _same_file(root, known_root)
        for known in sources
        if (known_root := root_of(known)) is not None
    )


def _is_list(spec: str) -> bool:
    """Whether a spec names a list of files, and not files."""
    prefix, path = unprefixed(spec)
    if prefix or path == "-":
        return prefix == FILES_FROM or path == "-"
    return bool(manifest_format(path)) and root_of(path) is None


def _folder_of(spec: str) -> str:
    """The folder that the files of a spec are in."""
    _, spec = unprefixed(spec)
    if _KEY_BEGINS in spec:
        return spec.partition(_KEY_BEGINS)[0] or "/"
    return root_of(spec) or os.path.dirname(spec)  # noqa: PTH120


def _matched(run: Path, info: RunInfo, given: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Which sources moved, and where to."""
    if len(given) == len(info.sources):
        return info.sources, given
    gone = [spec for spec in info.sources if spec != "-" and not os.path.exists(_folder_of(spec))]  # noqa: PTH110
    if len(gone) == len(given):
        return gone, given
    raise SourceError(
        f"The run in {run} has {len(info.sources)} sources ({', '.join(info.sources)}): name the "
        "new place of each, in this order."
    )


def _place(run: Path, known: str, new: str) -> _Place:
    prefix, spec = unprefixed(known)
    place = _unprefixed_place(run, spec, unprefixed(new)[1], is_list=_is_list(known))
    return replace(place, was=known, spec=prefix + place.spec)


def _unprefixed_place(run: Path, spec: str, new: str, *, is_list: bool) -> _Place:
    here = os.path.abspath(new)  # noqa: PTH100
    if patterns.has_magic(here) and not os.path.lexists(here):
        return _Place(spec, _folder_of(spec), patterns.split(here)[0], here)
    if os.path.isfile(here):  # noqa: PTH113
        return _Place(spec, _folder_of(spec), os.path.dirname(here), here)  # noqa: PTH120
    if not os.path.isdir(here):  # noqa: PTH112
        raise SourceError(f"{printable(new)}: no such file or folder. Nothing was changed.")
    if is_list:
        moved = os.path.join(here, os.path.basename(spec))  # noqa: PTH118, PTH119
        if spec != "-" and os.path.isfile(moved):  # noqa: PTH113
            return _Place(spec, os.path.dirname(spec), here, moved)  # noqa: PTH120
        return _Place(spec, _common_folder(run), here, spec)
    if _KEY_BEGINS in spec:
        return _Place(
            spec, _folder_of(spec), here, here + _KEY_BEGINS + spec.partition(_KEY_BEGINS)[2]
        )
    old = _folder_of(spec)
    return _Place(spec, old, here, here + spec[len(old) :])


def _common_folder(run: Path) -> str:
    folder: str | None = None
    for file in files_of(run):
        its = os.path.dirname(file.path)  # noqa: PTH120
        folder = its if folder is None else os.path.commonpath([folder, its])
    if folder is None:
        raise SourceError(f"The run in {run} has no files that could have moved.")
    return folder


def _first_that_moves(moves: Sequence[Move]) -> Move:
    def move(file: InputFile) -> InputFile:
        return next((moved for each in moves if (moved := each(file)) != file), file)

    return move


def _check(run: Path, moves: Sequence[Move], places: Sequence[_Place]) -> str:
    move = _first_that_moves(moves)
    there = missing = other = 0
    example = ""
    for file in files_of(run):
        moved = move(file)
        if moved == file:
            continue
        path = moved.path
        try:
            size = os.stat(path).st_size  # noqa: PTH116
        except OSError:
            missing += 1
            example = example or path
            continue
        if file.size is not None and file.size != size:
            other += 1
            example = path
        else:
            there += 1
    where = ", ".join(printable(place.new) for place in places)
    if other or missing > there:
        what = f"{other:,} have another size" if other else f"{missing:,} are not there"
        raise SourceError(
            f"{where} is not the place that the source of {run} has moved to: of its "
            f"{there + missing + other:,} files {what} (for example {printable(example)}). Nothing "
            "was changed."
        )
    gone = f", {missing:,} are not there (for example {printable(example)})" if missing else ""
    return f"The source is now {where}: {there:,} files were found there{gone}."
