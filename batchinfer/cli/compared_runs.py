"""`batchinfer run --compare`: a run for each of several services, then a page for each pair."""

from __future__ import annotations

import json
from pathlib import Path

from batchinfer import api
from batchinfer.cli.cli_options import Verbosity
from batchinfer.cli.execution import execute, suggest_result_steps
from batchinfer.cli.output import echo_data, echo_message, escape_lines, to_command_line
from batchinfer.text_format import escape_unprintable


def execute_for_each_service(job: api.Job, verbosity: Verbosity, continue_command: str) -> int:
    """Run a job at each service, one after the other, and compare the first with each other one.

    Returns the exit code: the highest of the runs. An interruption ends it before the comparison;
    `continue_command` goes on with all of it. Raises as `execute`, and what a comparison raises.
    """
    jobs = api.split_job_by_service(job)
    exit_code = api.EXIT_OK
    for name, each in jobs:
        if not verbosity.quiet:
            echo_message(f"Service {escape_unprintable(name)}, run {escape_lines(str(each.run))}:")
        code = execute(each, verbosity, continue_command, suggest_result_steps)
        if code == api.EXIT_INTERRUPTED:
            return code
        exit_code = max(exit_code, code)
    (first, first_job), *others = jobs
    for name, other in others:
        page = job.run / f"{first}-{name}.html"
        _compare(first_job.run, other.run, page, verbosity)
    return exit_code


def _compare(a: Path, b: Path, page: Path, verbosity: Verbosity) -> None:
    from batchinfer.api import run_comparison
    from batchinfer.comparison import comparison_sentences

    found = run_comparison.compare(
        a, b, page, notice=lambda sentence: echo_message(escape_unprintable(sentence))
    )
    if verbosity.as_json:
        echo_data(json.dumps({"event": "comparison", **found.as_json()}))
    if not verbosity.quiet:
        echo_message(
            f"{escape_lines(str(a))} and {escape_lines(str(b))}: "
            f"{escape_unprintable(comparison_sentences.describe_outcome(found))}",
            f"Both drawn: {escape_lines(str(page))}",
            f"More: {to_command_line('compare', a, b)}",
        )
