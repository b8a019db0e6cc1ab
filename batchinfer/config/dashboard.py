"""What the Dashboard shows of a service, read: its JSON, or lines pasted from its page. Pure.

Both are in the contract, section 6. Pasted lines are a label and a value, on one line (with blanks,
tabs, a colon or an equals sign between them) or the value on the next; what is no label of the page
is skipped. Whatever the text holds, only plain URLs, names and credentials come out, or a
ConfigError, whose message never quotes a value: it might be a secret.

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

from batchinfer.config.resolving import resolve
from batchinfer.config.sections import Bucket, Config, Run, Service
from batchinfer.config.values import Secret
from batchinfer.domain import Json, Mode
from batchinfer.errors import ConfigError

LABELS: Final = {
    "endpoint": ("service", "endpoint"),
    "token": ("service", "token"),
    "minio bucket": ("bucket", "name"),
    "minio url": ("bucket", "endpoint"),
    "minio access key": ("bucket", "access_key"),
    "minio secret key": ("bucket", "secret_key"),
}
"""The labels of the page, in lower case, and the settings that they stand for."""
NAMES: Final = {
    ("service", "token"): "OSCAR_TOKEN",
    ("bucket", "access_key"): "MINIO_ACCESS_KEY",
    ("bucket", "secret_key"): "MINIO_SECRET_KEY",
}
"""The secrets, and the environment variables that a written configuration takes them from."""
LONGEST: Final = 1 << 20
"""Characters; what is longer was never on the page."""

_OTHERS: Final = ("synchronous calls", "asynchronous calls", "deployment id", "docker image")
_LABEL: Final = re.compile(
    rf"\W*(?P<label>{'|'.join(name.replace(' ', '[ _]+') for name in (*LABELS, *_OTHERS))})"
    r"(?:[ \t]*[:=][ \t]*|[ \t]+|$)(?P<value>.*)",
    re.IGNORECASE,
)
_HIDDEN: Final = re.compile(r"[*•●·.…]+")
_REGION: Final = "us-east-1"
_REST: Final = """
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
        both = ((Mode.SYNC, "service"), (Mode.ASYNC, "bucket"))
        return tuple(mode for mode, section in both if section in sections)

    @property
    def secrets(self) -> Mapping[str, str]:
        """Every secret by the name of its environment variable."""
        return {name: self.values[at] for at, name in NAMES.items() if at in self.values}

    def to_toml(self) -> str:
        """The configuration; a secret in it is `${NAME}`."""
        return "\n".join(self._lines()) + "\n"

    def to_env(self) -> str:
        """Lines for a POSIX shell that export every secret."""
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in self.secrets.items()]
        return "# Secrets: for your eyes only. batchinfer reads this file by itself.\n" + "".join(
            lines
        )

    def tables(self) -> dict[str, dict[str, Json]]:
        """The configuration as sections."""
        tables: dict[str, dict[str, Json]] = {}
        for (section, key), value in self.values.items():
            name = NAMES.get((section, key))
            spelled = f"${{{name}}}" if name else value.replace("$", "$$")
            tables.setdefault(section, {})[key] = spelled
        if not self.verify and "bucket" in tables:
            tables["bucket"]["verify"] = False
        return tables

    def _lines(self) -> Iterator[str]:
        yield "# batchinfer: written from what the Dashboard shows."
        if self.title:
            yield f"# Service: {self.title}"
        for section, table in self.tables().items():
            yield f"\n[{section}]"
            # JSON's strings are TOML's too, where all of it is printable.
            yield from (f"{key} = {json.dumps(v, ensure_ascii=False)}" for key, v in table.items())
        others = f'      # or "{self.modes[1]}"' if len(self.modes) > 1 else ""
        yield f'\n[run]\nmode = "{self.modes[0]}"{others}'
        yield _REST


