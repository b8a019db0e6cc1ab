"""batchinfer: run a model over thousands of inputs, unattended, and trust what comes back.

::

    import batchinfer as bi

    run = bi.run("photos", "my-run", config="batchinfer.toml", progress=True)
    run.to_pandas()

Every public name is described in docs/reference/python.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from batchinfer._version import __version__

if TYPE_CHECKING:
    from batchinfer.api import (
        CheckResult,
        CleanupSummary,
        Config,
        Detail,
        Finding,
        FindingState,
        ModelDescription,
        PrepareSummary,
        QueryResult,
        Results,
        Run,
        Settings,
        Status,
        Summary,
        acheck,
        aclean,
        acollect,
        actl,
        adescribe,
        aexport,
        ainit,
        aprepare,
        aquery,
        areport,
        aresume,
        aretry,
        arun,
        ashow,
        astatus,
        asubmit,
        check,
        clean,
        collect,
        ctl,
        describe,
        export,
        init,
        load_config,
        prepare,
        query,
        requeue,
        results,
        resume,
        retry,
        run,
        show,
        status,
        stream,
        submit,
    )
    from batchinfer.domain import Attempt, Counts, Failure, Item, Mode, Reply, Result, State
    from batchinfer.errors import (
        BatchInferError,
        ConfigError,
        ExportError,
        IncompleteConfig,
        QueryError,
        RunAborted,
        RunCorrupt,
        RunDamaged,
        RunLocked,
        RunMismatch,
        SourceError,
        StoreError,
        UnknownKey,
    )

__all__ = [
    "Attempt",
    "BatchInferError",
    "CheckResult",
    "CleanupSummary",
    "Config",
    "ConfigError",
    "Counts",
    "Detail",
    "ExportError",
    "Failure",
    "Finding",
    "FindingState",
    "IncompleteConfig",
    "Item",
    "Mode",
    "ModelDescription",
    "PrepareSummary",
    "QueryError",
    "QueryResult",
    "Reply",
    "Result",
    "Results",
    "Run",
    "RunAborted",
    "RunCorrupt",
    "RunDamaged",
    "RunLocked",
    "RunMismatch",
    "Settings",
    "SourceError",
    "State",
    "Status",
    "StoreError",
    "Summary",
    "UnknownKey",
    "__version__",
    "acheck",
    "aclean",
    "acollect",
    "actl",
    "adescribe",
    "aexport",
    "ainit",
    "aprepare",
    "aquery",
    "areport",
    "aresume",
    "aretry",
    "arun",
    "ashow",
    "astatus",
    "asubmit",
    "check",
    "clean",
    "collect",
    "ctl",
    "describe",
    "export",
    "init",
    "load_config",
    "prepare",
    "query",
    "requeue",
    "results",
    "resume",
    "retry",
    "run",
    "show",
    "status",
    "stream",
    "submit",
]

_PUBLIC_MODULES = ("batchinfer.errors", "batchinfer.domain", "batchinfer.api")


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for: `import batchinfer` itself costs nothing."""
    if name in __all__:
        for module in map(import_module, _PUBLIC_MODULES):
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
