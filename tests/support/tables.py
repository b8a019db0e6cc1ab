"""Tables for tests: in every form that is read, with paths or with files in them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import feather, ipc

HF_IMAGE = (
    b'{"info": {"features": {"image": {"_type": "Image"}, "label": {"dtype": "int64", "_type":'
    b' "Value"}}}}'
)


def write_table(path: Path, table: Any, rows: int = 3) -> Path:
    """A table as the ending says, with so many rows in a row group or batch; `.arrows` is a stream
    that is called `.arrow`.
    """
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=rows)
    elif path.suffix == ".feather":
        feather.write_feather(table, path, chunksize=rows)
    else:
        is_stream = path.suffix == ".arrows"
        path = path.with_suffix(".arrow")
        new = ipc.new_stream if is_stream else ipc.new_file
        with new(path, table.schema) as writer:
            for batch in table.to_batches(rows):
                writer.write_batch(batch)
    return path


def picture_table(contents: dict[str, bytes], *, hf: bool = False, **columns: Any) -> Any:
    """A table with a column `image` of structs, as the library `datasets` writes it."""
    images = [{"bytes": data, "path": name} for name, data in contents.items()]
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(images, struct), **columns})
    return table.replace_schema_metadata({b"huggingface": HF_IMAGE}) if hf else table


def write_saved_dataset(folder: Path, tables: dict[str, Any], rows: int = 3) -> Path:
    """What `DatasetDict.save_to_disk` leaves: a folder for each split, with Arrow streams."""
    for split, table in tables.items():
        (folder / split).mkdir(parents=True)
        write_table(folder / split / "data-00000-of-00001.arrows", table, rows)
        (folder / split / "state.json").write_text(
            '{"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_format_type": null}'
        )
        (folder / split / "dataset_info.json").write_text("{}")
    names = ", ".join(f'"{split}"' for split in tables)
    (folder / "dataset_dict.json").write_text(f'{{"splits": [{names}]}}')
    return folder
