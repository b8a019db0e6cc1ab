"""What a model takes: the description that its service gives, kept in the run directory."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from batchinfer.api.deliveries import DELIVERIES
from batchinfer.api.job import require_run
from batchinfer.api.model_agreement import (
    ask_all_services,
    find_disagreements,
    make_disagreement_notice,
)
from batchinfer.config import Config, RunSettings, resolve_run_settings
from batchinfer.domain import Failure, Json, Mode
from batchinfer.errors import FatalError, RunAborted
from batchinfer.ports import Observer
from batchinfer.protocols.inference_protocol import InferenceProtocol
from batchinfer.protocols.model_schema import ModelSchema
from batchinfer.protocols.registry import find_run_protocol, load_protocol
from batchinfer.store.lock import RunLock
from batchinfer.store.run_reader import RunReader
from batchinfer.store.sqlite import SqliteStore


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What a model takes."""

    schema: ModelSchema
    help: str
    """What the service answered, secrets redacted."""
    unsendable: Mapping[str, str] = field(default_factory=dict)
    """Why parameters of these names cannot be sent."""

    def as_json(self) -> dict[str, Json]:
        """The object that `batchinfer describe --json` prints (docs/reference/scripting.md)."""
        parameters: list[Json] = [each.as_json() for each in self.schema.parameters]
        return {"parameters": parameters, "open": self.schema.accepts_unlisted, "help": self.help}


async def describe(
    config: Config,
    env: Mapping[str, str],
    observer: Observer,
    *,
    run: Path | None = None,
    mode: Mode | None = None,
    refresh: bool = False,
) -> ModelDescription:
    """What the model of a service takes; kept in `run`, and taken from there unless `refresh`.

    `mode`: how to ask; None: by a call, if the service's endpoint is configured, else through the
    bucket. Raises ConfigError, RunLocked, and RunAborted when the service gives no help.
    """
    if run is not None:
        require_run(run)
        if not refresh and (stored := load_stored_help(run)) is not None:
            return stored
    by_call = config.service.endpoint is not None
    mode = mode or (Mode.SYNC if by_call else config.mode)
    settings = resolve_run_settings(replace(config, run=replace(config.run, mode=mode)), env)
    with nullcontext() if run is None else RunLock(run):
        for notice in settings.notices:
            observer.notify(notice)
        answer = await fetch_description(settings, observer, cold_start_timeout=settings.cold_start)
        if isinstance(answer, Failure):
            raise RunAborted(answer.code, f"There is no help of the model: {answer.message}")
        if run is not None:
            async with SqliteStore.open(run) as store:
                await store.save_model_help(answer.help)
    return answer


def load_stored_help(run: Path) -> ModelDescription | None:
    """What the run keeps of its model's help."""
    with RunReader(run) as reader:
        protocol, text = find_run_protocol(reader.info), reader.read_model_help()
    return None if protocol is None or text is None else parse_description(protocol, text)


async def fetch_description(
    settings: RunSettings, observer: Observer, *, cold_start_timeout: float
) -> ModelDescription | Failure:
    """Ask, by a call or through the bucket; a service that is starting is waited for.

    Of several services each is asked, and the observer hears if their models differ.
    `cold_start_timeout`: seconds. Raises RunAborted for what would end a run.
    """

    async def ask(each: RunSettings) -> str | Failure:
        try:
            return await DELIVERIES[each.mode].fetch_help(
                each, observer, cold_start_timeout=cold_start_timeout
            )
        except FatalError as error:
            raise RunAborted(error.code, error.message) from None

    if len(settings.services) > 1:
        answer = _choose_answer(settings, await ask_all_services(settings, ask), observer)
    else:
        answer = await ask(settings.split_by_service()[0])
    if isinstance(answer, Failure):
        return answer
    description = parse_description(
        load_protocol(settings.protocol, settings.protocol_options), answer
    )
    return description or Failure("no_help", "what the service answers is none that can be read")


def _choose_answer(
    settings: RunSettings, answers: Mapping[str, str | Failure | RunAborted], observer: Observer
) -> str | Failure:
    """The first description there is, else the first failure. Raises RunAborted: nothing else."""
    helps = {name: answer for name, answer in answers.items() if isinstance(answer, str)}
    if helps:
        protocol = load_protocol(settings.protocol, settings.protocol_options)
        if sentences := find_disagreements(protocol, helps):
            observer.notify(make_disagreement_notice(sentences))
        return next(iter(helps.values()))
    for answer in answers.values():
        if isinstance(answer, Failure):
            return answer
    for answer in answers.values():
        if isinstance(answer, RunAborted):
            raise answer
    return Failure("no_help", "no service has described its model")


def parse_description(protocol: InferenceProtocol, text: str) -> ModelDescription | None:
    """What a description of a model says; None when it is none that can be read."""
    schema = protocol.parse_help(text)
    return (
        None
        if schema is None
        else ModelDescription(schema, text, _list_unsendable(protocol, schema))
    )


def _list_unsendable(protocol: InferenceProtocol, schema: ModelSchema) -> Mapping[str, str]:
    refusals = {name: protocol.encode_params({name: 0}, (), Mode.ASYNC) for name in schema.names}
    return {
        name: refusal.message.partition(": ")[2]
        for name, refusal in refusals.items()
        if isinstance(refusal, Failure)
    }
