"""`batchinfer local`: an OSCAR-compatible service on this machine."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchinfer.atomic_files import create_private_file
from batchinfer.cli.cli_options import format_examples
from batchinfer.cli.detached_process import is_detached_child, open_parent_pipe, spawn_detached
from batchinfer.cli.output import echo_data, echo_message
from batchinfer.errors import ConfigError
from batchinfer.local.service_options import (
    DEEPAAS_VERSIONS,
    DEFAULT_DEEPAAS_VERSION,
    InjectedFault,
    LocalServiceOptions,
    NotificationFaults,
)

if TYPE_CHECKING:
    from batchinfer.local.service_connection import ServiceConnection


class _FiniteRangeParamType(click.FloatRange):
    """As click's own, without nan and infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


_RATE_PARAM_TYPE = _FiniteRangeParamType(0, 1)
_SECONDS_PARAM_TYPE = _FiniteRangeParamType(0)


class _SlowParamType(click.ParamType[tuple[float, float]]):
    """`P:SECONDS`."""

    name = "P:SECONDS"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        """Read both numbers."""
        try:
            rate, seconds = map(float, value.split(":"))
        except ValueError:
            rate = seconds = math.nan
        if not (0 <= rate <= 1 and 0 <= seconds < math.inf):
            self.fail(f"{value!r} is not P:SECONDS, such as 0.05:30", param, ctx)
        return rate, seconds


class _FaultParamType(click.ParamType[InjectedFault]):
    """`STATUS:RATE`."""

    name = "STATUS:RATE"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> InjectedFault:
        """Read a status and a share."""
        try:
            fault = InjectedFault.parse(value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        if not 0 <= fault.rate <= 1:
            self.fail(f"{value!r}: a rate is a share between 0 and 1", param, ctx)
        return fault


class _LocalConfigError(click.ClickException):
    exit_code = ConfigError.exit_code


@click.command(
    epilog=format_examples(
        "batchinfer local --model faces --config-out local.toml",
        "batchinfer local --model faces --photographs photos --config-out demo.toml --detach",
    ),
)
@click.option("--model", default="echo", help="module:function, or one of: echo, faces.")
@click.option(
    "--command",
    metavar="TEXT",
    help="Instead: a command, as 'wc -c {files}'; stdout is the result.",
)
@click.option(
    "--script",
    type=click.Path(exists=True, dir_okay=False),
    help="Instead: an OSCAR service's script (protocol oscar).",
)
@click.option(
    "--supervisor",
    "supervisor_venv",
    metavar="VENV",
    type=click.Path(exists=True, file_okay=False),
    help="OSCAR's own supervisor, of a virtual environment, runs the script.",
)
@click.option("--threads", is_flag=True, help="Predict in threads, not in processes: quicker.")
@click.option("--name", default="local", help="Of the service and of its bucket.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Default: any free one.")
@click.option("--token", envvar="BATCHINFER_LOCAL_TOKEN", help="64 hex digits; default: random.")
@click.option(
    "--auth-key",
    envvar="BATCHINFER_LOCAL_AUTH_KEY",
    metavar="KEY,SECRET",
    help="Of the bucket; default: random.",
)
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), help="Keep the bucket here."
)
@click.option("--markers/--no-markers", default=True, help="Show inputs/ and outputs/ as objects.")
@click.option("--containers", default=2, type=click.IntRange(1), help="Calls at a time.")
@click.option(
    "--deepaas",
    "deepaas_venv",
    metavar="VENV",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The real DEEPaaS and module of a virtual environment, instead of a model.",
)
@click.option(
    "--deepaas-format",
    type=click.Choice(DEEPAAS_VERSIONS),
    help=f"Without --deepaas: which DEEPaaS is imitated; default: {DEFAULT_DEEPAAS_VERSION}.",
)
@click.option(
    "--cold-start", default=0.0, type=_SECONDS_PARAM_TYPE, help="Seconds of 502 at first."
)
@click.option(
    "--scale-to-zero", type=_SECONDS_PARAM_TYPE, help="Cold again after so many idle seconds."
)
@click.option(
    "--latency", default=0.0, type=_SECONDS_PARAM_TYPE, help="Seconds more for each prediction."
)
@click.option("--slow", default="0:0", type=_SlowParamType(), help="Share that takes longer.")
@click.option(
    "--request-timeout", default=300.0, type=_SECONDS_PARAM_TYPE, help="Then a call gets 504."
)
@click.option("--payload-limit", type=click.IntRange(1), help="Bytes; more gets 413.")
@click.option(
    "--fail-with", multiple=True, type=_FaultParamType(), help="As 503:0.1 or 502/nginx:0.1."
)
@click.option("--retry-after", type=click.IntRange(0), help="Sent with such a 429 or 503.")
@click.option(
    "--lose-events", default=0.0, type=_RATE_PARAM_TYPE, help="Share of inputs without a job."
)
@click.option("--kill-models", default=0.0, type=_RATE_PARAM_TYPE, help="Share killed half-way.")
@click.option(
    "--store-restarts", type=_SECONDS_PARAM_TYPE, help="Restart the S3 server every so often."
)
@click.option(
    "--store-outage", default=3.0, type=_SECONDS_PARAM_TYPE, help="How long it is then away."
)
@click.option(
    "--notifications",
    multiple=True,
    metavar="FAULT",
    help="Live notifications: xml, status:403, lose:0.1, delay:2, drop:30, blanks, buffer:4096.",
)
@click.option("--seed", type=int, help="Of all chances.")
@click.option("--journal", type=click.Path(path_type=Path), help="One line for each prediction.")
@click.option("--config-out", type=click.Path(path_type=Path), help="Write the config here too.")
@click.option(
    "--photographs",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write some photographs to DIR, to send.",
)
@click.option(
    "--detach", is_flag=True, help="Serve in the background; ends as soon as it is ready."
)
@click.option("--json", "as_json", is_flag=True, help="Print where it is as one line of JSON.")
def local(
    *,
    slow: tuple[float, float],
    auth_key: str | None,
    token: str | None,
    deepaas_venv: Path | None,
    deepaas_format: str | None,
    config_out: Path | None,
    photographs: Path | None,
    detach: bool,
    as_json: bool,
    notifications: tuple[str, ...],
    data: Path | None,
    journal: Path | None,
    **option_values: object,
) -> None:
    """Serve a model on this machine as the AI4OS Inference platform would.

    Synchronous calls and a bucket, with the platform's texts, quirks and (if asked for) faults. For
    trial, demo and tests. Prints the config to use, runs until Ctrl-C.
    """
    from batchinfer.local.local_server import serve

    if deepaas_venv is not None and deepaas_format is not None:
        raise click.UsageError("a real DEEPaaS (--deepaas) has a format of its own.")
    if detach and (code := _detach_service(config_out, as_json=as_json)) is not None:
        raise click.exceptions.Exit(code)
    parent_pipe = open_parent_pipe()
    _check_writable(data, journal)
    if photographs is not None:
        _write_photographs(photographs)
    secrets: dict[str, str] = {} if token is None else {"token": token}
    if auth_key is not None:
        secrets["access_key"], _, secrets["secret_key"] = auth_key.partition(",")

    def report_ready(connection: ServiceConnection) -> None:
        if config_out is not None:
            _replace_private_file(config_out, connection.to_toml())
            echo_message(f"config: {config_out}")
        if parent_pipe is not None:
            parent_pipe.report_ready({"pid": os.getpid(), **json.loads(connection.to_json())})
            return
        echo_data(connection.to_json() if as_json else connection.to_toml())
        echo_message("ready; end it with Ctrl-C")

    try:
        options = LocalServiceOptions(
            slow_rate=slow[0],
            slow_seconds=slow[1],
            deepaas=deepaas_format or DEFAULT_DEEPAAS_VERSION,
            deepaas_venv=None if deepaas_venv is None else str(deepaas_venv),
            data=None if data is None else str(data),
            journal=None if journal is None else str(journal),
            notifications=NotificationFaults.parse(notifications),
            **secrets,  # type: ignore[arg-type]
            **option_values,  # type: ignore[arg-type]
        )
        serve(options, report_ready)
    except ConfigError as error:
        raise _LocalConfigError(str(error)) from error


