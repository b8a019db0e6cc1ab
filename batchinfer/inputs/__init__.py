"""Opening the inputs of a run, wherever they are: files of this machine, or URIs.

No other package opens an input or asks for its size and time. `opener` takes a path as it stands
in `InputFile.path`; `uri_scheme` is what a scheme or a plugin implements; `local_files` is the one
for plain paths, and `unchanged_files` the short way to those that are as their source saw them.
`source_access` holds addresses and credentials of what is remote, `uri_secrets` keeps them out of
URIs.
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
    InputOpener,
    InputStat,
    ListedInput,
    OpenInput,
    SourceAwayError,
    UriScheme,
    explain_wait,
    find_container,
    find_uri_scheme,
)

__all__ = [
    "InputOpener",
    "InputStat",
    "InputTooLargeError",
    "ListedInput",
    "NotRegularFileError",
    "OpenInput",
    "SourceAwayError",
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
