"""Specs with a format: how a person asks for one, and which specs are lists."""

from __future__ import annotations

from collections.abc import Sequence

from batchinfer.errors import ConfigError, option
from batchinfer.inputs import is_local
from batchinfer.sources.list_detection import FILES_FROM_PREFIX, split_prefix
from batchinfer.sources.source_formats import AUTO_FORMAT, FORMAT_PREFIXES, detect_format


def mark_format(specs: Sequence[str], source_format: str) -> tuple[str, ...]:
    """Specs with the format that was asked for; one that says its own keeps it.

    Raises ConfigError for standard input, which is read as what it is.
    """
    if source_format == AUTO_FORMAT:
        return tuple(specs)
    if "-" in specs:
        raise ConfigError(
            f"{option('source_format', source_format)} goes with files and folders: standard input "
            "is read as CSV or JSON lines, whichever it is."
        )
    return tuple(
        [
            spec if split_prefix(spec)[0] or not is_local(spec) else f"{source_format}:{spec}"
            for spec in specs
        ]
    )


def is_list_spec(spec: str) -> bool:
    """Whether a spec names, by its format or its name, a file that lists files, or holds them."""
    prefix, path = split_prefix(spec)
    if prefix in FORMAT_PREFIXES:
        return prefix != "hf:" or detect_format(path) is not None
    if prefix or path == "-":
        return prefix == FILES_FROM_PREFIX or path == "-"
    return is_local(path) and detect_format(path) is not None


def is_same_format(given_prefix: str, run_prefix: str) -> bool:
    """Whether a spec can mean one of a run's, by what stands before their paths.

    What was given without a format can: the run knows it, asked for or found.
    """
    return given_prefix == run_prefix or (not given_prefix and run_prefix in FORMAT_PREFIXES)
