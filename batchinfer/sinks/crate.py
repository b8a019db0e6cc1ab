"""An RO-Crate 1.1: a folder of results that says itself where they come from.

ro-crate-metadata.json         what is what, as JSON-LD (https://w3id.org/ro/crate/1.1)
results.jsonl, results.csv     the items, as the exports of these names write them
outputs/                       predictions that are bytes, by the names they have in the rows
model-help.txt                 what the model takes, as its service told,
model-parameters.json          and the same as data

The whole is one action: the predictions of the items in this crate, by a service, driven by
batchinfer, from the making of the run to the latest outcome; items that were made with other
parameters than the run's (`--force`) have an action of their own, with these. Inputs are described,
not copied: their `sha256` is that of the bytes that were sent. One pass over the run writes all, so
that its parts agree also while the run is going on.

Who made it, and under which licence, nobody told: that is left to be filled in, not invented.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Final

from batchinfer.domain import Json, Result, RunInfo, State
from batchinfer.oscar.schema import parse_help
from batchinfer.sinks.book import Book
from batchinfer.sinks.cells import json_text, printable
from batchinfer.sinks.crate_context import BATCHINFER, PROFILE, SERVICE, parameters, software
from batchinfer.sinks.crate_parts import Entity, Parts, references
from batchinfer.sinks.left_out import LeftOut
from batchinfer.sinks.rows import line, write_csv

METADATA: Final = "ro-crate-metadata.json"
JSONL: Final = "results.jsonl"
CSV: Final = "results.csv"
HELP: Final = "model-help.txt"
PARAMETERS: Final = "model-parameters.json"
_SPECIFICATION: Final = "https://w3id.org/ro/crate/1.1"
_CONTEXT: Final = (f"{_SPECIFICATION}/context", {"sha256": "http://schema.org/sha256"})
"""Version 1.1 does not know `sha256` yet; this is how the next one has it."""
_LICENCE: Final = (
    "Not stated. Whoever publishes this has to say here under which terms it may be used."
)
"""The specification demands the property, and allows a text."""


@dataclass(slots=True)
class _Tally:
    """What became of the items."""

    states: Counter[State] = field(default_factory=Counter)
    end: str | None = None
    """Of the latest outcome, ISO 8601."""

    def add(self, result: Result) -> None:
        self.states[result.state] += 1
        if result.finished_at is not None:
            self.end = max(self.end or "", result.finished_at)

    @property
    def status(self) -> str:
        """Schema.org's word for it."""
        if not self.states:
            return "Potential"
        if self.states.keys() - {State.SUCCEEDED, State.FAILED}:
            return "Active"
        return "Completed" if self.states[State.SUCCEEDED] else "Failed"

    def __str__(self) -> str:
        told = [f"{self.states[state]:,} {state.value}" for state in State if self.states[state]]
        return f"Items: {', '.join(told) or 'none'}."


def write(book: Book, folder: Path) -> int:
    """The folder; how many items."""
    left_out = LeftOut()
    with Parts(folder, book.others) as parts:
        tally = _results(book, parts, folder, left_out)
        _model(book, parts, folder)
        with (folder / METADATA).open("xb") as file:
            file.write(b'{"@context":' + json_text(_CONTEXT) + b',\n"@graph":[')
            for number, entity in enumerate(_graph(book, parts, tally)):
                file.write(b",\n" if number else b"\n")
                file.writelines(entity)
            file.write(b"\n]}\n")
    left_out.tell(book)
    return tally.states.total()


def _results(book: Book, parts: Parts, folder: Path, left_out: LeftOut) -> _Tally:
    """Write the rows, and learn of each item what the metadata tell."""
    tally = _Tally()
    with ExitStack() as stack:
        lines = stack.enter_context((folder / JSONL).open("xb"))
        table = stack.enter_context((folder / CSV).open("xb"))

        def results() -> Iterator[Result]:
            for dossier in book.dossiers():
                result = dossier.result
                tally.add(result)
                if not parts.output(dossier, book, parts.inputs(dossier)):
                    why = "its file is not in the run directory"
                    left_out.add("prediction", why, result.key)
                lines.write(line(result))
                yield result

        plain = replace(book.options, csv_bom=False)
        write_csv(replace(book, results=results, options=plain, scratch=None), table)
    told = "One row per item: its state, prediction or failure, times, file and parameters"
    parts.local(JSONL, "result", JSONL, "application/x-ndjson", description=told)
    parts.local(CSV, "result", CSV, "text/csv", description=told)
    return tally


