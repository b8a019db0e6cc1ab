"""Options of a protocol: the keys of the section `[protocol]`, checked. Pure.

An option's value may be secret, so messages name options and quote no value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from batchinfer.domain import Json
from batchinfer.errors import ConfigError
from batchinfer.suggestions import suggest


class BadProtocolOption(ConfigError):  # noqa: N818 - reads as a fact
    """An option that a protocol does not know, or cannot use."""


def make_option_error(name: str, what: str) -> BadProtocolOption:
    """`what`: the rest of a sentence that begins with the option."""
    return BadProtocolOption(f"[protocol] {name} {what}")


def check_option_names(options: Iterable[str], known: Iterable[str]) -> None:
    """Raise BadProtocolOption for the first option that is none of those known."""
    names = list(known)
    for name in options:
        if name not in names:
            listed = ", ".join(names) if names else "none"
            hint = suggest(name, names)
            raise make_option_error(
                name, f"is no option of this protocol.{hint} Its options: {listed}."
            )


def get_text_option(options: Mapping[str, Json], name: str) -> str | None:
    """The text of an option; None: it is not given. Raises BadProtocolOption."""
    value = options.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise make_option_error(name, "takes a text.")
    return value.strip()
