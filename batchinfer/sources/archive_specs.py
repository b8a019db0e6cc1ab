"""Archives among the sources that were named: which specs are archives, and what keys begin with.

An archive is a source by its name, as a manifest is: `photos.zip`, a folder of it
(`photos.zip!2024`), or its URI. Beside plain files it is one of them, for a shell's pattern names
all that is there.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence

from batchinfer.archives.archive_uris import (
    MEMBER_SEPARATOR,
    find_member_path,
    is_archive_name,
    is_archive_uri,
    make_archive_uri,
    split_archive_uri,
)
from batchinfer.inputs import find_uri_scheme, is_local
from batchinfer.sources.input_files import find_on_disk
from batchinfer.sources.list_detection import split_prefix
from batchinfer.sources.source_formats import detect_format


def resolve_archives(specs: Sequence[str], known_specs: Collection[str]) -> list[str]:
    """The specs, with the URI for each that is an archive and none of the run's own specs."""
    new = [spec for spec in specs if spec not in known_specs]
    if len(specs) > 1 and any(map(_is_plain_file, new)):
        return [*specs]
    return [spec if spec in known_specs else to_archive_uri(spec) or spec for spec in specs]


def to_archive_uri(spec: str) -> str | None:
    """The URI of the archive that a spec names, or of a folder in one; None: it names neither."""
    if split_prefix(spec)[0] or is_archive_uri(spec):
        return None
    if is_local(spec):
        path = find_on_disk(spec)
        if is_archive_name(spec) and os.path.isfile(path):  # noqa: PTH113 - paths are strings here
            return make_archive_uri(os.path.abspath(path))  # noqa: PTH100 - links are kept as typed
    elif is_archive_name(spec) and find_uri_scheme(spec) is not None:
        return make_archive_uri(spec)
    if (member := find_member_path(spec)) is None or not _is_there(member.container):
        return None
    return make_archive_uri(find_on_disk(member.container), member.name.rstrip("/"))


def make_key_prefixes(specs: Sequence[str]) -> Mapping[str, str]:
    """What the keys of each archive among `specs` begin with: its name, `!`, and the folder in it.

    Where two archives have one name, as many of their folders as tell them apart come before it.
    """
    members = {spec: split_archive_uri(spec) for spec in specs if is_archive_uri(spec)}
    paths = {member.container for member in members.values()}
    prefixes = {}
    for spec, (container, folder) in members.items():
        parts = container.rstrip("/").split("/")
        length = 1
        while length < len(parts) and any(
            other != container and other.split("/")[-length:] == parts[-length:] for other in paths
        ):
            length += 1
        name = "/".join(parts[-length:])
        inner = f"{folder}/" if folder else ""
        prefixes[spec] = f"{name}{MEMBER_SEPARATOR}{inner}"
    return prefixes


def _is_plain_file(spec: str) -> bool:
    return (
        os.path.isfile(spec)  # noqa: PTH113
        and not is_archive_name(spec)
        and not detect_format(spec)
    )


def _is_there(container: str) -> bool:
    return not is_local(container) or os.path.isfile(find_on_disk(container))  # noqa: PTH113
