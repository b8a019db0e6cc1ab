"""The arguments that public functions share: paths, sources, and settings of the configuration."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias, TypedDict, Unpack

from batchinfer.api.job import AsyncPhase, Job
from batchinfer.config import ENV_FILE_FLAG, Config
from batchinfer.config import load_config as read_config
from batchinfer.domain import Json

StrPath: TypeAlias = str | os.PathLike[str]
"""A path, as text or as any object that stands for one (`pathlib.Path`, `Run`)."""
Sources: TypeAlias = StrPath | Sequence[StrPath]
"""Folders, patterns, files, manifests: one, or several. `files-from:LIST` and `as-file:FILE` mean
what `--files-from` and `--as-file` do."""


class Settings(TypedDict, total=False):
    """What overrides the configuration, for this process only.

    Each is a key of the configuration (docs/reference/config.md) and takes what that takes: a
    number of seconds or a text such as "10m" for a duration, a number of bytes or "1GB" for a size.
    """

    mode: str
    service: str | list[str]
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
    stop_after: float | str
    grace: float | str
    scratch: str
    include: str | list[str]
    exclude: str | list[str]
    only: str | list[str]
    glob: str | list[str]
    shard: str
    frames: str
    sample: int
    seed: int
    order: str
    reuse: str | list[str]
    watch: bool
    settle: float | str
    interval: float | str
    events: bool
    again_when_changed: bool
    until_idle: float | str
    file_param: str
    source_format: str
    params: dict[str, Json]
    protocol_options: dict[str, Json]
    on: str
    scheduler: str
    scheduler_file: str
    workers: int
    lease: float | str


def load_config(
    config: StrPath | Config | None = None,
    *,
    env_file: StrPath | None = None,
    **settings: Unpack[Settings],
) -> Config:
    """Read a configuration once, to be used for several runs as their argument `config`.

    Args:
        config: the configuration, as a file or as read before; None: what the environment says.
        env_file: a file of environment variables with the secrets.
        settings: override keys of the configuration, see `Settings`.

    Raises:
        ConfigError: the configuration cannot be read.
    """
    flags = _make_flags(env_file, settings)
    return read_config(to_config(config), os.environ, flags)


def settings_to_flags(settings: Settings) -> dict[str, object]:
    """Settings as `config.load_config` names them: `section.key`."""
    flags: dict[str, object] = {}
    for name, value in settings.items():
        match name, value:
            case "params", dict():
                flags |= {f"params.{param}": each for param, each in value.items()}
            case "protocol_options", dict():
                flags |= {f"protocol.{key}": each for key, each in value.items()}
            case "protocol", _:
                flags["service.protocol"] = value
            case (
                "include"
                | "exclude"
                | "only"
                | "glob"
                | "shard"
                | "frames"
                | "file_param"
                | "source_format",
                _,
            ):
                flags[f"input.{name}"] = value
            case "sample" | "seed" | "order", _:
                flags[f"input.{name}"] = value
            case "watch", _:
                flags["watch.enabled"] = value
            case "settle" | "interval" | "events" | "again_when_changed" | "until_idle", _:
                flags[f"watch.{name}"] = value
            case "on" | "scheduler" | "scheduler_file" | "workers" | "lease", _:
                flags[f"cluster.{name}"] = value
            case _:
                flags[f"run.{name}"] = value
    return flags


def build_job(
    run: StrPath,
    config: StrPath | Config | None = None,
    env_file: StrPath | None = None,
    settings: Settings | None = None,
    *,
    sources: Sources = (),
    moved_to: Sources = (),
    limit: int | None = None,
    force: bool = False,
    validate: bool = True,
    clean: bool = False,
    add: bool = False,
    moved: bool = False,
    phase: AsyncPhase = AsyncPhase.BOTH,
    client: object = None,
) -> Job:
    """The job that the arguments of a public function describe."""
    flags = _make_flags(env_file, settings or {})
    return Job(
        run=Path(run),
        sources=to_texts(sources),
        config=to_config(config),
        flags=flags,
        limit=limit,
        force=force,
        validate=validate,
        clean=clean,
        add_sources=add,
        sources_moved=moved,
        moved_to=to_texts(moved_to),
        phase=phase,
        client=client,
    )


def to_texts(sources: Sources) -> tuple[str, ...]:
    """Sources as texts."""
    specs = [sources] if isinstance(sources, (str, os.PathLike)) else sources
    return tuple(os.fspath(spec) for spec in specs)


def to_config(config: StrPath | Config | None) -> Path | Config | None:
    """A configuration as a job takes it: its file, or what was read already."""
    return config if isinstance(config, Config) or config is None else Path(config)


def _make_flags(env_file: StrPath | None, settings: Settings) -> dict[str, object]:
    files: dict[str, object] = {} if env_file is None else {ENV_FILE_FLAG: Path(env_file)}
    return {**settings_to_flags(settings), **files}
