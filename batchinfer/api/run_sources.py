"""A run's source at a new place; and whether what is given is the run's source at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from batchinfer.archives.archive_uris import is_archive_uri, make_archive_uri, split_archive_uri
from batchinfer.domain import InputFile, RunInfo
from batchinfer.errors import RunMismatch, SourceError, option
from batchinfer.inputs import find_uri_scheme, is_local, stat_input
from batchinfer.sources import glob_patterns
from batchinfer.sources.archive_specs import to_archive_uri
from batchinfer.sources.list_detection import AS_FILE_PREFIX, FILES_FROM_PREFIX, split_prefix
from batchinfer.sources.source_formats import FORMAT_PREFIXES, detect_format, split_mark
from batchinfer.sources.source_presence import find_root_folder
from batchinfer.sources.source_specs import is_list_spec, is_same_format
from batchinfer.sources.uri_source import explain_uri_absence
from batchinfer.store.file_relocation import (
    FileMove,
    append_sources,
    iter_files,
    look_at_moved,
    make_folder_move,
    relocate_files,
)
from batchinfer.text_format import escape_undecodable

_KEY_SEPARATOR = "/./"
_ANNOTATION_PREFIXES = ("coco:", "yolo:")


@dataclass(frozen=True, slots=True)
class _MovedSource:
    """A source that moved."""

    old_spec: str
    """The source as it was named."""
    old_folder: str
    """The folder that its files were in."""
    new_folder: str
    new_spec: str
    """The source as it is named now."""


def move_source(run: Path, info: RunInfo, given: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Record where the run's source is now. Returns what was done, in words, and the new sources.

    Every file of the run is looked for there, and its size compared. Raises SourceError when most
    are missing, or any has another size: then nothing is changed.
    """
    moved_sources = [
        _locate_moved_source(run, spec, new)
        for spec, new in zip(*_match_moved_specs(run, info, given), strict=True)
    ]
    moves = [
        make_folder_move(moved_source.old_folder, moved_source.new_folder)
        for moved_source in moved_sources
    ]
    summary = _verify_moved_files(run, moves, moved_sources)
    specs = {place.old_spec: place.new_spec for place in moved_sources}
    sources = tuple([specs.get(spec, spec) for spec in info.sources])
    relocate_files(run, _combine_moves(moves), sources)
    return summary, sources


def find_run_spec(spec: str, sources: Sequence[str]) -> str:
    """The spec as the run spells it, if it is one of its sources in another spelling."""
    return next((run_spec for run_spec in sources if _is_same_spec(spec, run_spec)), spec)


def reject_other_sources(run: Path, info: RunInfo, given: Sequence[str]) -> None:
    """Raise RunMismatch when something is given that the run was not made from."""
    other = [spec for spec in given if not _belongs_to_run(spec, info.sources)]
    if not other:
        return
    raise RunMismatch(
        f"The run in {run} was made from {', '.join(map(escape_undecodable, info.sources))}; you "
        f"gave {', '.join(map(escape_undecodable, other))}. Nothing was sent. If the source has "
        f"moved there, add {option('moved', 'True')}; to add other items to this run, "
        f"{option('add', 'True')}; else choose another run directory with {option('run')}."
    )


def add_sources(run: Path, info: RunInfo, given: Sequence[str]) -> tuple[str, ...]:
    """Record further sources of the run; all that it has then."""
    new = [spec for spec in given if not _belongs_to_run(spec, info.sources)]
    return append_sources(run, new) if new else info.sources


# ------------------------------------------------------------------------------------------------


def _is_same_spec(spec: str, run_spec: str) -> bool:
    (prefix, spec), (known_prefix, run_spec) = split_prefix(spec), split_prefix(run_spec)
    if not is_same_format(prefix, known_prefix):
        return False
    if is_archive_uri(run_spec):
        return _is_same_archive(to_archive_uri(spec) or spec, run_spec)
    return _is_same_place(spec, run_spec)


def _is_same_place(spec: str, run_spec: str) -> bool:
    if not (is_local(spec) and is_local(run_spec)):
        return spec == run_spec
    here = spec if spec == "-" or _KEY_SEPARATOR in spec else os.path.abspath(spec)  # noqa: PTH100
    if here == run_spec:
        return True
    if "-" in {here, run_spec} or _KEY_SEPARATOR in run_spec:
        return False
    if (
        glob_patterns.has_magic(here)
        and glob_patterns.has_magic(run_spec)
        and not os.path.lexists(here)
    ):
        (base, pattern), (known_base, known_pattern) = (
            glob_patterns.split_pattern(here),
            glob_patterns.split_pattern(run_spec),
        )
        return pattern == known_pattern and _same_file(base, known_base)
    return _same_file(here, run_spec)


