"""batchinfer: run a model over thousands of inputs, unattended, and trust what comes back.

The Python API is documented in `batchinfer.api`; the words in `batchinfer.domain`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from batchinfer._version import __version__

if TYPE_CHECKING:
    from batchinfer.api import (
        Detail,
        Results,
        Settings,
        Status,
        Summary,
        aresume,
        arun,
        export,
        query,
        requeue,
        results,
        resume,
        run,
        show,
        status,
        stream,
    )
    from batchinfer.domain import Attempt, Failure, Item, Mode, Reply, Result, State
    from batchinfer.errors import (
        BatchInferError,
        ConfigError,
        RunAborted,
        RunCorrupt,
        RunLocked,
        RunMismatch,
        SourceError,
        StoreError,
    )

__all__ = [
    "Attempt",
    "BatchInferError",
    "ConfigError",
    "Detail",
    "Failure",
    "Item",
    "Mode",
    "Reply",
    "Result",
    "Results",
    "RunAborted",
    "RunCorrupt",
    "RunLocked",
    "RunMismatch",
    "Settings",
    "SourceError",
    "State",
    "Status",
    "StoreError",
    "Summary",
    "__version__",
    "aresume",
    "arun",
    "export",
    "query",
    "requeue",
    "results",
    "resume",
    "run",
    "show",
    "status",
    "stream",
]

_PUBLIC_MODULES = ("batchinfer.errors", "batchinfer.domain", "batchinfer.api")


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for: `import batchinfer` itself costs nothing."""
    if name in __all__:
        for module in map(import_module, _PUBLIC_MODULES):
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