def _model(book: Book, parts: Parts, folder: Path) -> None:
    """Write down what the model takes, if it told."""
    if book.help is None:
        return
    (folder / HELP).write_bytes(printable(book.help).encode())
    parts.local(HELP, "model", "The model's help, as its service answered", "text/plain")
    if schema := parse_help(book.help):
        takes = [parameter.as_json() for parameter in schema.parameters]
        (folder / PARAMETERS).write_bytes(json_text(takes) + b"\n")
        name = "The model's parameters, read from its help"
        parts.local(PARAMETERS, "model", name, "application/json")


def _graph(book: Book, parts: Parts, tally: _Tally) -> Iterator[Iterable[bytes]]:
    """Every entity, each as pieces of JSON."""
    info = book.info
    apart = parts.used_apart()
    params = {0: list(parameters(info.config.get("params")))}
    params |= {each: list(parameters(book.others[each], each)) for each in apart}
    descriptor: Entity = {
        "@id": METADATA,
        "@type": "CreativeWork",
        "conformsTo": {"@id": _SPECIFICATION},
        "about": {"@id": "./"},
    }
    yield _pieces(descriptor)
    actions = iter([_name(info, session) for session in params])
    yield _pieces(_root(info, tally), hasPart=parts.ids(), mentions=actions)
    for session, sent in params.items():
        inputs = parts.ids_of("input", session) if apart else parts.ids("input")
        given = chain(inputs, [str(each["@id"]) for each in sent])
        results = parts.ids_of("result", session) if apart else parts.ids("result")
        yield _pieces(_action(info, tally, session), object=given, result=results)
    for entity in (*software(book, list(parts.ids("model"))), *chain(*params.values())):
        yield _pieces(entity)
    for described in parts.entities():
        yield (described,)


def _root(info: RunInfo, tally: _Tally) -> Entity:
    return {
        "@id": "./",
        "@type": "Dataset",
        "identifier": info.id,
        "name": f"Predictions of the run {info.id}",
        "description": f"What a model made of each item of a set of inputs. {tally}",
        "datePublished": tally.end or _time(info.created_at),
        "license": _LICENCE,
        "conformsTo": {"@id": PROFILE},
    }


def _name(info: RunInfo, session: int) -> str:
    return f"#run-{info.id}-session-{session}" if session else f"#run-{info.id}"


def _action(info: RunInfo, tally: _Tally, session: int) -> Entity:
    """The run; or what one session of it did with other parameters than the run's."""
    told = f"{tally} What became of each, and its own parameters, stands in {CSV}."
    if session:
        told = f"Items that were made with other parameters than the run's; {CSV} says which."
    action: dict[str, Json] = {
        "@id": _name(info, session),
        "@type": "CreateAction",
        "name": f"The run {info.id}" + (f", session {session}" if session else ""),
        "description": told,
        "instrument": references([SERVICE, BATCHINFER]),
        "startTime": _time(info.created_at),
        "actionStatus": {"@id": f"http://schema.org/{tally.status}ActionStatus"},
    }
    if tally.end and tally.status != "Active":
        action["endTime"] = tally.end
    if tally.status == "Failed":
        action["error"] = f"No item has a prediction; {CSV} says why."
    return action


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _pieces(entity: Entity, **lists: Iterator[str]) -> Iterator[bytes]:
    """An entity that has lists of references, however long.

    A single reference is no list, as compacted JSON-LD has it.
    """
    yield json_text(entity)[:-1]
    for name, ids in lists.items():
        first, second = next(ids, None), next(ids, None)
        if first is None:
            continue
        yield f',"{name}":'.encode()
        if second is None:
            yield json_text({"@id": first})
            continue
        yield b"[" + json_text({"@id": first})
        for each in chain((second,), ids):
            yield b",\n" + json_text({"@id": each})
        yield b"]"
    yield b"}"
