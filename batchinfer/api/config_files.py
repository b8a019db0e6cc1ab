"""Writing a new configuration and the file of its secrets, for `init`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from batchinfer.api.settings import StrPath
from batchinfer.api.sync_runner import in_thread
from batchinfer.atomic_files import create_private_file
from batchinfer.config import (
    CONFIG_TEMPLATE,
    DEFAULT_CONFIG_FILE,
    ENV_FILE_TEMPLATE,
    get_env_file_path,
)
from batchinfer.config.dashboard import Dashboard, parse_dashboard
from batchinfer.errors import ConfigError


def init(
    file: StrPath = DEFAULT_CONFIG_FILE, *, info: str | None = None, env_only: bool = False
) -> tuple[Path, ...]:
    """Write a commented configuration, and beside it a file for its secrets.

    Only the owner can read them. An existing configuration is never overwritten.

    Args:
        file: the configuration to write.
        info: what the Dashboard shows of the service, as JSON or as the lines of its page, to fill
            it in; None: it is to be filled in by hand.
        env_only: with `info`, write no secret to any file.

    Returns:
        The files that were written.

    Raises:
        ConfigError: a file exists already or cannot be written, or `info` cannot be read.
    """
    path = Path(file)
    texts = make_config_texts(path, None if info is None else parse_dashboard(info), env_only)
    create_config_files(texts)
    return tuple(texts)


ainit = in_thread("ainit", init)


def make_config_texts(
    file: Path, dashboard: Dashboard | None, env_only: bool = False
) -> dict[Path, str]:
    """The files to write: the configuration first, then that of its secrets, unless it is there.

    Raises ConfigError for a name that is not one of a TOML file.
    """
    if file.suffix.lower() not in {"", ".toml"}:
        name = file.with_suffix(".toml").name
        raise ConfigError(f"{file}: only TOML is written. Name the file {name}.")
    env = get_env_file_path(file)
    if dashboard is not None:
        return {file: dashboard.to_toml()} | ({} if env_only else {env: dashboard.to_env()})
    return {file: CONFIG_TEMPLATE} | ({} if env.exists() else {env: ENV_FILE_TEMPLATE})


def create_config_files(texts: Mapping[Path, str], other_name: str = "") -> None:
    """Write new files that only their owner can read, from their first byte on: all, or none.

    `other_name`: what a message proposes when a file is there already. Raises ConfigError.
    """
    with ExitStack() as cleanup:
        for path, text in texts.items():
            try:
                create_private_file(path, text)
            except FileExistsError:
                hint = f": {other_name}" if other_name else "."
                raise ConfigError(
                    f"{path} exists already and is left as it is. Name another file{hint}"
                ) from None
            except FileNotFoundError:
                raise ConfigError(
                    f"The folder {path.parent} does not exist: create it first."
                ) from None
            except OSError as error:
                raise ConfigError(f"{path} cannot be written: {error.strerror}.") from None
            cleanup.callback(path.unlink, missing_ok=True)
        cleanup.pop_all()