def _detach_service(config_out: Path | None, *, as_json: bool) -> int | None:
    """Start the service in the background and see it ready; the exit code. None: this is it."""
    if is_detached_child():
        return None
    process, line = spawn_detached()
    if not line:
        return process.wait()
    if as_json:
        echo_data(line)
    elif config_out is None:
        from batchinfer.local.service_connection import ServiceConnection

        echo_data(ServiceConnection.from_json(line).to_toml())
    echo_message(f"ready; stop it: kill {process.pid}")
    return 0


def _check_writable(data: Path | None, journal: Path | None) -> None:
    """Raises ConfigError when the service could not write there."""
    option, path = "--data", data
    try:
        if data is not None:
            data.mkdir(parents=True, exist_ok=True)
        option, path = "--journal", journal
        if journal is not None:
            journal.open("ab").close()
    except OSError as error:
        raise ConfigError(f"{option}: {path} cannot be written: {error.strerror}.") from error


def _write_photographs(folder: Path) -> None:
    from batchinfer.local.demo_images import write_demo_images

    if folder.exists() and any(folder.iterdir()):
        echo_message(f"{folder} is not empty, and is left as it is.")
        return
    try:
        count = write_demo_images(folder)
    except OSError as error:
        raise ConfigError(f"--photographs: {folder}: {error.strerror}.") from error
    echo_message(f"{count} photographs, and 3 files that are none, are written to {folder}.")


def _replace_private_file(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        create_private_file(path, text)
    except OSError as error:
        raise ConfigError(f"--config-out: {path} cannot be written: {error.strerror}.") from error
