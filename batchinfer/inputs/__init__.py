"""Opening the inputs of a run, wherever they are: files of this machine, or URIs of a plugin.

No other package opens an input or asks for its size and time. `opener` takes a path as it stands
in `InputFile.path`; `uri_scheme` is what a plugin implements; `local_files` is the one for plain
paths, and `unchanged_files` the short way to those that are as their source saw them.
"""

from batchinfer.inputs.local_files import NotRegularFileError
from batchinfer.inputs.opener import (
    InputTooLargeError,
    is_local,
    may_be_readable,
    open_input,
    open_raw,
    open_stream,
    read_head,
    restat_file,
    stat_input,
)
from batchinfer.inputs.unchanged_files import read_unchanged
from batchinfer.inputs.uri_scheme import (
    InputStat,
    ListedInput,
    OpenInput,
    UriScheme,
    explain_wait,
    find_container,
    find_uri_scheme,
)

__all__ = [
    "InputStat",
    "InputTooLargeError",
    "ListedInput",
    "NotRegularFileError",
    "OpenInput",
    "UriScheme",
    "explain_wait",
    "find_container",
    "find_uri_scheme",
    "is_local",
    "may_be_readable",
    "open_input",
    "open_raw",
    "open_stream",
    "read_head",
    "read_unchanged",
    "restat_file",
    "stat_input",
]
