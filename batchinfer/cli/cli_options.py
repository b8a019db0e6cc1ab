"""Options that several commands share, and how they become settings.

Values are passed on as they were typed: `batchinfer.config` parses them all, wherever they come
from, and its messages name the flag.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from batchinfer import defaults
from batchinfer.cli.param_types import PATH_PARAM_TYPE
from batchinfer.config.template import DEFAULT_CONFIG_FILE
from batchinfer.sources.file_kinds import FILE_KINDS
from batchinfer.sources.list_detection import AS_FILE_PREFIX, FILES_FROM_PREFIX, split_prefix
from batchinfer.sources.source_formats import AUTO_FORMAT, SOURCE_FORMATS, split_sheet
from batchinfer.text_format import escape_unprintable

_C = TypeVar("_C", bound=Callable[..., Any])


run_argument = click.argument("run", metavar="RUN", type=PATH_PARAM_TYPE)


@dataclass(frozen=True, slots=True)
class Verbosity:
    """How much is said, and to whom."""

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False


def combine_options(*options: Callable[[_C], _C]) -> Callable[[_C], _C]:
    """Several options as one decorator, in that order."""

    def decorate(function: _C) -> _C:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def format_examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def format_default(seconds: float) -> str:
    """A duration as one would type it: "15m", "1h"."""
    return f"{seconds / 3600:g}h" if seconds % 3600 == 0 else f"{seconds / 60:g}m"


config_option = combine_options(
    click.option(
        "-c",
        "--config",
        type=PATH_PARAM_TYPE,
        metavar="CONFIG",
        help=f"Configuration (TOML). Default for a new run: ./{DEFAULT_CONFIG_FILE}, if it is "
        "there.",
    ),
    click.option(
        "--env-file",
        type=PATH_PARAM_TYPE,
        metavar="FILE",
        help="File of environment variables with the secrets. Default: .batchinfer.env beside the"
        " config.",
    ),
)

item_options = combine_options(
    click.option(
        "--protocol",
        metavar="NAME",
        help="How the service is spoken to, if it is none of AI4OS: the name of an installed "
        "protocol.",
    ),
    click.option(
        "--param",
        "params",
        multiple=True,
        metavar="NAME=VALUE",
        help="A parameter of the model (repeatable). VALUE is read as JSON, else as text.",
    ),
    click.option(
        "--file-param",
        metavar="NAME",
        help=f"The parameter that takes the file. Default: {defaults.FILE_PARAM}.",
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
        type=click.Choice(list(FILE_KINDS), case_sensitive=False),
        help="Only files of this kind, by their endings (repeatable).",
    ),
    click.option(
        "--frames",
        metavar="RULE",
        help="Of videos send frames: every=2s, fps=1, or n=20 of each.",
    ),
)

service_option = click.option(
    "--service",
    multiple=True,
    metavar="NAME",
    help="Of several services ([[service]]), only this one (repeatable). Default: all.",
)

source_options = combine_options(
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
    click.option(
        "--source-format",
        metavar="FORMAT",
        help=f"What SOURCE is: {', '.join((AUTO_FORMAT, *SOURCE_FORMATS))}. Default: auto, by its "
        "name and content; coco and yolo are data sets by their annotation file or data.yaml, hf "
        "is a folder of the library datasets or the Hugging Face Hub.",
    ),
    click.option(
        "--sheet", metavar="NAME", help="The sheet of a workbook (.xlsx) that has several."
    ),
)

shard_option = click.option(
    "--shard",
    metavar="I/N",
    help="Send only part I of N, as 3/16: other runs send the others, and `batchinfer merge` joins "
    "them. A run keeps its part.",
)

choice_options = combine_options(
    click.option(
        "--sample",
        metavar="N",
        help="Send only N items, each with the same chance; all of SOURCE is listed first.",
    ),
    click.option(
        "--seed",
        metavar="NUMBER",
        help="Which sample, and which random order: the same number gives the same. Default: 0.",
    ),
    click.option(
        "--order",
        metavar="path|newest|random",
        help="In which order items are sent. Other than by path (the default), all of SOURCE is "
        "listed first.",
    ),
)

reuse_option = click.option(
    "--reuse",
    multiple=True,
    metavar="RUN",
    help="Take over what an earlier run has of the same file, service and parameters, without a "
    "call (repeatable; none: nothing, though the run did before).",
)

existing_run_options = combine_options(
    click.option(
        "--moved",
        is_flag=True,
        help="SOURCE is that of the run, at a new place: it is looked for there, then continued.",
    ),
    click.option(
        "--add", is_flag=True, help="Add the items of another SOURCE to a run that has begun."
    ),
)

verbosity_options = combine_options(
    click.option("--json", "as_json", is_flag=True, help="Progress as JSON lines on stdout."),
    click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors."),
    click.option("-v", "--verbose", is_flag=True, help="Print every failed attempt."),
)

detach_option = click.option(
    "--detach", is_flag=True, help="Continue in the background; prints where, as JSON, and ends."
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

map_option = click.option(
    "--map",
    "mapped",
    multiple=True,
    metavar="NAME=PATH",
    help="Where detections or classes stand in a prediction, as 'boxes=a.b label=c' (repeatable). "
    "Default: recognized by its shape.",
)
boxes_option = click.option(
    "--boxes",
    default="upright",
    metavar="WORD[,WORD]",
    help="Of photographs that are stored turned: the model turned them upright first, or saw them "
    "stored. Also the order of four numbers (xyxy: corners; xywh: left, top, width, height; "
    "cxcywh: centre, width, height) and their unit (pixels, relative). Default: upright, and what "
    "the predictions of the run show.",
)
formulas_option = click.option(
    "--formulas",
    is_flag=True,
    help="Leave cells of a CSV as they are that a spreadsheet would take for formulas.",
)

csv_bom_option = click.option(
    "--csv-bom",
    is_flag=True,
    help="Begin a CSV with a byte order mark: Excel then shows ü and é right when you open it by a"
    " double click. Most other programs want none.",
)

_PACKED_EXTENSION = re.compile(r"\.(gz|bz2|xz|zst)$")
_SECTION_BY_OPTION = {
    **dict.fromkeys(
        ("include", "exclude", "only", "glob", "shard", "frames", "file_param"), "input"
    ),
    "source_format": "input",
    **dict.fromkeys(("sample", "seed", "order"), "input"),
    **dict.fromkeys(
        ("settle", "interval", "events", "again_when_changed", "until_idle", "enabled"), "watch"
    ),
    "protocol": "service",
    **dict.fromkeys(("on", "scheduler", "scheduler_file", "workers"), "cluster"),
}


def to_config_flags(options: Mapping[str, object], params: Sequence[str] = ()) -> dict[str, object]:
    """What was given on the command line as `config.load_config` names it. Raises ConfigError."""
    from batchinfer.config import ENV_FILE_FLAG, split_param_argument

    config_flags = {
        f"{_SECTION_BY_OPTION.get(name, 'run')}.{name}": each for name, each in options.items()
    }
    config_flags[ENV_FILE_FLAG] = config_flags.pop("run.env_file", None)
    return config_flags | {
        f"params.{name}": value for name, value in map(split_param_argument, params)
    }


def combine_sources(
    arguments: Sequence[str],
    files_from: Sequence[str],
    *,
    as_file: bool,
    sheet: str | None = None,
) -> tuple[str, ...]:
    """All sources that were given, as `batchinfer.sources` spells them."""
    if sheet is not None:
        arguments = [f"{each}#{sheet}" for each in arguments]
    marked = [f"{AS_FILE_PREFIX}{each}" if as_file and each != "-" else each for each in arguments]
    return (*marked, *(f"{FILES_FROM_PREFIX}{each}" for each in files_from))


def require_source(sources: Sequence[str]) -> None:
    """Raises UsageError when there is no source at all."""
    if not sources:
        raise click.UsageError(
            "Missing argument 'SOURCE...': name a folder, files, a manifest, or -."
        )


def get_stdin(sources: Sequence[str]) -> BinaryIO | None:
    """What a source is read from that is standard input; None: there is none."""
    return sys.stdin.buffer if uses_stdin(sources) else None


def uses_stdin(sources: Sequence[str]) -> bool:
    """Whether one of the sources is standard input."""
    return any(each.removeprefix(FILES_FROM_PREFIX) == "-" for each in sources)


def carry_over_options(
    config: Path | None,
    env_file: object = None,
    *,
    clean: bool,
    settings: Mapping[str, object] | None = None,
) -> list[str | Path]:
    """Options that the command line which continues a run must repeat.

    `settings`: all that were given, of which the cluster and the scratch folder are repeated.
    """
    given = settings or {}
    options = (
        ("-c", config),
        ("--env-file", env_file),
        ("--on", given.get("on")),
        ("--scheduler", given.get("scheduler")),
        ("--scheduler-file", given.get("scheduler_file")),
        ("--workers", given.get("workers")),
        ("--scratch", given.get("scratch")),
    )
    words = [str(word) for option, value in options if value for word in (option, value)]
    return [*words, *(("--clean",) if clean else ())]


def to_key_arguments(key: str) -> tuple[str, ...]:
    """A key as the last argument of a command line."""
    return ("--", key) if key.startswith("-") else (key,)


def default_run_directory(source: str, shard: str | None = None) -> Path:
    """The run directory of a source when none was named: here, after the source and its shard."""
    from batchinfer.sources.shard import Shard

    run = _name_after_source(source)
    if shard is not None:
        with suppress(ValueError):  # reported when the configuration is read
            part = Shard.parse(shard)
            return run.with_name(f"{run.name}-{part.number}-of-{part.count}")
    return run


def _name_after_source(source: str) -> Path:
    from batchinfer.sources.glob_patterns import has_magic

    source = split_sheet(split_prefix(source)[1])[0]
    if source == "-":
        return Path("stdin-run")
    path = Path(source).absolute()
    while has_magic(path.name):
        path = path.parent
    path = path.resolve() if path.name in {"", ".."} else path
    name = path.name if path.is_dir() else Path(_PACKED_EXTENSION.sub("", path.name)).stem
    return Path(f"{escape_unprintable(name).lstrip('-.') or 'batchinfer'}-run")
