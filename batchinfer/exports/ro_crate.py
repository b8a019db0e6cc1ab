"""An RO-Crate 1.1: a folder of results that says itself where they come from.

ro-crate-metadata.json         what is what, as JSON-LD (https://w3id.org/ro/crate/1.1)
results.jsonl, results.csv     the items, as the exports of these names write them
outputs/                       predictions that are bytes, by the names they have in the rows
model-help.txt                 the model's help, as its service returned it,
model-parameters.json          and the same as data

The run is one action: the predictions of the items in this crate, by a service, driven by
batchinfer, from the creation of the run to the latest outcome. Items that were sent with other
parameters than the run's (`--force`) have an action of their own. Inputs are described, not copied:
their `sha256` is that of the bytes that were sent. One pass over the run writes all files, so that
they agree also while the run is going on.

Author and licence are not known: they are left to be filled in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Final

from batchinfer.domain import Json, Result, RunInfo, State
from batchinfer.exports.export_format import FolderExport
from batchinfer.exports.export_source import ExportOptions, ExportSource
from batchinfer.exports.item_rows import ItemRow, Utf8Writer, encode_row, make_row, write_csv_rows
from batchinfer.exports.omissions import ExportOmissions
from batchinfer.exports.ro_crate_context import (
    BATCHINFER_ID,
    PROCESS_RUN_PROFILE_URL,
    SERVICE_ID,
    iter_parameters,
    iter_software,
)
from batchinfer.exports.ro_crate_files import CrateEntity, CrateFiles, make_references
from batchinfer.exports.safe_text import encode_strict_json
from batchinfer.protocols.registry import find_run_protocol
from batchinfer.text_format import escape_undecodable

RO_CRATE_METADATA_FILE: Final = "ro-crate-metadata.json"
RESULTS_JSONL_FILE: Final = "results.jsonl"
RESULTS_CSV_FILE: Final = "results.csv"
MODEL_HELP_FILE: Final = "model-help.txt"
MODEL_PARAMETERS_FILE: Final = "model-parameters.json"
_RO_CRATE_SPEC_URL: Final = "https://w3id.org/ro/crate/1.1"
_JSONLD_CONTEXT: Final = (f"{_RO_CRATE_SPEC_URL}/context", {"sha256": "http://schema.org/sha256"})
"""Version 1.1 does not know `sha256` yet; this is how the next one has it."""
_LICENCE_PLACEHOLDER: Final = (
    "Not stated. Whoever publishes this has to say here under which terms it may be used."
)
"""The specification demands the property, and allows a text."""


@dataclass(slots=True)
class _ItemCounts:
    """What became of the items."""

    by_state: Counter[State] = field(default_factory=Counter)
    latest_finished_at: str | None = None
    """Of the latest outcome, ISO 8601."""

    def add(self, result: Result) -> None:
        self.by_state[result.state] += 1
        if result.finished_at is not None:
            self.latest_finished_at = max(self.latest_finished_at or "", result.finished_at)

    @property
    def action_status(self) -> str:
        """Schema.org's word for it."""
        if not self.by_state:
            return "Potential"
        if self.by_state.keys() - {State.SUCCEEDED, State.FAILED}:
            return "Active"
        return "Completed" if self.by_state[State.SUCCEEDED] else "Failed"

    def __str__(self) -> str:
        counted = [
            f"{self.by_state[state]:,} {state.value}" for state in State if self.by_state[state]
        ]
        return f"Items: {', '.join(counted) or 'none'}."


class RoCrateExport(FolderExport):
    """The results and their metadata."""

    name = "ro-crate"
    unit = "item"
    description = "an item, with where it comes from"
    consumers = "Zenodo, WorkflowHub, `rocrate`"
    options = frozenset(("formulas",))
    has_own_marker = True

    def write(self, source: ExportSource, folder: Path, options: ExportOptions) -> int:
        """See `FolderExport`."""
        omissions = ExportOmissions()
        with CrateFiles(folder, source.session_params) as crate_files:
            counts = _write_results(source, crate_files, folder, omissions, options)
            _write_model_files(source, crate_files, folder)
            with (folder / RO_CRATE_METADATA_FILE).open("xb") as file:
                file.write(b'{"@context":' + encode_strict_json(_JSONLD_CONTEXT) + b',\n"@graph":[')
                for number, entity in enumerate(_iter_graph(source, crate_files, counts)):
                    file.write(b",\n" if number else b"\n")
                    file.writelines(entity)
                file.write(b"\n]}\n")
        omissions.report(source)
        return counts.by_state.total()


def _write_results(
    source: ExportSource,
    crate_files: CrateFiles,
    folder: Path,
    omissions: ExportOmissions,
    options: ExportOptions,
) -> _ItemCounts:
    """Write the rows, and collect what the metadata say of each item."""
    counts = _ItemCounts()
    with ExitStack() as stack:
        jsonl_file = stack.enter_context((folder / RESULTS_JSONL_FILE).open("xb"))
        csv_file = stack.enter_context((folder / RESULTS_CSV_FILE).open("xb"))

        def iter_rows() -> Iterator[ItemRow]:
            for details in source.iter_details():
                result = details.result
                counts.add(result)
                if not crate_files.add_output(details, source, crate_files.add_inputs(details)):
                    reason = "its file is not in the run directory"
                    omissions.add("prediction", reason, result.key)
                row = make_row(result)
                jsonl_file.write(encode_row(row))
                yield row

        write_csv_rows(iter_rows(), Utf8Writer(csv_file), formulas=options.formulas)
    description = "One row per item: its state, prediction or failure, times, file and parameters"
    crate_files.add_local_file(
        RESULTS_JSONL_FILE,
        "result",
        RESULTS_JSONL_FILE,
        "application/x-ndjson",
        description=description,
    )
    crate_files.add_local_file(
        RESULTS_CSV_FILE, "result", RESULTS_CSV_FILE, "text/csv", description=description
    )
    return counts


