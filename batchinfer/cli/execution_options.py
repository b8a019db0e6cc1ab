"""Options that say how a run is worked on: how much at once, how long, and by whom."""

from __future__ import annotations

import click

from batchinfer import defaults
from batchinfer.cli.cli_options import combine_options, format_default, service_option
from batchinfer.mode import Mode


def _format_megabytes(byte_count: int) -> str:
    return f"{byte_count / 1_000_000:g}MB"


process_options = combine_options(
    click.option(
        "--stop-after",
        metavar="DURATION",
        help="Stop after so long as by Ctrl-C, as 3h50m: exit code 130, and resume continues.",
    ),
    click.option(
        "--grace",
        metavar="DURATION",
        help="After a stop (also by SIGTERM, SIGUSR1), cut off calls that are still running after "
        "so long, as 90s. Default: none, up to their timeout.",
    ),
    click.option(
        "--scratch",
        metavar="DIR",
        help="Work in a folder of DIR, on a local disk, and copy the run back: at the end, at a "
        "stop, and every minute or so. For a RUN on a network file system.",
    ),
)

execution_options = combine_options(
    click.option(
        "-n",
        "--concurrency",
        metavar="auto|N|MIN-MAX",
        help="Calls in flight (sync); objects submitted and unfinished (async). Default: auto, as "
        "many as the service serves.",
    ),
    click.option("--rate", metavar="N/s", help="Start at most so many attempts, as 5/s or 300/m."),
    click.option(
        "--bandwidth", metavar="SIZE/s", help="Send no faster than this, as 10MB/s or 80Mbit/s."
    ),
    click.option(
        "--memory",
        metavar="SIZE",
        help="For files and replies that are in memory at a time, as 1GB; on a cluster, of this "
        "process and of each worker. Default: "
        f"{_format_megabytes(defaults.MEMORY_BYTES)}.",
    ),
    click.option(
        "--max-reply",
        metavar="SIZE",
        help="Of one reply, as 200MB; an item whose reply is larger fails. Default: "
        f"{_format_megabytes(defaults.MAX_REPLY_BYTES)}.",
    ),
    click.option(
        "--timeout",
        metavar="DURATION",
        help="Of one attempt, as 90s or 10m. Default: "
        f"{format_default(defaults.ATTEMPT_TIMEOUT[Mode.SYNC])} (sync), "
        f"{format_default(defaults.ATTEMPT_TIMEOUT[Mode.ASYNC])} (async).",
    ),
    click.option(
        "--deadline", metavar="DURATION", help="Of one item with all its attempts. Default: none."
    ),
    click.option(
        "--cold-start",
        metavar="DURATION",
        help="How long to wait for a service that has not answered yet. Default: "
        f"{format_default(defaults.COLD_START_TIMEOUT)}.",
    ),
    click.option(
        "--give-up-after",
        metavar="DURATION",
        help="How long to wait for a service that has answered before. Default: "
        f"{format_default(defaults.GIVE_UP_AFTER)}.",
    ),
    click.option(
        "--hedge/--no-hedge",
        default=None,
        help="A second call for the last ones, when they take unusually long. Default: yes.",
    ),
    click.option(
        "--max-attempts",
        metavar="N",
        help=f"Tries of an item whose failure may pass. Default: {defaults.MAX_ATTEMPTS}.",
    ),
    click.option(
        "--max-failures", metavar="N|P%", help="Give up when more items have failed, as 100 or 5%."
    ),
    service_option,
    click.option("--limit", type=click.IntRange(1), metavar="N", help="Send at most N items now."),
    process_options,
    click.option(
        "--force", is_flag=True, help="Continue although service, mode or parameters differ now."
    ),
)

cluster_options = combine_options(
    click.option(
        "--on",
        metavar="dask|none",
        help="Let the workers of a Dask cluster make the attempts: of one that is started here, or "
        "that the next options name.",
    ),
    click.option(
        "--scheduler", metavar="ADDRESS", help="The cluster's scheduler, as tcp://10.0.0.1:8786."
    ),
    click.option(
        "--scheduler-file",
        metavar="FILE",
        help="What `dask scheduler --scheduler-file` has written.",
    ),
    click.option(
        "--workers",
        metavar="N",
        help="Processes started on this machine. Default with --on dask: one for each core.",
    ),
)
