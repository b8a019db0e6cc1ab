"""Every exception that batchinfer raises on purpose, by who must act.

::

    BatchInferError
    ├─ ConfigError        the user must change something                     exit 2
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


class BatchInferError(Exception):
    """Whatever batchinfer raises on purpose."""

    exit_code = 3


class ConfigError(BatchInferError):
    """The configuration cannot be used as it stands."""

    exit_code = 2


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
        return type(self), (self.code, str(self)), vars(self)


class RunAborted(_CodedError):  # noqa: N818 - reads as a fact
    """A fatal error ended the run; everything recorded is kept, and the run can be resumed."""


class FatalError(_CodedError):
    """No item can succeed until somebody acts; raised inside a backend only."""