def _is_same_archive(uri: str, run_uri: str) -> bool:
    if not is_archive_uri(uri):
        return False
    (container, folder), (run_container, run_folder) = map(split_archive_uri, (uri, run_uri))
    if folder != run_folder:
        return False
    return container == run_container or _same_file(container, run_container)


def _same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)  # noqa: PTH121 - by device and inode
    except OSError:
        return False


def _belongs_to_run(spec: str, sources: Sequence[str]) -> bool:
    if any(_is_same_spec(spec, run_spec) for run_spec in sources):
        return True
    prefix, spec = split_prefix(spec)
    if prefix == FILES_FROM_PREFIX or prefix in FORMAT_PREFIXES or not is_local(spec):
        return False
    here = os.path.abspath(spec)  # noqa: PTH100
    if os.path.isfile(here):  # noqa: PTH113
        # More files of a folder, as a shell expands a pattern. Another list is another source.
        return (prefix == AS_FILE_PREFIX or not detect_format(here)) and any(
            _same_file(os.path.dirname(here), _folder_of(known))  # noqa: PTH120
            for known in sources
            if not (is_list_spec(known) and find_root_folder(known) is None)
        )
    root = find_root_folder(here)
    return root is not None and any(
        _same_file(root, known_root)
        for known in sources
        if (known_root := find_root_folder(known)) is not None
    )


def _folder_of(spec: str) -> str:
    """The folder that the files of a spec are in; of a URI the URI itself."""
    prefix, spec = split_prefix(spec)
    if not is_local(spec):
        return spec
    spec, _ = split_mark(spec, prefix.removesuffix(":"))
    if _KEY_SEPARATOR in spec:
        return spec.partition(_KEY_SEPARATOR)[0] or "/"
    return find_root_folder(spec) or os.path.dirname(spec)  # noqa: PTH120


def _match_moved_specs(
    run: Path, info: RunInfo, given: Sequence[str]
) -> tuple[Sequence[str], Sequence[str]]:
    """Which sources moved, and where to."""
    if len(given) == len(info.sources):
        return info.sources, given
    gone = [spec for spec in info.sources if spec != "-" and not _is_there(_folder_of(spec))]
    if len(gone) == len(given):
        return gone, given
    raise SourceError(
        f"The run in {run} has {len(info.sources)} sources ({', '.join(info.sources)}): name the "
        "new place of each, in this order."
    )


def _is_there(folder: str) -> bool:
    if is_local(folder):
        return os.path.exists(folder)  # noqa: PTH110
    scheme = find_uri_scheme(folder)
    return scheme is not None and explain_uri_absence(scheme, folder) is None


def _is_input_there(path: str) -> bool:
    try:
        stat_input(path)
    except OSError:
        return False
    return True


def _locate_moved_source(run: Path, run_spec: str, new: str) -> _MovedSource:
    if is_archive_uri(run_spec):
        return _locate_moved_archive(run_spec, new)
    if find_uri_scheme(new) is not None:
        return _MovedSource(run_spec, _folder_of(run_spec), new.rstrip("/"), new)
    prefix, spec = split_prefix(run_spec)
    spec, mark = split_mark(spec, prefix.removesuffix(":"))
    new, _ = split_mark(split_prefix(new)[1], prefix.removesuffix(":"))
    moved_source = _locate_dataset(spec, new) if prefix in _ANNOTATION_PREFIXES else None
    if moved_source is None:
        is_list = is_list_spec(run_spec) and find_root_folder(run_spec) is None
        moved_source = _locate_unprefixed(run, spec, new, is_list=is_list)
    new_spec = prefix + moved_source.new_spec + mark
    return replace(moved_source, old_spec=run_spec, new_spec=new_spec)


def _locate_dataset(spec: str, new: str) -> _MovedSource | None:
    """Where a data set is whose annotation file is there; None: the file is not.

    Its pictures lie around the file: what differs of the two paths is what moved.
    """
    here = os.path.abspath(new)  # noqa: PTH100
    if os.path.isdir(here):  # noqa: PTH112
        here = os.path.join(here, os.path.basename(spec))  # noqa: PTH118, PTH119
    if not os.path.isfile(here):  # noqa: PTH113
        return None
    old_parts, new_parts = spec.split("/")[:-1], here.split("/")[:-1]
    while old_parts and new_parts and old_parts[-1] == new_parts[-1]:
        old_parts.pop()
        new_parts.pop()
    return _MovedSource(spec, "/".join(old_parts) or "/", "/".join(new_parts) or "/", here)


