"""What a crate tells besides its files: the software, the service, the run's parameters. Pure.

Nothing here may be a secret: of an endpoint only the host is told, and the name at its end; a
`${NAME}` of the configuration stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from batchinfer._version import __version__
from batchinfer.domain import Json, Mode, RunInfo
from batchinfer.oscar.versions import deepaas_version
from batchinfer.sinks.addresses import host_and_name
from batchinfer.sinks.book import Book
from batchinfer.sinks.cells import json_text
from batchinfer.sinks.crate_parts import Entity, references

PROFILE: Final = "https://w3id.org/ro/wfrun/process/0.5"
"""How crates say that software ran over inputs; what reads such crates looks for it."""
SERVICE: Final = "#service"
BATCHINFER: Final = "#batchinfer"
_DEEPAAS: Final = "#deepaas"


def software(book: Book, schema: Sequence[str]) -> Iterator[Entity]:
    """What ran; `schema`: the ids of the files that say what the model takes."""
    profile, version = "Process Run Crate", PROFILE.rpartition("/")[2]
    yield {"@id": PROFILE, "@type": "CreativeWork", "name": profile, "version": version}
    yield _application(BATCHINFER, "batchinfer", __version__)
    service = _service(book.info)
    if schema:
        service["softwareHelp"] = references(schema)
    if (deepaas := deepaas_version(book.help or "")) is not None:
        service["softwareRequirements"] = {"@id": _DEEPAAS}
        yield _application(_DEEPAAS, "DEEPaaS", deepaas)
    yield service


def parameters(params: Json, session: int = 0) -> Iterator[Entity]:
    """What every item was given; what is no text, number or switch as JSON.

    `session`: that gave them, if they are not the run's.
    """
    items = params.items() if isinstance(params, Mapping) else ()
    prefix = f"#parameter-{session}-" if session else "#parameter-"
    for number, (name, value) in enumerate(items, 1):
        plain = isinstance(value, (str, int, float))
        yield {
            "@id": f"{prefix}{number}",
            "@type": "PropertyValue",
            "name": name,
            "value": value if plain else json_text(value).decode(),
        }


def _application(name: str, title: str, version: str) -> Entity:
    return {"@id": name, "@type": "SoftwareApplication", "name": title, "version": version}


def _service(info: RunInfo) -> dict[str, Json]:
    """The model as it is served."""
    endpoint = _text(info, "service", "endpoint")
    host, name = host_and_name(endpoint)
    how = "called synchronously"
    if info.mode is Mode.ASYNC:
        bucket = _text(info, "bucket", "name")
        name = name or bucket  # the platform gives both the same name
        store, _ = host_and_name(_text(info, "bucket", "endpoint"))
        how = f"reached through the bucket {bucket}" + (f" at {store}" if store else "")
    service: dict[str, Json] = {
        "@id": SERVICE,
        "@type": "SoftwareApplication",
        "name": name or f"The model of the run {info.id}",
        "description": f"A model on the AI4OS Inference platform (OSCAR), {how}",
    }
    scheme = endpoint.partition("://")[0]
    return {**service, "url": f"{scheme}://{host}"} if host else service


def _text(info: RunInfo, section: str, name: str) -> str:
    table = info.config.get(section)
    value = table.get(name) if isinstance(table, Mapping) else None
    return value if isinstance(value, str) else ""