def read_dashboard(text: str) -> Dashboard:
    """Read the Dashboard's JSON, or lines pasted from its page.

    Raises ConfigError: nothing of the page is in it, a mode is only half there, or a value cannot
    be what it should be.
    """
    if len(text) > LONGEST:
        raise ConfigError(f"This is longer than any page of the Dashboard. {_WANTED}")
    text = text.lstrip("\ufeff").strip()
    found = _from_json(text) if text.startswith(("{", "[")) else _from_lines(text)
    if not found.values:
        raise ConfigError(f"Nothing of the Dashboard's page was found. {_WANTED}")
    for mode in found.modes:
        _check(found, mode)
    return found


_WANTED: Final = (
    "Give the JSON of one service, or the lines of its page (Inference, Serverless (OSCAR), Info): "
    "Endpoint, Token, MINIO bucket, MINIO URL, MINIO access key, MINIO secret key."
)


def _check(found: Dashboard, mode: Mode) -> None:
    """That what will be written can be used."""
    section = "service" if mode is Mode.SYNC else "bucket"
    lacking = [label for label, at in LABELS.items() if at[0] == section and at not in found.values]
    if lacking:
        raise ConfigError(
            f"For {mode} mode there is no {' and no '.join(map(repr, lacking))}. {_WANTED}"
        )
    for label, at in LABELS.items():
        if _HIDDEN.fullmatch(found.values.get(at, "")):
            raise ConfigError(f"{label!r} is hidden: let the page show it, then copy again.")
    tables: dict[str, dict[str, Any]] = {
        section: {k: Secret(str(v)) if (section, k) in NAMES else v for k, v in table.items()}
        for section, table in found.tables().items()
    }
    service, bucket = tables.get("service", {}), tables.get("bucket", {})
    resolve(
        Config(service=Service(**service), bucket=Bucket(**bucket), run=Run(mode=mode)),
        found.secrets,
    )


def _from_lines(text: str) -> Dashboard:
    values: dict[tuple[str, str], str] = {}
    asked: tuple[str, str] | None = None
    for line in text.splitlines():
        match = _LABEL.fullmatch(line.strip())
        if match is not None:
            asked = LABELS.get(" ".join(re.split(r"[ _]+", match["label"].lower())))
            line = match["value"]  # noqa: PLW2901 - what is left of it
        if asked is not None and (value := _unquoted(line)):
            _put(values, asked, value)
            asked = None
    return Dashboard(values)


def _put(values: dict[tuple[str, str], str], at: tuple[str, str], value: str) -> None:
    if values.setdefault(at, value) != value:
        label = next(label for label, each in LABELS.items() if each == at)
        raise ConfigError(f"There are two different values for {label!r}: paste one service only.")


def _unquoted(text: str) -> str:
    text = text.strip()
    quoted = re.fullmatch(r"""(["'`])(.*)\1,?""", text)
    return quoted[2].strip() if quoted else text


def _from_json(text: str) -> Dashboard:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(f"This begins like JSON, but is none. {_WANTED}") from None
    services = data if isinstance(data, list) else [data]
    if len(services) != 1:
        raise ConfigError(f"This JSON holds {len(services)} services. {_WANTED}")
    service = services[0]
    minio = _at(service, "storage_providers", "minio", "default")
    bucket = _at(service, "name")
    found = {
        ("service", "endpoint"): _at(service, "endpoint"),
        ("service", "token"): _at(service, "token"),
        ("bucket", "endpoint"): _at(minio, "endpoint"),
        ("bucket", "name"): bucket if minio else None,
        ("bucket", "access_key"): _at(minio, "access_key"),
        ("bucket", "secret_key"): _at(minio, "secret_key"),
    }
    values = {at: value.strip() for at, value in found.items() if _is_text(value)}
    region = _at(minio, "region")
    if values and _is_text(region) and region.strip() != _REGION:
        values["bucket", "region"] = region.strip()
    title = _at(service, "environment", "variables", "PAPI_TITLE")
    return Dashboard(
        values,
        verify=_at(minio, "verify") is not False,
        title="".join(filter(str.isprintable, title))[:80] if _is_text(title) else "",
    )


def _at(data: Any, *path: str) -> Any:
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
