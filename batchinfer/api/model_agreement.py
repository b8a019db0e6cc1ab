"""Whether several services of a run have the same model: their descriptions are compared."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import anyio

from batchinfer.config import RunSettings
from batchinfer.domain import Failure
from batchinfer.errors import RunAborted
from batchinfer.ports import Notice
from batchinfer.protocols.inference_protocol import InferenceProtocol
from batchinfer.protocols.model_schema import ModelSchema, Parameter

OTHERS_TIMEOUT: Final = 10.0
"""Seconds that the other services are waited for, once one has described its model."""
_MAX_LISTED_DIFFERENCES: Final = 6


async def ask_all_services(
    settings: RunSettings, ask: Callable[[RunSettings], Awaitable[str | Failure]]
) -> Mapping[str, str | Failure | RunAborted]:
    """The answer of each service, by its name; of one that is slow beside the others, none.

    `ask` returns a description, or why there is none; what would end a run is a value here.
    """
    answers: dict[str, str | Failure | RunAborted] = {}
    async with anyio.create_task_group() as group:

        async def ask_one(each: RunSettings) -> None:
            name = each.service_name or ""
            try:
                answers[name] = await ask(each)
            except RunAborted as error:
                answers[name] = error
            if isinstance(answers[name], str):
                group.cancel_scope.deadline = min(
                    group.cancel_scope.deadline, anyio.current_time() + OTHERS_TIMEOUT
                )

        services = settings.split_by_service()
        for each in services:
            group.start_soon(ask_one, each)
    names = [each.service_name or "" for each in services]
    return {name: answers[name] for name in names if name in answers}


def find_disagreements(protocol: InferenceProtocol, helps: Mapping[str, str]) -> Sequence[str]:
    """In what the models of services differ, in sentences; none: they agree.

    `helps`: what each service answered, by its name.
    """
    sentences: list[str] = []
    (first, first_help), *others = helps.items()
    for name, text in others:
        software, other_software = protocol.find_software(first_help), protocol.find_software(text)
        if software is not None and other_software is not None and software != other_software:
            sentences.append(
                f"{first} runs {software.name} {software.version}, {name} runs "
                f"{other_software.name} {other_software.version}."
            )
        schema, other_schema = protocol.parse_help(first_help), protocol.parse_help(text)
        if schema is not None and other_schema is not None:
            sentences += _compare_schemas(first, schema, name, other_schema)
    return sentences


def make_disagreement_notice(sentences: Sequence[str]) -> Notice:
    """A warning: results of one run may come from different models."""
    return Notice(
        "services_differ",
        f"The services do not have the same model: {' '.join(sentences)} Their results are not "
        "comparable; to use only one, name it with --service.",
    )


def _compare_schemas(
    first: str, schema: ModelSchema, second: str, other: ModelSchema
) -> Sequence[str]:
    differences = [
        *(f'only {first} has "{name}"' for name in schema.names if name not in other.names),
        *(f'only {second} has "{name}"' for name in other.names if name not in schema.names),
        *(
            f'"{name}" is not the same'
            for name, each in schema.names.items()
            if name in other.names and _differs(each, other.names[name])
        ),
    ]
    if not differences:
        return []
    more = len(differences) - _MAX_LISTED_DIFFERENCES
    listed = differences[:_MAX_LISTED_DIFFERENCES] + ([f"and {more} more"] if more > 0 else [])
    return [f"Parameters of {first} and {second}: {', '.join(listed)}."]


def _differs(one: Parameter, other: Parameter) -> bool:
    return (one.type, one.default, one.required, one.choices, one.is_file) != (
        other.type,
        other.default,
        other.required,
        other.choices,
        other.is_file,
    )
