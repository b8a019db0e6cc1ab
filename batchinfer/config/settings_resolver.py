"""Resolves a `Config`: references are expanded, defaults filled in, everything is checked.

Only what the mode needs is expanded and required: an async run does not need the token. Messages
name a setting as the Dashboard does (docs/platform.md, "What the Dashboard shows").
"""

from __future__ import annotations

from collections.abc import Mapping

from batchinfer import defaults
from batchinfer.config.config_secrets import collect_secrets
from batchinfer.config.run_settings import (
    ClusterSettings,
    PayloadSettings,
    RunSettings,
    WatchSettings,
    iter_endpoint_notices,
)
from batchinfer.config.sections import PARAMS_SECTION, Config, WatchSection
from batchinfer.config.setting_reader import SettingReader
from batchinfer.config.source_resolver import resolve_source
from batchinfer.config.target_resolver import RESOLVE_TARGET, resolve_services
from batchinfer.errors import IncompleteConfig
from batchinfer.protocols.registry import OPTIONS_SECTION
from batchinfer.sources.item_choice import ItemChoice


def resolve_payload_settings(config: Config, env: Mapping[str, str]) -> PayloadSettings:
    """Resolve all but where items are sent to. Raises ConfigError."""
    reader = SettingReader(config, config.complete_environment(env))
    options = reader.expand_table(OPTIONS_SECTION, config.protocol_options)
    reader.resolve_protocol(options)
    file_param = reader.resolve_text("input", "file_param")
    selection = reader.resolve_selection()
    params = reader.expand_table(PARAMS_SECTION, config.params)
    if reader.problems:
        raise IncompleteConfig(reader.format_problems())
    secrets = collect_secrets(config, env)
    return PayloadSettings(
        config.mode,
        config.service.protocol,
        file_param,
        selection,
        params,
        secrets,
        options,
        resolve_source(config, reader.env),
    )


def resolve_run_settings(config: Config, env: Mapping[str, str]) -> RunSettings:
    """Resolve everything. Raises ConfigError: what is missing or wrong, and where to find it.

    No error message holds a secret, or any value that came from `${NAME}`.
    """
    env = config.complete_environment(env)
    reader = SettingReader(config, env)
    options = reader.expand_table(OPTIONS_SECTION, config.protocol_options)
    protocol = reader.resolve_protocol(options)
    services = resolve_services(reader, protocol)
    target = services[0] if services else RESOLVE_TARGET[config.mode](reader, protocol)
    file_param = reader.resolve_text("input", "file_param")
    selection = reader.resolve_selection()
    params = reader.expand_table(PARAMS_SECTION, config.params)
    scratch = None if config.run.scratch is None else reader.resolve_text("run", "scratch")
    cluster = _resolve_cluster(reader)
    reuse = tuple([reader.expand_path(each) for each in config.run.reuse])
    if len(services) > 1 and cluster is not None:
        reader.problems.append(
            "Several services cannot be called by the workers of a cluster: choose one of them "
            'with --service NAME, or set on = "none" in [cluster].'
        )
    if reader.problems:
        raise IncompleteConfig(reader.format_problems())
    run, source = config.run, resolve_source(config, env)
    return RunSettings(
        mode=config.mode,
        protocol=config.service.protocol,
        protocol_options=options,
        target=target,
        file_param=file_param,
        selection=selection,
        params=params,
        concurrency=run.concurrency,
        rate=run.rate,
        bandwidth=run.bandwidth,
        memory=run.memory,
        max_reply=run.max_reply,
        timeout=run.timeout or defaults.ATTEMPT_TIMEOUT[config.mode],
        first_answer_timeout=max(run.cold_start, run.timeout or 0.0),
        connect_timeout=run.connect_timeout,
        send_timeout=run.send_timeout,
        first_byte_timeout=run.first_byte_timeout,
        max_attempts=run.max_attempts,
        max_failures=run.max_failures,
        cold_start=run.cold_start,
        give_up_after=run.give_up_after,
        deadline=run.deadline,
        hedge=run.hedge,
        stop_after=run.stop_after,
        grace=run.grace,
        scratch=scratch,
        secrets=collect_secrets(config, env),
        services=services,
        cluster=cluster,
        source=source,
        notices=(
            *(notice for file in config.env_files for notice in file.notices),
            *(
                notice
                for each in services or (target,)
                for notice in iter_endpoint_notices(each.endpoint, verify=each.verify)
            ),
            *iter_endpoint_notices(source.store.endpoint or "", verify=source.store.verify),
        ),
        watch=_resolve_watch(config.watch),
        choice=ItemChoice(config.input.sample, config.input.seed, config.input.order),
        reuse=reuse,
    )


def _resolve_watch(given: WatchSection) -> WatchSettings | None:
    if not given.enabled:
        return None
    return WatchSettings(
        settle=given.settle,
        interval=given.interval,
        events=given.events,
        again_when_changed=given.again_when_changed,
        until_idle=given.until_idle,
    )


def _resolve_cluster(reader: SettingReader) -> ClusterSettings | None:
    """The cluster; None: attempts are made in this process."""
    given = reader.config.cluster
    texts = {
        key: reader.resolve_text("cluster", key)
        for key in _CLUSTER_TEXTS
        if getattr(given, key) is not None
    }
    is_named = bool(given.scheduler or given.scheduler_file or given.workers)
    if given.on == "none" or (given.on is None and not is_named):
        return None
    if given.scheduler and given.scheduler_file:
        reader.add_problem("cluster", "scheduler", "and scheduler_file both name a cluster")
    if given.workers and (given.scheduler or given.scheduler_file):
        reader.add_problem(
            "cluster", "workers", "starts workers on this machine: it goes without a scheduler"
        )
    return ClusterSettings(workers=given.workers, lease=given.lease, **texts)


_CLUSTER_TEXTS = ("scheduler", "scheduler_file", "tls_ca_file", "tls_cert", "tls_key")
