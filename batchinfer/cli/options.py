"""Options that several commands share, and how they become settings.

Values are handed on as they were typed: `batchinfer.config` reads them all, whatever place they
come from, and its messages name the flag.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from batchinfer.config import DEFAULT_FILE, ENV_FILE, split_param
from batchinfer.progress.text import printable
from batchinfer.sources.lists import AS_FILE, FILES_FROM
from batchinfer.sources.patterns import has_magic
from batchinfer.sources.selection import KINDS

_C = TypeVar("_C", bound=Callable[..., Any])


class _PathType(click.Path):
    """A path that is not empty: `pathlib` would take that for the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a path."""
        if not str(value).strip():
            self.fail("an empty name names no file.", param, ctx)
        return super().convert(value, param, ctx)


PATH = _PathType(path_type=Path)

RUN = click.argument("run", metavar="RUN", type=PATH)


@dataclass(frozen=True, slots=True)
class Voice:
    """How much is said, and to whom."""

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False


def together(*options: Callable[[_C], _C]) -> Callable[[_C], _C]:
    """Several options as one decorator, in that order."""

    def decorate(function: _C) -> _C:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


config_option = together(
    click.option(
        "-c",
        "--config",
        type=PATH,
        metavar="CONFIG",
        help=f"Configuration (TOML). Default for a new run: ./{DEFAULT_FILE}, if it is there.",
    ),
    click.option(
        "--env-file",
        type=PATH,
        metavar="FILE",
        help="File of environment variables with the secrets. Default: .batchinfer.env beside the"
        " config.",
    ),
)

item_options = together(
    click.option(
        "--param",
        "params",
        multiple=True,
        metavar="NAME=VALUE",
        help="A parameter of the model (repeatable). VALUE is read as JSON, else as text.",
    ),
    click.option(
        "--file-param", metavar="NAME", help="The parameter that takes the file. Default: files."
    ),
    click.option(
        "--include",
        multiple=True,
        metavar="PATTERN",
        help="Which files of a folder, as '*.jpg' or 'train/**/*.png', in any case (repeatable).",
    ),
    click.option("--glob", multiple=True, metavar="PATTERN", help="The same as --include."),
    click.option(
        "--exclude",
        multiple=True,
        metavar="PATTERN",
        help="Which files, or folders with all in them, are left out, as '*_mask.png' or 'thumbs/' "
        "(repeatable).",
    ),
    click.option(
        "--only",
        multiple=True,
        type=click.Choice(list(KINDS), case_sensitive=False),
        help="Only files of this kind, by their endings (repeatable).",
    ),
)

source_options = together(
    click.option(
        "--files-from",
        multiple=True,
        metavar="FILE|-",
        help="Send the files that FILE lists, a path a line, relative to FILE's folder (- is "
        "standard input, relative to this one). Repeatable.",
    ),
    click.option(
        "--as-file",
        is_flag=True,
        help="SOURCE is a file to be sent itself, though it looks like a list (.csv, .txt, .json).",
    ),
)

pace_options = together(
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
        help="For files and replies that are in memory at a time, as 1GB. Default: 256MB.",
    ),
    click.option(
        "--max-reply",
        metavar="SIZE",
        help="Of one reply, as 200MB; an item whose reply is larger fails. Default: 64MB.",
    ),
    click.option(
        "--timeout",
        metavar="DURATION",
        help="Of one attempt, as 90s or 10m. Default: 10m (sync), 1h (async).",
    ),
    click.option(
        "--deadline", metavar="DURATION", help="Of one item with all its attempts. Default: none."
    ),
    click.option(
        "--cold-start",
        metavar="DURATION",
        help="How long to wait for a service that has not answered yet. Default: 15m.",
    ),
    click.option(
        "--give-up-after",
        metavar="DURATION",
        help="How long to wait for a service that has answered before. Default: 4h.",
    ),
    click.option(
        "--hedge/--no-hedge",
        default=None,
        help="A second call for the last ones, when they take unusually long. Default: yes.",
    ),
    click.option(
        "--max-attempts", metavar="N", help="Tries of an item whose failure may pass. Default: 5."
    ),
    click.option(
        "--max-failures", metavar="N|P%", help="Give up when more items have failed, as 100 or 5%."
    ),
    click.option("--limit", type=click.IntRange(1), metavar="N", help="Send at most N items now."),
    click.option(
        "--force", is_flag=True, help="Go on though service, mode or parameters are others now."
    ),
)

known_run_options = together(
    click.option(
        "--moved",
        is_flag=True,
        help="SOURCE is that of the run, at a new place: it is looked for there, then continued.",
    ),
    click.option(
        "--add", is_flag=True, help="Add the items of another SOURCE to a run that has begun."
    ),
)

voice_options = together(
    click.option("--json", "as_json", is_flag=True, help="Progress as JSON lines on stdout."),
    click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors."),
    click.option("-v", "--verbose", is_flag=True, help="Tell every failed attempt."),
)

detach_option = click.option(
    "--detach", is_flag=True, help="Go on in the background; prints where, as JSON, and ends."
)

validate_option = click.option(
    "--validate/--no-validate",
    default=True,
    help="Check all parameters against the model's help before anything is sent. Default: yes.",
)

clean_option = click.option(
    "--clean",
    is_flag=True,
    help="Async mode: delete from the bucket what is on record, as it goes.",
)

MAP = click.option(
    "--map",
    "mapped",
    multiple=True,
    metavar="NAME=PATH",
    help="Where detections or classes stand in a prediction, as 'boxes=a.b label=c' (repeatable). "
    "Default: told by its shape.",
)
BOXES = click.option(
    "--boxes",
    default="upright",
    metavar="WORD[,WORD]",
    help="Of photographs that are stored turned: the model turned them upright first, or saw them "
    "stored. Also the order of four numbers (xyxy: corners; xywh: left, top, width, height; "
    "cxcywh: centre, width, height) and their unit (pixels, relative). Default: upright, and what "
    "the predictions of the run show.",
)
FORMULAS = click.option(
    "--formulas",
    is_flag=True,
    help="Leave cells of a CSV as they are that a spreadsheet would take for formulas.",
)

CSV_BOM = click.option(
    "--csv-bom",
    is_flag=True,
    help="Begin a CSV with a byte order mark: Excel then shows ü and é right when you open it by a"
    " double click. Most other programs want none.",
)

_INPUT = frozenset({"include", "exclude", "only", "glob", "file_param"})


def flags(given: Mapping[str, object], params: Sequence[str] = ()) -> dict[str, object]:
    """What was given on the command line as `config.load` names it. Raises ConfigError."""
    named = {f"{'input' if name in _INPUT else 'run'}.{name}": each for name, each in given.items()}
    named[ENV_FILE] = named.pop("run.env_file", None)
    return named | {f"params.{name}": value for name, value in map(split_param, params)}


def sources(source: Sequence[str], files_from: Sequence[str], *, as_file: bool) -> tuple[str, ...]:
    """All sources that were given, as `batchinfer.sources` names them."""
    named = [f"{AS_FILE}{each}" if as_file and each != "-" else each for each in source]
    return (*named, *(f"{FILES_FROM}{each}" for each in files_from))


def must_be_given(source: Sequence[str]) -> None:
    """Raises UsageError when there is no source at all."""
    if not source:
        raise click.UsageError(
            "Missing argument 'SOURCE...': name a folder, files, a manifest, or -."
        )


def standard_input(source: Sequence[str]) -> BinaryIO | None:
    """What a source is read from that is standard input; None: there is none."""
    return sys.stdin.buffer if reads_standard_input(source) else None


def reads_standard_input(source: Sequence[str]) -> bool:
    """Whether one of the sources is standard input."""
    return any(each.removeprefix(FILES_FROM) == "-" for each in source)


def again(config: Path | None, env_file: object = None, *, clean: bool) -> list[str | Path]:
    """What the command line that goes on with a run must repeat."""
    files = (("-c", config), ("--env-file", env_file))
    named = [str(word) for option, file in files if file for word in (option, file)]
    return [*named, *(("--clean",) if clean else ())]


def key_argument(key: str) -> tuple[str, ...]:
    """A key as the last argument of a command line."""
    return ("--", key) if key.startswith("-") else (key,)


def default_run(source: str) -> Path:
    """The run directory of a source when none was named: here, after the source."""
    source = source.removeprefix(FILES_FROM).removeprefix(AS_FILE)
    if source == "-":
        return Path("stdin-run")
    path = Path(source).absolute()
    while has_magic(path.name):
        path = path.parent
    path = path.resolve() if path.name in {"", ".."} else path
    name = path.name if path.is_dir() else Path(path.name.removesuffix(".gz")).stem
    return Path(f"{printable(name).lstrip('-.') or 'batchinfer'}-run")
