"""Reads single settings of a `Config`: references are expanded, and problems collected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from batchinfer.backends.redaction import Redactor
from batchinfer.config.config_secrets import collect_named_secrets
from batchinfer.config.env_files import get_env_file_path
from batchinfer.config.interpolation import expand, expand_text, parse_reference
from batchinfer.config.loader import ENV_PREFIX
from batchinfer.config.sections import Config
from batchinfer.config.template import DEFAULT_CONFIG_FILE
from batchinfer.config.value_parsers import Secret
from batchinfer.domain import Json, Mode
from batchinfer.errors import ConfigError, SourceError
from batchinfer.protocols.inference_protocol import InferenceProtocol
from batchinfer.protocols.protocol_options import BadProtocolOption
from batchinfer.protocols.registry import load_protocol
from batchinfer.sources.selection import Selection
from batchinfer.text_format import escape_undecodable

_SETTING_LABELS = {
    ("service", "endpoint"): "Endpoint",
    ("service", "token"): "Token",
    ("bucket", "endpoint"): "MINIO URL",
    ("bucket", "name"): "MINIO bucket",
    ("bucket", "access_key"): "MINIO access key",
    ("bucket", "secret_key"): "MINIO secret key",
}
_DASHBOARD_PAGE = "Inference, Serverless (OSCAR), Info of the service"
_TEMPLATE_PLACEHOLDER = "..."
"""What `CONFIG_TEMPLATE` contains where a value has to be filled in."""


@dataclass(frozen=True, slots=True)
class SettingReader:
    """Looks up values and collects problems, so that all are reported at once."""

    config: Config
    env: Mapping[str, str]
    problems: list[str] = field(default_factory=list)

    def resolve_text(self, section: str, key: str) -> str:
        """The value, expanded and trimmed; "", and a problem, when there is none."""
        given: str | Secret | None = getattr(getattr(self.config, section), key)
        if given is None:
            variable = f"{ENV_PREFIX}{section}_{key}".upper()
            self.add_problem(section, key, f"is missing in the config, and {variable} is not set")
            return ""
        if isinstance(given, Secret) and parse_reference(given.text) is None:
            return given.text
        written = given.text if isinstance(given, Secret) else given
        problem_count = len(self.problems)
        expanded = expand_text(written, self._make_lookup(section, key)).strip()
        if len(self.problems) > problem_count:
            return ""
        if _TEMPLATE_PLACEHOLDER in expanded and (section, key) in _SETTING_LABELS:
            self.add_problem(section, key, "is not filled in yet")
        return expanded

    def resolve_protocol(self, options: Mapping[str, Json]) -> InferenceProtocol | None:
        """The protocol. One that is missing, or lacks the mode, or cannot use its options, is a
        problem; None: it cannot be used.
        """  # noqa: D205 - one thought
        name, mode = self.config.service.protocol, self.config.mode
        if self.problems:  # of the options: something in them is not there
            return None
        try:
            protocol = load_protocol(name, options)
        except BadProtocolOption as error:
            redactor = Redactor(collect_named_secrets(self.config, self.env).values())
            self.problems.append(redactor.redact_text(error.message))
            return None
        except ConfigError as error:
            self.add_problem("service", "protocol", f"cannot be used: {error.message}")
            return None
        if mode not in protocol.modes:
            offered = " or ".join(mode for mode in Mode if mode in protocol.modes)
            self.problems.append(f'The protocol "{name}" has no {mode} mode: use {offered} mode.')
        return protocol

    def resolve_selection(self) -> Selection:
        """Which files are sent. A pattern that cannot be used is a problem."""
        given = self.config.input
        include = [
            *self._expand_patterns("include", given.include),
            *self._expand_patterns("glob", given.glob),
        ]
        exclude = self._expand_patterns("exclude", given.exclude)
        for key, found in (("include", include), ("exclude", exclude)):
            try:
                Selection.of(include=found)
            except SourceError as error:
                self.add_problem("input", key, f"cannot be understood: {error.message}")
        if self.problems:
            return Selection()
        return Selection.of(include, exclude, given.only, given.shard, given.frames)

    def _expand_patterns(self, key: str, given: Sequence[str]) -> list[str]:
        return [
            escape_undecodable(expand_text(each, self._make_lookup("input", key)).strip())
            for each in given
        ]

    def expand_path(self, written: str) -> str:
        """The path of an earlier run."""
        return expand_text(written, self._make_lookup("run", "reuse")).strip()

    def expand_table(self, section: str, table: Mapping[str, Json]) -> Mapping[str, Json]:
        """The values of a section of any keys, expanded."""
        return {
            name: expand(value, self._make_lookup(section, name)) for name, value in table.items()
        }

    def add_problem(self, section: str, key: str, what: str) -> None:
        """Note what is wrong, with the place and the name that the Dashboard shows."""
        where = self.config.origins.get(f"{section}.{key}", f"[{section}] {key}")
        label = _SETTING_LABELS.get((section, key))
        named = f' (on the Dashboard: "{label}")' if label else ""
        self.problems.append(f"{where} {what}{named}")

    def format_problems(self) -> str:
        """All problems, each once, and where to look."""
        lines = list(dict.fromkeys(self.problems))
        if any("on the Dashboard" in problem for problem in lines):
            lines.append(
                f"The Dashboard shows what {self.config.mode} mode needs: {_DASHBOARD_PAGE}."
            )
        return "\n".join(lines)

    def _make_lookup(self, section: str, key: str) -> Callable[[str], str]:
        def lookup(name: str) -> str:
            value = self.env.get(name, "").strip()
            if not value:
                state = "empty" if name in self.env else "not set"
                file = get_env_file_path(self.config.file or Path(DEFAULT_CONFIG_FILE))
                what = (
                    f"needs the environment variable {name}, which is {state}: "
                    f'export {name}="...", or write {name}="..." into {file}'
                )
                self.add_problem(section, key, what)
            return value

        return lookup
