"""What a plugin implements to be a source of inputs, and how it is found by the scheme of a URI.

A plugin is a class without constructor arguments, installed under the entry point group
`batchinfer.sources`; its name is the scheme. `batchinfer run toy://shelf/photos` sends what the
plugin of the name `toy` lists for that URI.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import BinaryIO, Final, NamedTuple, ParamSpec, Protocol, TypeVar, runtime_checkable

from batchinfer.errors import BatchInferError
from batchinfer.plugins import Registry

P = ParamSpec("P")
R = TypeVar("R")

URI_SCHEMES: Final[Registry[type[UriScheme]]] = Registry(
    "batchinfer.sources",
    {
        "s3": "batchinfer.remote.s3_scheme:S3Scheme",
        "bucket": "batchinfer.remote.s3_scheme:BucketScheme",
        "https": "batchinfer.remote.web_scheme:WebScheme",
        "http": "batchinfer.remote.web_scheme:WebScheme",
        "table": "batchinfer.inputs.table_cells:TableCells",
        "archive": "batchinfer.archives.archive_scheme:ArchiveScheme",
        "frame": "batchinfer.videos.frame_scheme:FrameScheme",
    },
)
_RESERVED_SCHEME: Final = "file"
"""Local files are named by plain paths."""
_URI_PATTERN: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+)://", re.IGNORECASE)


class SourceAwayError(OSError):
    """Not this input cannot be read but none of its source: no item is at fault.

    Keys that are refused or have expired, a bucket or a server that is not there. `strerror` says
    so to people.
    """


class InputStat(NamedTuple):
    """What can be seen of an input without reading it."""

    size: int
    """Bytes."""
    mtime_ns: int | None = None
    """Modification time in ns since the epoch; None: unknown."""
    fingerprint: str | None = None
    """Another text whenever the content is another (an ETag, a version); None: unknown."""
    is_regular: bool = True
    """False for what has no content of its own: a folder, a device, a pipe."""


class ListedInput(NamedTuple):
    """One input that a URI stands for."""

    key: str
    """The item's name, `/`-separated, below the URI that was listed; unique in the listing."""
    uri: str
    """What `stat` and `open` take."""
    stat: InputStat | None = None
    """None: not known before it is opened."""
    skipped_as: str | None = None
    """As what it is skipped and counted, if it cannot be an input (its key counts for nothing)."""


class UriScheme(Protocol):
    """Inputs that are named by the URIs of one scheme.

    An input that is not there is a FileNotFoundError, trouble of a server or a network any other
    OSError (of which ConnectionError and TimeoutError are tried again, and SourceAwayError is no
    item's fault); other exceptions count as OSError. All methods block, and several threads call
    them at once. Messages must not hold a secret; secrets come from the environment, never from a
    URI, which is stored with the run.

    A scheme may have further methods, which are found by their names:

    * `open_input(uri) -> OpenInput` (`InputOpener`): one look and one opening, where `stat` and
      `open` cost more;
    * `find_container(uri) -> str`: path or URI of the one file that an input lies in (see also
      `ContainedInputs`);
    * `explain_wait(uri) -> str | None`: why inputs have to be waited for now, and none is failed.
    """

    def check(self, uri: str) -> None:
        """Check that `uri` can be listed. Raises OSError when not.

        Also asked when an input cannot be read: an error then says that all of them are away, and
        no item is failed for it.
        """

    def list_inputs(self, uri: str) -> Iterator[ListedInput]:
        """List the inputs below `uri`: unchanged, they come in the same order each time."""

    def stat(self, uri: str) -> InputStat:
        """Look at one input."""

    def open(self, uri: str) -> BinaryIO:
        """Open one input for reading from its beginning."""


class OpenInput(Protocol):
    """An input that is open, and what was seen of it when it was opened."""

    @property
    def size(self) -> int:
        """As in `InputStat`."""

    @property
    def mtime_ns(self) -> int | None:
        """As in `InputStat`."""

    @property
    def fingerprint(self) -> str | None:
        """As in `InputStat`."""

    @property
    def is_regular(self) -> bool:
        """As in `InputStat`."""

    def read(self, size: int) -> bytes:
        """Read on: `size` bytes, fewer only at its end."""

    def has_changed(self) -> bool:
        """Whether it is another now than when it was opened."""

    def close(self) -> None:
        """Close it."""


@runtime_checkable
class InputOpener(Protocol):
    """A scheme that opens an input and looks at it in one."""

    def open_input(self, uri: str) -> OpenInput:
        """Open one input; what was seen of it and what is read are of the same version."""


def get_scheme_name(path: str) -> str | None:
    """The scheme that a text begins with as URIs do, in small letters; None: it is no URI."""
    if path.startswith("/") or (match := _URI_PATTERN.match(path)) is None:
        return None
    return match["scheme"].lower()


def find_uri_scheme(path: str) -> UriScheme | None:
    """The plugin that the scheme of a URI belongs to; None: it is a plain path, or none is known.

    Raises PluginError when the plugin is installed and cannot be loaded.
    """
    name = get_scheme_name(path)
    if name is None or name == _RESERVED_SCHEME:
        return None
    try:
        return _load_scheme(name)
    except KeyError:
        return None


def find_container(path: str) -> str:
    """The file that an input lies in, as an archive; the path itself where that is a file."""
    if (scheme := find_uri_scheme(path)) is None:
        return path
    find: Callable[[str], str] | None = getattr(scheme, "find_container", None)
    try:
        return path if find is None else call_plugin(find, path)
    except OSError:  # it names none
        return path


def explain_wait(path: str) -> str | None:
    """Why an input has to be waited for now; None: it has not."""
    scheme = find_uri_scheme(path)
    explain: Callable[[str], str | None] | None = getattr(scheme, "explain_wait", None)
    return None if explain is None else call_plugin(explain, path)


def call_plugin(method: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What a plugin's method returns; whatever else it raises comes out as OSError."""
    try:
        return method(*args, **kwargs)
    except (OSError, BatchInferError, MemoryError):
        raise
    except Exception as error:
        raise OSError(errno.EIO, f"{type(error).__name__}: {error}") from error


@cache
def _load_scheme(name: str) -> UriScheme:
    """One object for each scheme. Raises KeyError, which is not remembered."""
    return URI_SCHEMES.get(name)()
