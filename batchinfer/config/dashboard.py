"""What the Dashboard shows of a service, read: its JSON, or lines pasted from its page. Pure.

Both are in docs/platform.md, "What the Dashboard shows". Pasted lines are a label and a value, on
one line (with blanks, tabs, a colon or an equals sign between them) or the value on the next; what
is no label of the page is skipped. Whatever the text holds, only plain URLs, names and credentials
come out, or a ConfigError, whose message never quotes a value: it might be a secret.

A `Dashboard` becomes two texts: a configuration, in which a secret is `${NAME}`, and the lines that
export those names to a shell.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from batchinfer import defaults
from batchinfer.config.sections import BucketSection, Config, RunSection, ServiceSection
from batchinfer.config.settings_resolver import resolve_run_settings
from batchinfer.config.value_parsers import Secret
from batchinfer.domain import Json, Mode
from batchinfer.errors import ConfigError

DASHBOARD_LABELS: Final = {
    "endpoint": ("service", "endpoint"),
    "token": ("service", "token"),
    "minio bucket": ("bucket", "name"),
    "minio url": ("bucket", "endpoint"),
    "minio access key": ("bucket", "access_key"),
    "minio secret key": ("bucket", "secret_key"),
}
"""The labels of the page, in lower case, and the settings that they stand for."""
SECRET_VARIABLES: Final = {
    ("service", "token"): "OSCAR_TOKEN",
    ("bucket", "access_key"): "MINIO_ACCESS_KEY",
    ("bucket", "secret_key"): "MINIO_SECRET_KEY",
}
"""The secrets, and the environment variables that a written configuration takes them from."""
MAX_DASHBOARD_CHARS: Final = 1 << 20
"""Characters; what is longer was never on the page."""

_IGNORED_LABELS: Final = (
    "synchronous calls",
    "asynchronous calls",
    "deployment id",
    "docker image",
)
_ALL_LABELS: Final = (*DASHBOARD_LABELS, *_IGNORED_LABELS)
_LABEL_LINE: Final = re.compile(
    rf"\W*(?P<label>{'|'.join(name.replace(' ', '[ _]+') for name in _ALL_LABELS)})"
    r"(?:[ \t]*[:=][ \t]*|[ \t]+|$)(?P<value>.*)",
    re.IGNORECASE,
)
_MASKED_VALUE: Final = re.compile(r"[*•●·.…]+")
_TOML_TAIL: Final = """
[input]
file_param = "files"    # the model's parameter that takes the file

