"""What a crate describes besides files: the software, the service, the run's parameters. Pure.

Nothing here may be a secret: of an endpoint only the host and the name at its end are used; a
`${NAME}` of the configuration is not expanded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from batchinfer._version import __version__
from batchinfer.domain import Json, RunInfo
from batchinfer.exports.export_source import ExportSource
from batchinfer.exports.ro_crate_files import CrateEntity, make_references
from batchinfer.exports.safe_endpoint import safe_host_and_name
from batchinfer.exports.safe_text import encode_strict_json
from batchinfer.protocols.registry import find_run_protocol

PROCESS_RUN_PROFILE_URL: Final = "https://w3id.org/ro/wfrun/process/0.5"
"""How crates say that software ran over inputs; what reads such crates looks for it."""
SERVICE_ID: Final = "#service"
BATCHINFER_ID: Final = "#batchinfer"


def iter_software(source: ExportSource, schema_file_ids: Sequence[str]) -> Iterator[CrateEntity]:
    """What ran; `schema`: the ids of the files that say what the model takes."""
    profile, version = "Process Run Crate", PROCESS_RUN_PROFILE_URL.rpartition("/")[2]
    yield {
        "@id": PROCESS_RUN_PROFILE_URL,
        "@type": "CreativeWork",
        "name": profile,
        "version": version,
    }
    yield _make_application(BATCHINFER_ID, "batchinfer", __version__)
    service = _make_service(source.info)
    if schema_file_ids:
        service["softwareHelp"] = make_references(schema_file_ids)
    protocol = find_run_protocol(source.info)
    software = protocol.find_software(source.model_help or "") if protocol else None
    if software is not None:
        software_id = f"#{software.name.lower()}"
        service["softwareRequirements"] = {"@id": software_id}
        yield _make_application(software_id, software.name, software.version)
    yield service


def iter_parameters(params: Json, session: int = 0) -> Iterator[CrateEntity]:
    """What every item was given; what is no text, number or switch as JSON.

    `session`: that gave them, if they are not the run's.
    """
    items = params.items() if isinstance(params, Mapping) else ()
    prefix = f"#parameter-{session}-" if session else "#parameter-"
    for number, (name, value) in enumerate(items, 1):
        is_plain = isinstance(value, (str, int, float))
        yield {
            "@id": f"{prefix}{number}",
            "@type": "PropertyValue",
            "name": name,
            "value": value if is_plain else encode_strict_json(value).decode(),
        }


def _make_application(entity_id: str, title: str, version: str) -> CrateEntity:
    return {"@id": entity_id, "@type": "SoftwareApplication", "name": title, "version": version}


def _make_service(info: RunInfo) -> dict[str, Json]:
    """The model as it is served."""
    endpoint = _get_config_text(info, "service", "endpoint")
    host, name = safe_host_and_name(endpoint)
    access = "called synchronously"
    if info.mode.uses_bucket:
        bucket = _get_config_text(info, "bucket", "name")
        name = name or bucket  # the platform gives both the same name
        bucket_host, _ = safe_host_and_name(_get_config_text(info, "bucket", "endpoint"))
        access = f"reached through the bucket {bucket}" + (
            f" at {bucket_host}" if bucket_host else ""
        )
    service: dict[str, Json] = {
        "@id": SERVICE_ID,
        "@type": "SoftwareApplication",
        "name": name or f"The model of the run {info.id}",
        "description": f"A model on the AI4OS Inference platform (OSCAR), {access}",
    }
    scheme = endpoint.partition("://")[0]
    return {**service, "url": f"{scheme}://{host}"} if host else service


def _get_config_text(info: RunInfo, section: str, name: str) -> str:
    table = info.config.get(section)
    value = table.get(name) if isinstance(table, Mapping) else None
    return value if isinstance(value, str) else ""
