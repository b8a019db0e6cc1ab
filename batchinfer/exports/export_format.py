"""What an export format is, and the registry of all of them.

A format is a class: a subclass of `FileExport` or of `FolderExport`. Other packages add one with an
entry point of the group `batchinfer.exports`, whose name is the format's; it then works as ours do
(`batchinfer export RUN -o x.kml`, `--format kml`, `bi.export`)::

    class KmlExport(FileExport):
        name = "kml"
        extensions = (".kml",)
        unit = "placemark"
        description = "a placemark per item"
        consumers = "Google Earth"

        def write(self, source, file, options):
            ...
            return count

The file or folder that `write` gets is a temporary one beside the target, which replaces the target
only when `write` has returned. `write` may raise OSError, which is reported as a target that cannot
be written, and ConfigError.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, ClassVar, Final, TypeAlias

from batchinfer.errors import ConfigError, option
from batchinfer.exports.export_source import ExportOptions, ExportSource
from batchinfer.plugins import PluginError, Registry
from batchinfer.text_format import escape_undecodable

INTERPRETATION_OPTIONS: Final = frozenset(("map", "boxes"))
"""Options of a format that says what predictions mean, and not only what they are."""


class _ExportFormat(ABC):
    """What both kinds of formats say of themselves."""

    name: ClassVar[str]
    """As in `--format`: lower case, the name of its entry point."""
    unit: ClassVar[str] = "row"
    """What it counts, in the singular."""
    description: ClassVar[str]
    """What it has for each item, beginning with the unit: "a row per item"."""
    consumers: ClassVar[str]
    """Programs that read it."""
    extensions: ClassVar[tuple[str, ...]] = ()
    """Extensions that choose this format, lower case, with the dot."""
    options: ClassVar[frozenset[str]] = frozenset()
    """Which of the options of `bi.export` have an effect: `map` and `boxes` (both in
    `INTERPRETATION_OPTIONS`), and fields of `ExportOptions`."""


class FileExport(_ExportFormat):
    """A format that is one file."""

    @abstractmethod
    def write(self, source: ExportSource, file: BinaryIO, options: ExportOptions) -> int:
        """Write all items of `source`, in their order; how many units.

        `file` need not be seekable. What has to be left out is passed to `source.on_notice`
        (`ExportOmissions` does so).
        """


class FolderExport(_ExportFormat):
    """A format that is a folder of files."""

    has_own_marker: ClassVar[bool] = False
    """Whether its files show by themselves that batchinfer wrote the folder."""

    @abstractmethod
    def write(self, source: ExportSource, folder: Path, options: ExportOptions) -> int:
        """Write all items of `source`, in their order, into an empty folder; how many units."""


ExportFormat: TypeAlias = FileExport | FolderExport

EXPORT_FORMATS: Final[Registry[type[ExportFormat]]] = Registry(
    "batchinfer.exports",
    {
        "jsonl": "batchinfer.exports.item_rows:JsonlExport",
        "csv": "batchinfer.exports.item_rows:CsvExport",
        "csv-flat": "batchinfer.exports.flat_rows:FlatCsvExport",
        "parquet": "batchinfer.exports.arrow:ParquetExport",
        "arrow": "batchinfer.exports.arrow:ArrowExport",
        "coco": "batchinfer.exports.coco:CocoExport",
        "yolo": "batchinfer.exports.yolo:YoloExport",
        "label-studio": "batchinfer.exports.label_studio:LabelStudioExport",
        "fiftyone": "batchinfer.exports.fiftyone:FiftyOneExport",
        "geojson": "batchinfer.exports.geojson:GeoJsonExport",
        "files": "batchinfer.exports.prediction_files:PredictionFilesExport",
        "openai-batch": "batchinfer.exports.openai_batch:OpenAIBatchExport",
        "ro-crate": "batchinfer.exports.ro_crate:RoCrateExport",
    },
)
"""Every format by its name. An extension belongs to the first format that has it."""


def find_format(name: str) -> ExportFormat:
    """The format of that name. Raises ConfigError if it is unknown, PluginError if it is broken."""
    try:
        found: object = EXPORT_FORMATS.get(name)
    except KeyError:
        raise ConfigError(
            f"Unknown export format {name!r}: choose {' or '.join(EXPORT_FORMATS.names())}."
        ) from None
    if not (isinstance(found, type) and issubclass(found, (FileExport, FolderExport))):
        raise PluginError(
            f'The plugin "{name}" of the group {EXPORT_FORMATS.group} is no subclass of FileExport '
            "or FolderExport. Repair or remove the package that installs it."
        )
    return found()


def find_format_by_path(path: Path | str) -> ExportFormat:
    """The format that a file name asks for by its extension, `.gz` aside.

    Raises ConfigError when there is none, PluginError when that may be because a plugin is broken.
    """
    extension = Path(str(path).removesuffix(".gz")).suffix.lower()
    known_extensions, errors = list[str](), list[PluginError]()
    for each in _iter_formats(errors):
        if extension in each.extensions:
            return each
        known_extensions += each.extensions
    if errors:
        raise errors[0]
    problem = f"unknown extension {extension}" if extension else "it has no extension"
    raise ConfigError(
        f"{escape_undecodable(f'{path}: {problem}')}: use .csv for Excel, or name a format with"
        f" {option('format')}. Extensions that name one: {', '.join(known_extensions)} (also with "
        ".gz)."
    )


def list_formats() -> list[ExportFormat]:
    """All formats that can be loaded, in the order of the registry."""
    return list(_iter_formats([]))


def make_format_table() -> str:
    """The table of the formats in the documentation, in Markdown."""
    lines = ["| format | is | counts | read by |", "|---|---|---|---|"]
    for each in list_formats():
        kind = describe_kind(each, quote="`")
        lines.append(f"| `{each.name}` | {kind} | {each.description} | {each.consumers} |")
    return "\n".join(lines) + "\n"


def describe_kind(format: ExportFormat, quote: str = "") -> str:
    """What a format is: "a folder", or "a file: .csv" with its extensions."""
    if isinstance(format, FolderExport):
        return "a folder"
    extensions = ", ".join(f"{quote}{each}{quote}" for each in format.extensions)
    return f"a file: {extensions}" if extensions else "a file"


def _iter_formats(errors: list[PluginError]) -> Iterator[ExportFormat]:
    """All formats, imported one after the other; those that cannot be go to `errors`."""
    for name in EXPORT_FORMATS.names():
        try:
            yield find_format(name)
        except PluginError as error:
            errors.append(error)
