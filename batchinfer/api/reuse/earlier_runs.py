"""Which earlier runs may be used: those that sent the same way to the same model.

Service (or bucket), mode, protocol and the file's parameter must be the same, and so must be what
the model says of itself (its help). What cannot be compared is not used: a value that came from
`${NAME}` may have been another one then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from batchinfer.api.job import ResolvedJob, require_run
from batchinfer.api.reuse.earlier_results import EarlierResults
from batchinfer.config.diff import find_differences
from batchinfer.domain import Json
from batchinfer.errors import ConfigError, StoreError, option
from batchinfer.ports import Notice
from batchinfer.protocols.inference_protocol import InferenceProtocol
from batchinfer.protocols.registry import OPTIONS_SECTION, load_protocol
from batchinfer.store.reply_index import INDEX_MIN_VERSION, ReplyIndex
from batchinfer.store.run_reader import RunReader


def check_earlier_runs(resolved: ResolvedJob) -> None:
    """Raises ConfigError when an earlier run cannot be read."""
    for name in resolved.settings.reuse:
        with _open_run(Path(name), resolved):
            pass


@contextmanager
def open_earlier_results(resolved: ResolvedJob, model_help: str | None) -> Iterator[EarlierResults]:
    """The results of the earlier runs of a job, as far as they may be used.

    `model_help`: what the model says of itself now. Blocks while the runs are read. Raises
    ConfigError when a run is not there.
    """
    with ExitStack() as stack:
        readers, notices = [], []
        for name in dict.fromkeys(resolved.settings.reuse):
            reader = stack.enter_context(_open_run(Path(name), resolved))
            if reason := _find_obstacle(reader, resolved, model_help):
                notices.append(Notice("not_reused", f"Nothing of {name} is reused: {reason}."))
            else:
                readers.append(reader)
        folder = stack.enter_context(TemporaryDirectory(prefix="batchinfer-"))
        index = ReplyIndex(Path(folder) / "replies.db")
        stack.callback(index.close)
        count = sum(index.add_run(number, reader) for number, reader in enumerate(readers))
        index.sort()
        if readers:
            message = f"{count:,} earlier results can be reused where a file is the same."
            notices.append(Notice("reuse", message))
        yield EarlierResults(readers, index, resolved.config.params, notices)


def _open_run(directory: Path, resolved: ResolvedJob) -> RunReader:
    hint = f"name another one with {option('reuse')}, or {option('reuse', 'none')} to send all"
    if directory.absolute() == resolved.run.absolute():
        raise ConfigError(f"{directory} is the run itself: {hint}.")
    try:
        require_run(directory)
        return RunReader(directory)
    except StoreError as error:
        raise ConfigError(
            f"The results of {directory} cannot be reused: {error.message} Bring it back, {hint}."
        ) from None


def _find_obstacle(reader: RunReader, resolved: ResolvedJob, model_help: str | None) -> str | None:
    """Why the results of a run must not be taken over; None: they may be, where the same was sent.

    Parameters are compared item by item.
    """
    if reader.format_version < INDEX_MIN_VERSION:
        return (
            f"it is of an older format ({reader.format_version}), which does not keep what each "
            "call sent"
        )
    stored = {**reader.info.config, "params": {}}
    current = {**resolved.config.to_tables(), "params": {}}
    if differing := find_differences(stored, current):
        return f"it was made with {', '.join(differing)}"
    if names := [*_iter_references(reader.info.config), *_iter_references(current)]:
        return f"{names[0]} holds ${{NAME}}, which may have been something else then"
    if _has_reference(resolved.config.params):
        return "[params] holds ${NAME}, which may have been something else then"
    return _compare_models(
        load_protocol(resolved.settings.protocol, resolved.settings.protocol_options),
        reader.read_model_help(),
        model_help,
    )


def _compare_models(protocol: InferenceProtocol, then: str | None, now: str | None) -> str | None:
    if (then is None) != (now is None):
        which = "it" if then is None else "this run"
        return (
            f"{which} does not know which model answers ({option('validate', 'False')}, or no help "
            "from the service)"
        )
    if then is None or now is None or then == now:
        return None
    if protocol.find_software(then) != protocol.find_software(now):
        return "the service runs other software now"
    was, is_now = protocol.parse_help(then), protocol.parse_help(now)
    return None if was is not None and was == is_now else "the model describes itself otherwise now"


def _iter_references(tables: Mapping[str, Json]) -> Iterator[str]:
    """The settings that say what is asked, and were not written out."""
    for section, keys in (
        ("service", ("endpoint", "protocol")),
        ("bucket", ("endpoint", "name")),
        ("input", ("file_param",)),
        ("params", None),
        (OPTIONS_SECTION, None),
    ):
        table = tables.get(section)
        if not isinstance(table, Mapping):
            continue
        chosen = table if keys is None else {key: table[key] for key in keys if key in table}
        for key, value in chosen.items():
            if _has_reference(value):
                yield f"[{section}] {key}"


def _has_reference(value: Json) -> bool:
    return "${" in json.dumps(value)
