"""The scheme `table`: files that are in the cells of a table.

A cell holds bytes, or a struct of `bytes` and `path` as the library `datasets` writes it.
"""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO, Final

from batchinfer.inputs.cell_readers import CellReaders
from batchinfer.inputs.contained_inputs import Glance
from batchinfer.inputs.table_files import find_content_leaf, look_at_table, open_table
from batchinfer.inputs.table_uris import Cell, make_cell_uri, parse_cell_uri, parse_table_uri
from batchinfer.inputs.uri_scheme import InputStat, ListedInput

_READERS: Final = CellReaders()
_READ_ERROR: Final = "it holds no column of files (bytes, or a struct of bytes and path)"


class TableCells:
    """Opens the cells of tables; a `ContainedInputs`.

    A cell is another one when the table has another size or modification time.
    """

    def check(self, uri: str) -> None:
        """See `UriScheme`."""
        if "#" in uri:
            self.stat(uri)
            return
        with open_table(parse_table_uri(uri)) as table:
            if all(find_content_leaf(table.schema, name) is None for name in table.schema.names):
                raise FileNotFoundError(_READ_ERROR)

    def list_inputs(self, uri: str) -> Iterator[ListedInput]:
        """See `UriScheme`: the cells of the first column that holds files."""
        path = parse_table_uri(uri)
        with open_table(path) as table:
            leaves = ((find_content_leaf(table.schema, each), each) for each in table.schema.names)
            leaf, column = next(filter(lambda each: each[0], leaves), (None, ""))
            if leaf is None:
                raise FileNotFoundError(_READ_ERROR)
            has_names = leaf != column and (
                table.schema.field(column).type.get_field_index("path") >= 0
            )
            batches = table.iter_batches([f"{column}.path"] if has_names else [leaf])
            rows = chain.from_iterable(
                batch.columns[0].to_pylist() if has_names else [None] * len(batch.columns[0])
                for batch in batches
            )
            for row, name in enumerate(rows):
                cell = Cell(path, column, row, name or "")
                yield ListedInput(name or f"{posixpath.basename(path)}#{row}", make_cell_uri(cell))

    def stat(self, uri: str) -> InputStat:
        """See `UriScheme`."""
        cell = parse_cell_uri(uri)
        reader = _READERS.find(cell.path, cell.column)
        size, identity = reader.measure(cell.row), reader.identity
        return InputStat(size, identity.mtime_ns, identity.fingerprint)

    def open(self, uri: str) -> BinaryIO:
        """See `UriScheme`."""
        cell = parse_cell_uri(uri)
        return io.BytesIO(_READERS.find(cell.path, cell.column).read(cell.row))

    def find_container(self, uri: str) -> str:
        """See `ContainedInputs`."""
        return parse_cell_uri(uri).path

    def move_container(self, uri: str, path: str) -> str:
        """See `ContainedInputs`."""
        return make_cell_uri(parse_cell_uri(uri)._replace(path=path))

    def glance(self, uri: str) -> Glance:
        """See `ContainedInputs`."""
        identity = look_at_table(parse_cell_uri(uri).path)
        return Glance(None, identity.mtime_ns, identity.fingerprint)