def _locate_moved_archive(run_spec: str, new: str) -> _MovedSource:
    """An archive is an archive at its new place, too, and its keys begin with its name."""
    old_container, folder = split_archive_uri(run_spec)
    uri = to_archive_uri(new) or new
    container = split_archive_uri(uri).container if is_archive_uri(uri) else ""
    name = os.path.basename(old_container)  # noqa: PTH119
    if os.path.basename(container) != name:  # noqa: PTH119
        raise SourceError(
            f"{escape_undecodable(new)}: the run was made from the archive "
            f"{escape_undecodable(name)}, by whose name its items are called. Name the place where "
            "it is now. Nothing was changed."
        )
    new_spec = make_archive_uri(container, folder)
    return _MovedSource(
        run_spec, make_archive_uri(old_container), make_archive_uri(container), new_spec
    )


def _locate_unprefixed(run: Path, spec: str, new: str, *, is_list: bool) -> _MovedSource:
    here = os.path.abspath(new)  # noqa: PTH100
    if glob_patterns.has_magic(here) and not os.path.lexists(here):
        return _MovedSource(spec, _folder_of(spec), glob_patterns.split_pattern(here)[0], here)
    if os.path.isfile(here):  # noqa: PTH113
        return _MovedSource(spec, _folder_of(spec), os.path.dirname(here), here)  # noqa: PTH120
    if not os.path.isdir(here):  # noqa: PTH112
        raise SourceError(
            f"{escape_undecodable(new)}: no such file or folder. Nothing was changed."
        )
    if is_list:
        moved = os.path.join(here, os.path.basename(spec))  # noqa: PTH118, PTH119
        if spec != "-" and os.path.isfile(moved):  # noqa: PTH113
            return _MovedSource(spec, os.path.dirname(spec), here, moved)  # noqa: PTH120
        return _MovedSource(spec, _find_common_folder(run), here, spec)
    if _KEY_SEPARATOR in spec:
        return _MovedSource(
            spec, _folder_of(spec), here, here + _KEY_SEPARATOR + spec.partition(_KEY_SEPARATOR)[2]
        )
    old = _folder_of(spec)
    return _MovedSource(spec, old, here, here + spec[len(old) :])


def _find_common_folder(run: Path) -> str:
    folder: str | None = None
    for file in iter_files(run):
        if not is_local(file.path):
            continue
        file_folder = os.path.dirname(file.path)  # noqa: PTH120
        folder = file_folder if folder is None else os.path.commonpath([folder, file_folder])
    if folder is None:
        raise SourceError(f"The run in {run} has no files that could have moved.")
    return folder


def _combine_moves(moves: Sequence[FileMove]) -> FileMove:
    def move(file: InputFile) -> InputFile:
        return next((moved for each in moves if (moved := each(file)) != file), file)

    return move


def _verify_moved_files(
    run: Path, moves: Sequence[FileMove], moved_sources: Sequence[_MovedSource]
) -> str:
    move = _combine_moves(moves)
    found_count = missing_count = changed_count = 0
    example = ""
    for file in iter_files(run):
        moved = move(file)
        if moved == file:
            continue
        path = moved.path
        if look_at_moved(file, path) is not None:
            found_count += 1
        elif _is_input_there(path):
            changed_count += 1
            example = path
        else:
            missing_count += 1
            example = example or path
    where = ", ".join(escape_undecodable(moved_source.new_folder) for moved_source in moved_sources)
    if changed_count or missing_count > found_count:
        what = (
            f"{changed_count:,} have another size"
            if changed_count
            else f"{missing_count:,} are not there"
        )
        raise SourceError(
            f"{where} is not the place that the source of {run} has moved to: of its "
            f"{found_count + missing_count + changed_count:,} files {what} (for example "
            f"{escape_undecodable(example)}). Nothing was changed."
        )
    missing_text = (
        f", {missing_count:,} are not there (for example {escape_undecodable(example)})"
        if missing_count
        else ""
    )
    return f"The source is now {where}: {found_count:,} files were found there{missing_text}."
