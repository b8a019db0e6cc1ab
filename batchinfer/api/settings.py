"""What overrules the configuration from Python, as the flags do on the command line."""

from __future__ import annotations

from typing import TypedDict

from batchinfer.domain import Json


class Settings(TypedDict, total=False):
    """What overrules the configuration, as the flags of `batchinfer run` do."""

    mode: str
    protocol: str
    concurrency: int | str
    rate: float | str
    timeout: float | str
    bandwidth: float | str
    memory: int | str
    max_reply: int | str
    deadline: float | str
    cold_start: float | str
    give_up_after: float | str
    hedge: bool
    max_attempts: int
    max_failures: int | str
    include: str | list[str]
    exclude: str | list[str]
    only: str | list[str]
    glob: str | list[str]
    file_param: str
    params: dict[str, Json]


def settings_to_flags(settings: Settings) -> dict[str, object]:
    """Settings as `config.load_config` names them: `section.first_key`."""
    flags: dict[str, object] = {}
    for name, value in settings.items():
        match name, value:
            case "params", dict():
                flags |= {f"params.{param}": each for param, each in value.items()}
            case "protocol", _:
                flags["service.protocol"] = value
            case "include" | "exclude" | "only" | "glob" | "file_param", _:
                flags[f"input.{name}"] = value
            case _:
                flags[f"run.{name}"] = value
    return flags
