"""What the columns of a Parquet or Arrow table are for, by their names and types.

Names mean what they mean in CSV. A column of bytes, or of structs of `bytes` and `path` (as the
library `datasets` writes pictures and sounds), holds files themselves. In a data set the columns
that are none of ours (labels, sizes) are not parameters: they are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from batchinfer.errors import option
from batchinfer.extras import import_optional
from batchinfer.inputs.table_files import find_content_leaf
from batchinfer.sources.manifest_columns import check_columns, parse_column_names
from batchinfer.sources.manifest_lines import ManifestMistake
from batchinfer.sources.table_values import Convert, is_text, make_converter, strip_wrappers

_USUAL_COLUMN_NAMES = ("image", "img", "audio", "video", "file", "bytes", "content")
"""What data sets call the column of their files; of several the first one of these is sent."""
_MAX_SHOWN_NAMES = 10


class FileColumn(NamedTuple):
    """A column that says which file a parameter gets."""

    param: str
    column: str
    content: str | None
    """Of files that are in the table, what holds their bytes; None: the column holds paths."""
    names: str | None = None
    """Of files that are in the table, what holds their names; None: they have none."""


class ParamColumn(NamedTuple):
    """A column of values of a parameter."""

    param: str
    column: str
    convert: Convert


class TableColumns(NamedTuple):
    """All columns that are read."""

    key: str | None
    files: tuple[FileColumn, ...]
    """The default file parameter's first."""
    params: tuple[ParamColumn, ...]
    ignored: tuple[str, ...] = ()
    """Columns of a data set that are not sent."""


def find_table_columns(schema: Any, file_param: str, *, is_dataset: bool) -> TableColumns:
    """What the columns of a table are for. Raises ManifestMistake."""
    types = import_optional("pyarrow", "Reading tables", "tables").types
    names: list[str] = list(schema.names)
    contents = {
        name: leaf
        for name in names
        if not name.startswith("params.") and (leaf := find_content_leaf(schema, name)) is not None
    }
    main = _choose_main_content(names, contents, file_param, is_dataset=is_dataset)
    chosen = _choose_dataset_columns(names, main) if is_dataset else set(names)
    named = [
        (at, "path" if name == main else _name_content(name, contents))
        for at, name in enumerate(names)
        if name in chosen
    ]
    if not any(name in {"key", "path"} or name.startswith("files.") for _, name in named):
        raise ManifestMistake(_describe_missing_columns(names))
    columns = parse_column_names(named, file_param)
    check_columns(names, columns, "")
    key = None if columns.key is None else names[columns.key]
    if key is not None:
        _check_key_type(types, key, schema.field(columns.key).type)
    return TableColumns(
        key,
        tuple(
            [
                _make_file_column(types, schema.field(at), param, contents.get(names[at]))
                for param, at in columns.files
            ]
        ),
        tuple([_make_param_column(types, schema.field(at), param) for param, at in columns.params]),
        tuple([name for name in names if name not in chosen]),
    )


def describe_ignored(columns: Sequence[str]) -> str:
    """What was left out of a data set, for people."""
    more = len(columns) - _MAX_SHOWN_NAMES
    listed = ", ".join(columns[:_MAX_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
    return (
        f"Not sent, for these columns of the data set are no parameters: {listed}. (A column "
        "params.NAME is one.)"
    )


def _choose_main_content(
    names: Sequence[str], contents: Collection[str], file_param: str, *, is_dataset: bool
) -> str | None:
    """The column whose files the default file parameter gets; None: none of them."""
    taken = {"path", f"files.{file_param}"} if not is_dataset else {f"files.{file_param}"}
    if taken & set(names):
        return None
    unnamed = [name for name in contents if not name.startswith("files.")]
    preferred = (file_param, "path", *_USUAL_COLUMN_NAMES)
    return next((name for name in preferred if name in unnamed), next(iter(unnamed), None))


def _choose_dataset_columns(names: Sequence[str], main: str | None) -> set[str]:
    ours = {name for name in names if name == "key" or name.startswith(("files.", "params."))}
    if main is not None:
        return ours | {main}
    return ours | ({"path"} & set(names))


def _name_content(name: str, contents: Collection[str]) -> str:
    """What a column of files is called if it were one of paths."""
    if name in contents and name not in {"path", "key"} and not name.startswith("files."):
        return f"files.{name}"
    return name


def _describe_missing_columns(names: Sequence[str]) -> str:
    listed = ", ".join(map(repr, names[:_MAX_SHOWN_NAMES])) or "none at all"
    more = f" and {len(names) - _MAX_SHOWN_NAMES:,} more" if len(names) > _MAX_SHOWN_NAMES else ""
    hint = ""
    if any(name.strip().lower() in {"path", "key"} for name in names):
        hint = " (write them in small letters)"
    return (
        "there must be a column 'path', or 'key', or one that holds files; the columns are "
        f"{listed}{more}{hint}. If the table itself is the model's input, add {option('as_file')}"
    )


def _check_key_type(types: Any, name: str, value_type: Any) -> None:
    value_type = strip_wrappers(types, value_type)
    if not (is_text(types, value_type) or types.is_integer(value_type)):
        raise ManifestMistake(f"column {name!r} holds {value_type}: keys are texts, or integers")


def _make_file_column(types: Any, field: Any, param: str, content: str | None) -> FileColumn:
    name, value_type = field.name, field.type
    if content is None:
        if not (is_text(types, value_type) or types.is_null(value_type)):
            raise ManifestMistake(
                f"column {name!r} holds {value_type}: it must hold texts that are paths, or files "
                "(bytes, or structs of bytes and path)"
            )
        return FileColumn(param, name, None)
    has_names = (
        content != name
        and (child := value_type.get_field_index("path")) >= 0
        and is_text(types, value_type.field(child).type)
    )
    return FileColumn(param, name, content, f"{name}.path" if has_names else None)


def _make_param_column(types: Any, field: Any, param: str) -> ParamColumn:
    try:
        return ParamColumn(param, field.name, make_converter(types, field.type))
    except ManifestMistake as mistake:
        raise ManifestMistake(f"column {field.name!r} {mistake}") from None
