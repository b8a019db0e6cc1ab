"""How a run's remote inputs are reached when nobody resolves its job: for exports and reports."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from batchinfer.config import get_stored_path, load_stored_config
from batchinfer.config.source_resolver import list_missing_source_secrets, resolve_source
from batchinfer.domain import Json
from batchinfer.errors import BatchInferError
from batchinfer.inputs.source_access import SourceAccess, SourceSettings, open_source_access
from batchinfer.store.run_reader import RunReader


def open_run_access(directory: Path) -> AbstractContextManager[SourceAccess]:
    """Bind what the run in a directory keeps of its configuration, completed by the environment.

    Nothing is read before the first remote input is opened.
    """
    return open_source_access(partial(_find_source_settings, directory, os.environ))


def _find_source_settings(directory: Path, env: Mapping[str, str]) -> SourceSettings:
    """What is missing, or cannot be read, is a problem for the inputs, and none of the export."""
    try:
        with RunReader(directory) as reader:
            stored = reader.info.config
        return _resolve_stored(stored, directory, env)
    except BatchInferError as error:
        return SourceSettings(problem=error.message, bucket_problem=error.message)


def _resolve_stored(
    stored: Mapping[str, Json], directory: Path, env: Mapping[str, str]
) -> SourceSettings:
    config = load_stored_config(stored, env, {}, run=directory)
    file = get_stored_path(stored)
    if list_missing_source_secrets(config, stored) and file is not None and file.is_file():
        config = load_stored_config(stored, env, {}, file, directory)
    return resolve_source(config, config.complete_environment(env))
