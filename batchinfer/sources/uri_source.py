"""The inputs that a scheme lists for a URI, as a stream of items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from batchinfer.domain import Item, RemoteFile
from batchinfer.errors import SourceError, SourceUnavailable
from batchinfer.inputs import ListedInput, UriScheme, find_container
from batchinfer.inputs.uri_scheme import call_plugin
from batchinfer.inputs.uri_secrets import find_uri_secret
from batchinfer.ports import Notice
from batchinfer.sources.input_files import name_to_key, to_nfc
from batchinfer.sources.selection import Selection
from batchinfer.sources.skip_counts import SkipCounts, classify_by_extension
from batchinfer.sources.system_files import classify_system_file, classify_system_folder
from batchinfer.text_format import escape_undecodable

_MARKER_KIND: Final = "folder marker"


@dataclass(slots=True)
class UriSource:
    """What `scheme` lists for `uri`, as far as `selection` takes it."""

    uri: str
    scheme: UriScheme = field(repr=False)
    file_param: str
    selection: Selection = field(default_factory=Selection)
    key_prefix: str = ""
    """What the keys begin with, before the names that the scheme lists."""
    skipped: SkipCounts = field(default_factory=SkipCounts)
    """What the latest iteration took and skipped."""
    is_exhausted: bool = False
    """Whether the latest iteration came to its end."""
    notices: tuple[Notice, ...] = ()

    def check(self) -> None:
        """Raises SourceError when the URI cannot be listed, or holds a password."""
        if secret := find_uri_secret(find_container(self.uri)):
            raise SourceError(
                f"A source's address must not hold {secret}: it is stored with the run. Remove it "
                "from the address, and give it in [source], or as the source's package asks for it."
            )
        if reason := explain_uri_absence(self.scheme, self.uri):
            raise SourceUnavailable(f"{reason}.")

    def __iter__(self) -> Iterator[Item]:
        """Items as they are listed. Raises SourceError when the listing breaks off."""
        self.skipped.clear()
        self.is_exhausted = False
        listing = call_plugin(iter, call_plugin(self.scheme.list_inputs, self.uri))
        try:
            while (listed := call_plugin(next, listing, None)) is not None:
                if kind := listed.skipped_as or self._find_skip_kind(listed):
                    self.skipped.add(kind)
                else:
                    self.skipped.taken += 1
                    yield self._make_item(listed)
        except OSError as error:
            raise SourceUnavailable(f"{_describe_error(self.uri, error)}.") from error
        self.is_exhausted = True

    def _find_skip_kind(self, listed: ListedInput) -> str | None:
        """As what an input is skipped; None: it is taken."""
        if listed.stat is not None and not listed.stat.is_regular:
            return _MARKER_KIND
        key = listed.key
        name = key.rpartition("/")[2]
        kind = classify_system_file(name)
        if kind and to_nfc(name).casefold() not in self.selection.literal_names:
            return kind
        folders = key.split("/")[:-1]
        for depth, folder in enumerate(folders, 1):
            if (kind := classify_system_folder(folder)) and (
                to_nfc(folder).casefold() not in self.selection.literal_names
            ):
                return kind
            if not self.selection.allows_folder("/".join(folders[:depth])):
                return f"{folder}/"
        return None if self.selection.includes(key) else classify_by_extension(name)

    def _make_item(self, listed: ListedInput) -> Item:
        now = listed.stat
        if now is None:
            file = RemoteFile(self.file_param, listed.uri)
        else:
            file = RemoteFile(self.file_param, listed.uri, now.size, now.mtime_ns, now.fingerprint)
        key = name_to_key(self.key_prefix + listed.key) if self.key_prefix else listed.key
        return Item(key, (file,))


def explain_uri_absence(scheme: UriScheme, uri: str) -> str | None:
    """Why what a URI names cannot be listed; None: it can. Blocks."""
    try:
        call_plugin(scheme.check, uri)
    except (OSError, SourceError) as error:
        return _describe_error(uri, error)
    return None


def _describe_error(uri: str, error: OSError | SourceError) -> str:
    source = escape_undecodable(find_container(uri))
    if isinstance(error, FileNotFoundError):
        return f"the source {source} is not there"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"the source {source} cannot be read ({reason.rstrip('.')})"
