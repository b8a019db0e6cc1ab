"""Types of arguments and options.

Bytes that are not UTF-8 reach Python as text that it cannot encode. Paths are left as they are,
byte for byte. In all other texts such bytes are escaped as in keys.
"""

from __future__ import annotations

import os
from typing import Any, Final

import click

from batchinfer.text_format import escape_undecodable

PATH_PARAMETERS: Final = frozenset(
    {"source", "files_from", "output", "config", "run", "run_", "model", "command"}
)
"""Names of parameters that may be paths, though they are texts to click."""


class _TextParamType(click.ParamType):  # type: ignore[type-arg]
    """Text that can be written anywhere."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text, escaped as keys are. A model's parameter is refused: it would be falsified."""
        text = escape_undecodable(value)
        if text != value and param is not None and param.name == "params":
            self.fail(f"{text} is not UTF-8 text: it cannot be sent", param, ctx)
        return text


TEXT_PARAM_TYPE: Final = _TextParamType()


class _NonEmptyPathParamType(click.Path):
    """A path that is not empty: `pathlib` would take that for the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a path."""
        if not str(value).strip():
            self.fail("an empty name names no file.", param, ctx)
        from pathlib import Path  # `--help` needs none

        return Path(os.fsdecode(super().convert(value, param, ctx)))


PATH_PARAM_TYPE = _NonEmptyPathParamType()
