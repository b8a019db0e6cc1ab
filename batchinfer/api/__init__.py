"""What the command line and Python do: jobs, runs as objects, reading of results.

The public part is re-exported by `batchinfer`, and documented in docs/reference/python.md.
"""

from batchinfer.api.bucket_cleanup import CleanupSummary, clean_bucket
from batchinfer.api.checks import Finding, FindingState
from batchinfer.api.command_forms import (
    CheckResult,
    acheck,
    aclean,
    actl,
    adescribe,
    aprepare,
    aretry,
    check,
    clean,
    ctl,
    describe,
    prepare,
    requeue,
    retry,
)
from batchinfer.api.config_files import ainit, init
from batchinfer.api.control import Controller, get_worker_status, send_command, serve_control
from batchinfer.api.dry_run import Preview, preview
from batchinfer.api.job import AsyncPhase, Job, ResolvedJob, require_job_run, require_run
from batchinfer.api.job_runner import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, run_job, summarize
from batchinfer.api.model_help import ModelDescription
from batchinfer.api.payload_files import PrepareSummary
from batchinfer.api.result_export import BoxSpec, ResultFilter, build_export_source, export
from batchinfer.api.result_set import Results, results
from batchinfer.api.result_stream import stream
from batchinfer.api.run_directory import aexport, aquery, areport, ashow, astatus
from batchinfer.api.run_report import report
from batchinfer.api.run_status import (
    RunEstimate,
    Status,
    estimate_run,
    estimate_time_left,
    find_key,
    show,
    status,
)
from batchinfer.api.runs import Run, acollect, aresume, arun, asubmit, collect, resume, run, submit
from batchinfer.api.settings import Settings, Sources, StrPath, load_config
from batchinfer.api.sql_query import QueryResult, list_views, query
from batchinfer.config import Config
from batchinfer.progress import Summary
from batchinfer.store.run_reader import Detail

__all__ = [
    "EXIT_FAILED",
    "EXIT_INTERRUPTED",
    "EXIT_OK",
    "AsyncPhase",
    "BoxSpec",
    "CheckResult",
    "CleanupSummary",
    "Config",
    "Controller",
    "Detail",
    "Finding",
    "FindingState",
    "Job",
    "ModelDescription",
    "PrepareSummary",
    "Preview",
    "QueryResult",
    "ResolvedJob",
    "ResultFilter",
    "Results",
    "Run",
    "RunEstimate",
    "Settings",
    "Sources",
    "Status",
    "StrPath",
    "Summary",
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
    "build_export_source",
    "check",
    "clean",
    "clean_bucket",
    "collect",
    "ctl",
    "describe",
    "estimate_run",
    "estimate_time_left",
    "export",
    "find_key",
    "get_worker_status",
    "init",
    "list_views",
    "load_config",
    "prepare",
    "preview",
    "query",
    "report",
    "requeue",
    "require_job_run",
    "require_run",
    "results",
    "resume",
    "retry",
    "run",
    "run_job",
    "send_command",
    "serve_control",
    "show",
    "status",
    "stream",
    "submit",
    "summarize",
]
