"""The command line: one file per command.

Rules of the room:

* stdout is data, stderr is talk.
* What a user did wrong is told in words (`error: ...`), never as a traceback. What is no error of
  ours is a bug, and is not hidden: traceback, exit code 70.
* A command's file is loaded when it is called: `--help` answers at once.
"""

from __future__ import annotations

import difflib
import errno
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

import click

from batchinfer._version import __version__
from batchinfer.cli.streams import open_standard_streams
from batchinfer.cli.texts import PATHS, TEXT
from batchinfer.errors import BatchInferError
from batchinfer.machine import raise_open_files

EXIT_USAGE, EXIT_BUG, EXIT_INTERRUPTED = 2, 70, 130

_BAD_NAMES = {errno.ENAMETOOLONG, errno.ELOOP}
"""What no path that a person gives should be, wherever that is noticed."""

COMMANDS = {
    "init": "Write a configuration: to be filled in, or from what the Dashboard shows.",
    "check": "See whether all is well before anything is sent.",
    "describe": "Show what the model takes.",
    "run": "Send a source through the service: start, or continue.",
    "resume": "Go on with a run.",
    "submit": "Async mode, first half: put the items into the bucket.",
    "collect": "Async mode, second half: fetch what has come out.",
    "status": "Where a run stands, and what to do next.",
    "ctl": "Steer the process at work: pause, resume, concurrency, rate, stop.",
    "retry": "Put failed items back to pending.",
    "report": "Make the page people look at: one HTML file.",
    "export": "Write the results: tables, or labels for other programs.",
    "query": "Ask the results in SQL.",
    "show": "Everything about one item.",
    "clean": "Delete from the bucket what is on record.",
    "prepare": "Write payload files, for the web UI or for curl.",
    "local": "Serve a model on this machine as the platform would.",
}
"""Every command, in the order of use, with its line in the help."""

EXAMPLES = """\b
Examples:
  batchinfer init
  batchinfer run photos -o my-run
  batchinfer status my-run
  batchinfer report my-run --open
  batchinfer export my-run -o results.csv

\b
Exit codes: 0 all succeeded, 1 some items failed, 2 usage, config or
source, 3 aborted or run unusable, 130 interrupted (resumable)."""


class Commands(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """The command from its file."""
        if cmd_name not in COMMANDS:
            near = difflib.get_close_matches(cmd_name, COMMANDS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"There is no command {cmd_name!r}.{hint}")
        module = import_module(f"batchinfer.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        for param in command.params:
            if param.type is click.STRING and param.name not in PATHS:
                param.type = TEXT
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the line; --help and --version are printed here."""
        try:
            return super().parse_args(ctx, args)
        except BrokenPipeError:
            return ctx.exit(0)

    def invoke(self, ctx: click.Context) -> object:
        """Do the command. A reader of ours that has had enough is no failure of ours."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return ctx.exit(0)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=Commands,
    invoke_without_command=True,
    epilog=EXAMPLES,
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
    """Do what the command line says; the exit code (`docs/scripting.md`)."""
    open_standard_streams()
    # As Ctrl-C, wherever no command heeds it better: what is half done is tidied up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:  # nohup ignores it
        signal.signal(hangup, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that lacks a sign is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    raise_open_files()
    return _flushed(_done(args))


def _done(args: Sequence[str] | None) -> int:
    try:
        # Commands end with a code of their own (`Context.exit`), or with None.
        return batchinfer.main(args, prog_name="batchinfer", standalone_mode=False) or 0
    except BatchInferError as error:
        return _refused(str(error), error.exit_code)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        usage = f"{context.get_usage()}\n" if context is not None else ""
        return _refused(error.format_message(), EXIT_USAGE, before=usage)
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - shown whole
        return _unexpected(error)


def _refused(message: str, code: int, before: str = "") -> int:
    from batchinfer.cli.talk import say, spelled  # noqa: PLC0415 - --help does without

    say(f"{before}error: {spelled(message)}")
    return code


def _unexpected(error: Exception) -> int:
    if isinstance(error, OSError) and error.errno in _BAD_NAMES:
        return _refused(f"{str(error.filename)[:100]}: {error.strerror}.", EXIT_USAGE)
    return _bug()


def _bug() -> int:
    traceback.print_exc()
    print(  # noqa: T201 - the last words
        "error: this is a bug in batchinfer, for which we are sorry. What is recorded in a run "
        "directory is safe. Please report it with the lines above.",
        file=sys.stderr,
    )
    return EXIT_BUG


def _flushed(code: int) -> int:
    """Bring stdout to its reader now: at the interpreter's end it is too late to be told."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - no path
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError) and code == 0:
            return _refused(f"standard output cannot be written: {error}", EXIT_USAGE)
    return code