def _write_model_files(source: ExportSource, crate_files: CrateFiles, folder: Path) -> None:
    """Write the model's help and parameters, if they are known."""
    if source.model_help is None:
        return
    (folder / MODEL_HELP_FILE).write_bytes(escape_undecodable(source.model_help).encode())
    crate_files.add_local_file(
        MODEL_HELP_FILE, "model", "The model's help, as its service answered", "text/plain"
    )
    protocol = find_run_protocol(source.info)
    if protocol is not None and (schema := protocol.parse_help(source.model_help)):
        parameters_json = [parameter.as_json() for parameter in schema.parameters]
        (folder / MODEL_PARAMETERS_FILE).write_bytes(encode_strict_json(parameters_json) + b"\n")
        name = "The model's parameters, read from its help"
        crate_files.add_local_file(MODEL_PARAMETERS_FILE, "model", name, "application/json")


def _iter_graph(
    source: ExportSource, crate_files: CrateFiles, counts: _ItemCounts
) -> Iterator[Iterable[bytes]]:
    """Every entity, each as pieces of JSON."""
    info = source.info
    separate_sessions = crate_files.list_separate_sessions()
    params = {0: list(iter_parameters(info.config.get("params")))}
    params |= {
        session_number: list(iter_parameters(source.session_params[session_number], session_number))
        for session_number in separate_sessions
    }
    descriptor: CrateEntity = {
        "@id": RO_CRATE_METADATA_FILE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": _RO_CRATE_SPEC_URL},
        "about": {"@id": "./"},
    }
    yield _iter_json_chunks(descriptor)
    action_ids = iter([_make_action_id(info, session) for session in params])
    yield _iter_json_chunks(
        _make_root_entity(info, counts), hasPart=crate_files.iter_ids(), mentions=action_ids
    )
    for session, session_parameters in params.items():
        input_ids = (
            crate_files.iter_session_ids("input", session)
            if separate_sessions
            else crate_files.iter_ids("input")
        )
        input_ids_and_parameters = chain(
            input_ids, [str(each["@id"]) for each in session_parameters]
        )
        result_ids = (
            crate_files.iter_session_ids("result", session)
            if separate_sessions
            else crate_files.iter_ids("result")
        )
        yield _iter_json_chunks(
            _make_action(info, counts, session), object=input_ids_and_parameters, result=result_ids
        )
    for entity in (
        *iter_software(source, list(crate_files.iter_ids("model"))),
        *chain(*params.values()),
    ):
        yield _iter_json_chunks(entity)
    for encoded_entity in crate_files.iter_entities():
        yield (encoded_entity,)


def _make_root_entity(info: RunInfo, counts: _ItemCounts) -> CrateEntity:
    return {
        "@id": "./",
        "@type": "Dataset",
        "identifier": info.id,
        "name": f"Predictions of the run {info.id}",
        "description": f"What a model made of each item of a set of inputs. {counts}",
        "datePublished": counts.latest_finished_at or _format_time(info.created_at),
        "license": _LICENCE_PLACEHOLDER,
        "conformsTo": {"@id": PROCESS_RUN_PROFILE_URL},
    }


def _make_action_id(info: RunInfo, session: int) -> str:
    return f"#run-{info.id}-session-{session}" if session else f"#run-{info.id}"


def _make_action(info: RunInfo, counts: _ItemCounts, session: int) -> CrateEntity:
    """The run; or what one session of it did with other parameters than the run's."""
    description = (
        f"{counts} What became of each, and its own parameters, stands in {RESULTS_CSV_FILE}."
    )
    if session:
        description = (
            f"Items that were made with other parameters than the run's; {RESULTS_CSV_FILE} says "
            "which."
        )
    action: dict[str, Json] = {
        "@id": _make_action_id(info, session),
        "@type": "CreateAction",
        "name": f"The run {info.id}" + (f", session {session}" if session else ""),
        "description": description,
        "instrument": make_references([SERVICE_ID, BATCHINFER_ID]),
        "startTime": _format_time(info.created_at),
        "actionStatus": {"@id": f"http://schema.org/{counts.action_status}ActionStatus"},
    }
    if counts.latest_finished_at and counts.action_status != "Active":
        action["endTime"] = counts.latest_finished_at
    if counts.action_status == "Failed":
        action["error"] = f"No item has a prediction; {RESULTS_CSV_FILE} says why."
    return action


def _format_time(timestamp: float) -> str:
    return (
        datetime.fromtimestamp(timestamp, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def _iter_json_chunks(
    entity: CrateEntity, **references_by_property: Iterator[str]
) -> Iterator[bytes]:
    """An entity that has lists of references, however long.

    A single reference is no list, as compacted JSON-LD has it.
    """
    yield encode_strict_json(entity)[:-1]
    for name, ids in references_by_property.items():
        first, second = next(ids, None), next(ids, None)
        if first is None:
            continue
        yield f',"{name}":'.encode()
        if second is None:
            yield encode_strict_json({"@id": first})
            continue
        yield b"[" + encode_strict_json({"@id": first})
        for each in chain((second,), ids):
            yield b",\n" + encode_strict_json({"@id": each})
        yield b"]"
    yield b"}"