[params]                # the model's other parameters, the same for every item"""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """What the page of a service says: complete for at least one mode, and checked."""

    values: Mapping[tuple[str, str], str] = field(repr=False)
    """By setting: `(section, key)`."""
    verify: bool = True
    """False: the page says that the store's certificate is not to be checked."""
    title: str = ""

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The modes that are configured."""
        sections = {section for section, _ in self.values}
        return tuple(mode for mode in Mode if mode.section in sections)

    @property
    def secrets(self) -> Mapping[str, str]:
        """Every secret by the name of its environment variable."""
        return {
            name: self.values[setting]
            for setting, name in SECRET_VARIABLES.items()
            if setting in self.values
        }

    def to_toml(self) -> str:
        """The configuration; a secret in it is `${NAME}`."""
        return "\n".join(self._iter_toml_lines()) + "\n"

    def to_env(self) -> str:
        """Lines for a POSIX shell that export every secret."""
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in self.secrets.items()]
        return "# Secrets: for your eyes only. batchinfer reads this file by itself.\n" + "".join(
            lines
        )

    def to_tables(self) -> dict[str, dict[str, Json]]:
        """The configuration as sections."""
        tables: dict[str, dict[str, Json]] = {}
        for (section, key), value in self.values.items():
            name = SECRET_VARIABLES.get((section, key))
            text = f"${{{name}}}" if name else value.replace("$", "$$")
            tables.setdefault(section, {})[key] = text
        if not self.verify and "bucket" in tables:
            tables["bucket"]["verify"] = False
        return tables

    def _iter_toml_lines(self) -> Iterator[str]:
        yield "# batchinfer: written from what the Dashboard shows."
        if self.title:
            yield f"# Service: {self.title}"
        for section, table in self.to_tables().items():
            yield f"\n[{section}]"
            # JSON's strings are TOML's too, where all of it is printable.
            yield from (f"{key} = {json.dumps(v, ensure_ascii=False)}" for key, v in table.items())
        others = f'      # or "{self.modes[1]}"' if len(self.modes) > 1 else ""
        yield f'\n[run]\nmode = "{self.modes[0]}"{others}'
        yield _TOML_TAIL


def parse_dashboard(text: str) -> Dashboard:
    """Read the Dashboard's JSON, or lines pasted from its page.

    Raises ConfigError: nothing of the page is in it, a mode is only half there, or a value cannot
    be what it should be.
    """
    if len(text) > MAX_DASHBOARD_CHARS:
        raise ConfigError(f"This is longer than any page of the Dashboard. {_EXPECTED_INPUT}")
    text = text.lstrip("\ufeff").strip()
    dashboard = _parse_json(text) if text.startswith(("{", "[")) else _parse_lines(text)
    if not dashboard.values:
        raise ConfigError(f"Nothing of the Dashboard's page was found. {_EXPECTED_INPUT}")
    for mode in dashboard.modes:
        _check_mode(dashboard, mode)
    return dashboard


_EXPECTED_INPUT: Final = (
    "Give the JSON of one service, or the lines of its page (Inference, Serverless (OSCAR), Info): "
    "Endpoint, Token, MINIO bucket, MINIO URL, MINIO access key, MINIO secret key."
)


def _check_mode(dashboard: Dashboard, mode: Mode) -> None:
    """That what will be written can be used."""
    section = mode.section
    missing_labels = [
        label
        for label, setting in DASHBOARD_LABELS.items()
        if setting[0] == section and setting not in dashboard.values
    ]
    if missing_labels:
        raise ConfigError(
            f"For {mode} mode there is no {' and no '.join(map(repr, missing_labels))}. "
            f"{_EXPECTED_INPUT}"
        )
    for label, at in DASHBOARD_LABELS.items():
        if _MASKED_VALUE.fullmatch(dashboard.values.get(at, "")):
            raise ConfigError(f"{label!r} is hidden: let the page show it, then copy again.")
    tables: dict[str, dict[str, Any]] = {
        section: {
            k: Secret(str(v)) if (section, k) in SECRET_VARIABLES else v for k, v in table.items()
        }
        for section, table in dashboard.to_tables().items()
    }
    service, bucket = tables.get("service", {}), tables.get("bucket", {})
    resolve_run_settings(
        Config(
            service=ServiceSection(**service),
            bucket=BucketSection(**bucket),
            run=RunSection(mode=mode),
        ),
        dashboard.secrets,
    )


def _parse_lines(text: str) -> Dashboard:
    values: dict[tuple[str, str], str] = {}
    setting: tuple[str, str] | None = None
    for line in text.splitlines():
        match = _LABEL_LINE.fullmatch(line.strip())
        if match is not None:
            setting = DASHBOARD_LABELS.get(" ".join(re.split(r"[ _]+", match["label"].lower())))
            line = match["value"]  # noqa: PLW2901 - what is left of it
        if setting is not None and (value := _unquote(line)):
            _set_value(values, setting, value)
            setting = None
    return Dashboard(values)


def _set_value(values: dict[tuple[str, str], str], setting: tuple[str, str], value: str) -> None:
    if values.setdefault(setting, value) != value:
        label = next(label for label, other in DASHBOARD_LABELS.items() if other == setting)
        raise ConfigError(f"There are two different values for {label!r}: paste one service only.")


def _unquote(text: str) -> str:
    text = text.strip()
    quoted = re.fullmatch(r"""(["'`])(.*)\1,?""", text)
    return quoted[2].strip() if quoted else text


def _parse_json(text: str) -> Dashboard:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(f"This begins like JSON, but is none. {_EXPECTED_INPUT}") from None
    services = data if isinstance(data, list) else [data]
    if len(services) != 1:
        raise ConfigError(f"This JSON holds {len(services)} services. {_EXPECTED_INPUT}")
    service = services[0]
    minio = _get_nested(service, "storage_providers", "minio", "default")
    bucket = _get_nested(service, "name")
    found = {
        ("service", "endpoint"): _get_nested(service, "endpoint"),
        ("service", "token"): _get_nested(service, "token"),
        ("bucket", "endpoint"): _get_nested(minio, "endpoint"),
        ("bucket", "name"): bucket if minio else None,
        ("bucket", "access_key"): _get_nested(minio, "access_key"),
        ("bucket", "secret_key"): _get_nested(minio, "secret_key"),
    }
    values = {setting: value.strip() for setting, value in found.items() if _is_text(value)}
    region = _get_nested(minio, "region")
    if values and _is_text(region) and region.strip() != defaults.BUCKET_REGION:
        values["bucket", "region"] = region.strip()
    title = _get_nested(service, "environment", "variables", "PAPI_TITLE")
    return Dashboard(
        values,
        verify=_get_nested(minio, "verify") is not False,
        title="".join(filter(str.isprintable, title))[:80] if _is_text(title) else "",
    )


def _get_nested(data: Any, *path: str) -> Any:
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
