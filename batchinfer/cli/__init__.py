"""The command line: one file per command.

* Data goes to stdout, messages go to stderr.
* A mistake of the user is a message (`error: ...`), never a traceback. An exception that is not a
  BatchInferError is a bug: traceback, exit code 70.
* A command's module is imported when the command is called, and what it does when it does it: at
  the top of a module stand imports that `--help` needs, or that cost nothing. `api` imports each of
  its names when it is used.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from batchinfer._version import __version__
from batchinfer.cli.param_types import PATH_PARAMETERS, TEXT_PARAM_TYPE
from batchinfer.cli.std_streams import open_standard_streams
from batchinfer.errors import BatchInferError

EXIT_USAGE, EXIT_BUG, EXIT_INTERRUPTED = 2, 70, 130

_BAD_PATH_ERRNOS = {errno.ENAMETOOLONG, errno.ELOOP}
"""Errors of paths that cannot exist, wherever they occur."""

COMMAND_SUMMARIES = {
    "init": "Write a configuration: to be filled in, or from what the Dashboard shows.",
    "check": "See whether all is well before anything is sent.",
    "describe": "Show what the model takes.",
    "run": "Send a source through the service: start, or continue.",
    "watch": "Send what is added to a folder or a bucket, as it comes.",
    "resume": "Continue a run.",
    "submit": "Async mode, first half: put the items into the bucket.",
    "collect": "Async mode, second half: fetch what has come out.",
    "status": "Where a run stands, and what to do next.",
    "ctl": "Control a running process: pause, resume, concurrency, rate, stop.",
    "retry": "Put failed items back to pending.",
    "compare": "Compare two runs: what failed, changed or moved.",
    "merge": "Make several runs one: the shards of a source.",
    "report": "Make the page people look at: one HTML file.",
    "export": "Write the results: tables, or labels for other programs.",
    "query": "Ask the results in SQL.",
    "show": "Everything about one item.",
    "clean": "Delete from the bucket what is on record.",
    "prepare": "Write payload files, for the web UI or for curl.",
    "local": "Serve a model on this machine as the platform would.",
}
"""Every command, in the order of use, with its line in the help."""

EPILOG = """\b
Examples:
  batchinfer init
  batchinfer run photos -o my-run
  batchinfer status my-run
  batchinfer report my-run --open
  batchinfer export my-run -o results.csv

\b
Exit codes: 0 all succeeded, 1 some items failed, 2 usage, config or
source, 3 aborted or run unusable, 130 interrupted (resumable)."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names of all commands."""
        return list(COMMAND_SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """The command from its file."""
        if cmd_name not in COMMAND_SUMMARIES:
            from batchinfer.suggestions import suggest

            ctx.fail(f"There is no command {cmd_name!r}.{suggest(cmd_name, COMMAND_SUMMARIES)}")
        module = import_module(f"batchinfer.cli.{cmd_name}_command")
        command: click.Command = getattr(module, cmd_name)
        for param in command.params:
            if param.type is click.STRING and param.name not in PATH_PARAMETERS:
                param.type = TEXT_PARAM_TYPE
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; --help and --version are printed here."""
        try:
            return super().parse_args(ctx, args)
        except BrokenPipeError:
            return ctx.exit(0)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. A reader that closes the pipe early is no failure."""
        from batchinfer.machine_limits import raise_open_file_limit

        raise_open_file_limit()
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return ctx.exit(0)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMAND_SUMMARIES.items()))


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="batchinfer", message="%(prog)s %(version)s")
@click.pass_context
def batchinfer(context: click.Context) -> None:
    """Run a model of the AI4OS Inference platform over thousands of inputs, unattended.

    Interrupt it whenever you like: the same line continues it.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(EXIT_USAGE)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code (`docs/reference/scripting.md`)."""
    open_standard_streams()
    # As Ctrl-C, where no command handles it: what is half done is cleaned up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:  # nohup ignores it
        signal.signal(hangup, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that lacks a sign is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    return _flush_stdout(_invoke_command(args))


def _invoke_command(args: Sequence[str] | None) -> int:
    try:
        # Commands end with a code of their own (`Context.exit`), or with None.
        return batchinfer.main(args, prog_name="batchinfer", standalone_mode=False) or 0
    except BatchInferError as error:
        from batchinfer.cli.output import format_error

        return _report_error(format_error(error), error.exit_code)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        usage = f"{context.get_usage()}\n" if context is not None else ""
        return _report_error(error.format_message(), EXIT_USAGE, usage=usage)
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - shown whole
        return _report_unexpected_error(error)


def _report_error(message: str, code: int, usage: str = "") -> int:
    from batchinfer.cli.output import echo_message, escape_lines

    echo_message(f"{usage}error: {escape_lines(message)}")
    return code


def _report_unexpected_error(error: Exception) -> int:
    if isinstance(error, OSError) and error.errno in _BAD_PATH_ERRNOS:
        return _report_error(f"{str(error.filename)[:100]}: {error.strerror}.", EXIT_USAGE)
    return _report_bug()


def _report_bug() -> int:
    import traceback

    traceback.print_exc()
    print(  # noqa: T201 - nothing else may work
        "error: this is a bug in batchinfer, for which we are sorry. What is recorded in a run "
        "directory is safe. Please report it with the lines above.",
        file=sys.stderr,
    )
    return EXIT_BUG


def _flush_stdout(code: int) -> int:
    """Flush stdout now: errors at the interpreter's end could not be reported."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        with open(os.devnull, "w", encoding="utf-8") as devnull:  # noqa: PTH123 - no path
            os.dup2(devnull.fileno(), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError) and code == 0:
            return _report_error(f"standard output cannot be written: {error}", EXIT_USAGE)
    return code
