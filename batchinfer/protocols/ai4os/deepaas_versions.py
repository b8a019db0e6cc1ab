"""Which DEEPaaS a service runs, by its answers, and the quirks of that version. Pure.

The service script begins every body with the versions (docs/platform.md, "The body of a 200").
"""

from __future__ import annotations

import re
from typing import Final

DEEPAAS_QUIRKS: Final = (
    (
        (0,),
        (2, 5, 0),
        "The platform refuses versions before 2.5.0: deploy a newer image of the model.",
    ),
    (
        (2, 5, 0),
        (2, 5, 2),
        (
            "It prints results without a mark, and None and whole numbers not at all: in sync mode "
            "those look like a killed model. Async mode shows them."
        ),
    ),
    (
        (2, 6, 0),
        (2, 6, 1),
        (
            "In async mode its outputs come under other names (tmp-file-*): they are found by what "
            "the log says."
        ),
    ),
    (
        (2, 6, 1),
        (10**9,),
        "It is newer than any that batchinfer was tried with: look at the first results.",
    ),
)
"""From which version on, before which one, what."""

_DEEPAAS_VERSION_LINE: Final = re.compile(
    r"^\[\*\] Using DEEPaaS version (\d+(?:\.\d+)*)", re.MULTILINE
)
_PYTHON_VERSION_LINE: Final = re.compile(
    r"^\[\*\] Using Python version Python (\d+)\.(\d+)\.(\d+)", re.MULTILINE
)
_FIXED_PYTHON_RELEASES: Final = {12: 8, 13: 1}
"""Python 3.12.8 and 3.13.1 no longer refuse short names."""


def find_deepaas_version(log: str) -> str | None:
    """The version of DEEPaaS that wrote `log`; None when it does not say."""
    found = _DEEPAAS_VERSION_LINE.search(log)
    return found[1] if found else None


def list_quirks(log: str) -> list[str]:
    """What a person should know of the versions that wrote `log`, a sentence each."""
    quirks = []
    if version := find_deepaas_version(log):
        version_parts = tuple(int(part[:9]) for part in version.split("."))
        quirks += [quirk for first, end, quirk in DEEPAAS_QUIRKS if first <= version_parts < end]
    found = _PYTHON_VERSION_LINE.search(log)
    if found and _has_short_name_bug(*(int(part[:9]) for part in found.groups())):
        quirks.append(
            "Parameters named conf, config, log, use or w clash with options of DEEPaaS "
            f"{version or ''} and cannot be used.".replace("  ", " ")
        )
    return quirks


def _has_short_name_bug(major: int, minor: int, micro: int) -> bool:
    if (major, minor) in {(3, each) for each in _FIXED_PYTHON_RELEASES}:
        return micro < _FIXED_PYTHON_RELEASES[minor]
    return (major, minor) < (3, 12)
