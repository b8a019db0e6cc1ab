"""Every exception that batchinfer raises on purpose, by who must act.

::

    BatchInferError
    ├─ ConfigError        the user must change something                     exit 2
    │  ├─ IncompleteConfig   settings are missing, or cannot be used
    │  ├─ UnknownKey         the run has no item of this key
    │  ├─ QueryError         the SQL of a query cannot be run
    │  └─ ExportError        the output of an export or a report cannot be written
    ├─ SourceError        the user must change something                     exit 2
    │  └─ SourceUnavailable  its disk or server has trouble: leaves a run as RunAborted
    ├─ StoreError         the run directory cannot be used                   exit 3
    │  ├─ RunLocked       another process works on it
    │  ├─ RunMismatch     it was made for another service, mode or params
    │  ├─ RunCorrupt      it is no run, or of a newer version
    │  └─ RunDamaged      some of it is not what was written; the rest was read
    ├─ RunAborted(code)   a fatal error ended the run; recorded work is kept exit 3
    └─ FatalError(code)   raised only inside a backend; leaves as RunAborted

An item that fails raises nothing: its `Failure` is a value (`domain.py`). Only what must end the
run raises. Every message says what happened, to what, and what to do next; none holds a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_OPTION_PATTERN = re.compile("\ue000(.*?)\ue001(.*?)\ue002")


def option(name: str, value: str = "") -> str:
    """An option in the message of an error: an argument in Python (`moved=True`), a flag (--moved)
    in a command. Messages are written once; `BatchInferError.format` spells them.
    """  # noqa: D205 - one thought
    return f"\ue000{name}\ue001{value}\ue002"


def _format_argument(name: str, value: str) -> str:
    if name == "params" and value:
        return f'`params["{value}"]`'
    if name in {"files_from", "as_file"}:  # of a command only; a source in Python begins with it
        return f'`"{name.replace("_", "-")}:{value}"`'
    return f"`{name}={value}`" if value else f"`{name}`"


class BatchInferError(Exception):
    """Whatever batchinfer raises on purpose."""

    exit_code = 3

    @property
    def message(self) -> str:
        """The message whose options are not spelled yet: to be part of another error's message."""
        return super().__str__()

    def format(self, format_option: Callable[[str, str], str]) -> str:
        """The message with each option as `format_option(name, value)` spells it."""
        return _OPTION_PATTERN.sub(lambda found: format_option(found[1], found[2]), self.message)

    def __str__(self) -> str:
        return self.format(_format_argument)


class ConfigError(BatchInferError):
    """The configuration cannot be used as it stands."""

    exit_code = 2


class IncompleteConfig(ConfigError):  # noqa: N818 - reads as a fact
    """Settings are missing, or cannot be used: the message lists each, and where to find it."""


class UnknownKey(ConfigError):  # noqa: N818 - reads as a fact
    """The run has no item of this key."""


class QueryError(ConfigError):
    """The SQL of a query cannot be run."""


class ExportError(ConfigError):
    """The output of an export or a report cannot be written as asked."""


class SourceError(BatchInferError):
    """The input cannot be read as it stands: names the place (file, line)."""

    exit_code = 2


class SourceUnavailable(SourceError):  # noqa: N818 - reads as a fact
    """The input could be read before, or its disk has trouble: nobody made a mistake."""


class StoreError(BatchInferError):
    """The run directory cannot be used."""


class RunLocked(StoreError):  # noqa: N818 - reads as a fact
    """Another process is working on this run."""


class RunMismatch(StoreError):  # noqa: N818 - reads as a fact
    """The run was made for another service, mode or parameters."""


class RunCorrupt(StoreError):  # noqa: N818 - reads as a fact
    """The directory holds no run that this version can read."""


class RunDamaged(StoreError):  # noqa: N818 - reads as a fact
    """Some of the run is not what was written; all else was read, or exported."""


class _CodedError(BatchInferError):
    """An error with a stable code, as failures have; it can be pickled."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[_CodedError], tuple[str, str], dict[str, object]]:
        return type(self), (self.code, self.message), vars(self)


class RunAborted(_CodedError):  # noqa: N818 - reads as a fact
    """A fatal error ended the run; everything recorded is kept, and the run can be resumed."""


class FatalError(_CodedError):
    """No item can succeed until somebody acts; raised inside a backend only."""
