"""Every text of the command line, where it comes in: Python cannot encode bytes that are no UTF-8.

Paths are left as they are, byte for byte. In all other texts such bytes are spelled as in keys.
"""

from __future__ import annotations

from typing import Final

import click

from batchinfer.sources.input_files import escape_undecodable

PATH_PARAMETERS: Final = frozenset(
    {"source", "files_from", "output", "config", "run", "run_", "model", "command"}
)
"""Names of parameters that may be paths, though they are texts to click."""


class _TextParamType(click.ParamType):  # type: ignore[type-arg]
    """Text that can be written anywhere."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text, spelled as keys are. A model's parameter is refused: it would be falsified."""
        text = escape_undecodable(value)
        if text != value and param is not None and param.name == "params":
            self.fail(f"{text} is not UTF-8 text: it cannot be sent", param, ctx)
        return text


TEXT_PARAM_TYPE: Final = _TextParamType()
