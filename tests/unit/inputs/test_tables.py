"""Tables: their batches, their cells, and what is wrong with them."""

import os
import pickle
import random
import threading
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from batchinfer.inputs import cell_readers, find_container, find_uri_scheme, open_input, stat_input
from batchinfer.inputs.cell_readers import CellReaders
from batchinfer.inputs.contained_inputs import glance_inside, move_container
from batchinfer.inputs.table_errors import TableError
from batchinfer.inputs.table_files import ParquetTable, open_table
from batchinfer.inputs.table_uris import Cell, make_cell_uri, parse_cell_uri
from support.tables import picture_table, write_table

FORMS = ["parquet", "feather", "arrow", "arrows"]
COUNT = 40
CONTENTS = {f"{number}.png": os.urandom(number * 37 % 900 + 1) for number in range(COUNT)}


@pytest.fixture(params=FORMS)
def table(request, tmp_path) -> Path:
    return write_table(tmp_path / f"t.{request.param}", picture_table(CONTENTS), rows=7)


def uri(path: Path, row: int, column: str = "image") -> str:
    return make_cell_uri(Cell(str(path), column, row))


# ---- names ----


@pytest.mark.parametrize(
    "cell",
    [
        Cell("/data/t.parquet", "image", 17),
        Cell("/data/t.parquet", "image", 0, "cat.jpg"),
        Cell("/data/50%#1/tä.parquet", "a&row=3#b", 10**12, "a/b c&#%?.jpg".replace("/", "")),
        Cell(os.fsdecode(b"/data/caf\xe9.parquet"), "bild.größe", 2, "x\ny.png"),
    ],
)
def test_a_cell_is_named_by_a_uri_and_found_by_it(cell):
    name = make_cell_uri(cell)
    assert parse_cell_uri(name) == cell
    assert name.isprintable()
    assert find_container(name) == cell.path


@pytest.mark.parametrize(
    "text",
    [
        "table:///t.parquet",
        "table:///t.parquet#row=1",
        "table:///t.parquet#column=a&row=x",
        "table:///t.parquet#column=a&row=-1",
        "table:///t.parquet#column=&row=1",
        "table://",
    ],
)
def test_what_names_no_cell_is_not_found(text):
    with pytest.raises(FileNotFoundError):
        stat_input(text)
    assert find_container(text) == text


def test_the_name_of_a_file_is_the_end_of_its_uri():
    name = make_cell_uri(Cell("/t.parquet", "image", 3, "deep/er/cat.jpg"))
    assert name == "table:///t.parquet#column=image&row=3&name=cat.jpg"


# ---- cells ----


def test_cells_are_read_in_any_order(table):
    rows = list(range(COUNT))
    for order in (rows, rows[::-1], random.Random(1).sample(rows, COUNT)):
        for row in order:
            with closing(open_input(uri(table, row))) as file:
                assert file.read(1 << 20) == CONTENTS[f"{row}.png"]
                assert file.size == len(CONTENTS[f"{row}.png"])
                assert not file.has_changed()


def test_in_order_each_row_group_is_read_once(tmp_path, monkeypatch):
    path = write_table(tmp_path / "t.parquet", picture_table(CONTENTS), rows=7)
    starts = []
    original = ParquetTable.iter_batches

    def iter_batches(self, columns, first_row=0):
        starts.append(first_row)
        return original(self, columns, first_row)

    monkeypatch.setattr(ParquetTable, "iter_batches", iter_batches)
    for row in range(COUNT):
        with closing(open_input(uri(path, row))) as file:
            file.read(1 << 20)
            file.has_changed()
    assert starts == [0]


def test_a_row_far_back_is_read_by_a_second_pass_and_the_first_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(cell_readers, "KEPT_BYTES", 1)
    path = write_table(tmp_path / "t.parquet", picture_table(CONTENTS), rows=COUNT)
    reader = CellReaders().find(str(path), "image")
    for row in [*range(20), 3, 20, 4, 21, 0, 22, 5, 39, 38]:
        assert reader.read(row) == CONTENTS[f"{row}.png"]
    assert len(reader._passes) <= cell_readers.MAX_PASSES


def test_many_threads_read_at_once(table):
    wrong = []

    def read(rows):
        for row in rows:
            with closing(open_input(uri(table, row))) as file:
                if file.read(1 << 20) != CONTENTS[f"{row}.png"]:
                    wrong.append(row)

    threads = [
        threading.Thread(target=read, args=(random.Random(seed).sample(range(COUNT), COUNT),))
        for seed in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_only_some_tables_are_held_open(tmp_path):
    readers = CellReaders()
    for number in range(2 * cell_readers.MAX_OPEN_COLUMNS):
        path = write_table(tmp_path / f"{number}.parquet", picture_table({"a": b"x"}))
        assert readers.find(str(path), "image").read(0) == b"x"
    assert len(readers._readers) == cell_readers.MAX_OPEN_COLUMNS


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"a", b"bc", None], pa.binary()),
        pa.array([b"a", b"bc", None], pa.large_binary()),
        pa.array([b"ab", b"cd", None], pa.binary(2)),
        pa.array([b"a", b"bc", None], pa.binary_view()),
        pa.array(
            [{"bytes": b"a"}, {"bytes": b"bc"}, {"bytes": None}],
            pa.struct([("bytes", pa.binary())]),
        ),
    ],
    ids=["binary", "large", "fixed", "view", "struct"],
)
@pytest.mark.parametrize("form", FORMS)
def test_every_kind_of_bytes_is_read(tmp_path, column, form):
    if column.type == pa.binary_view() and form == "feather":
        form = "arrow"  # Feather has no views
    path = write_table(tmp_path / f"t.{form}", pa.table({"data": column}), rows=2)
    first, second = (open_input(uri(path, row, "data")) for row in (0, 1))
    assert [first.read(9), second.read(9)] in ([b"a", b"bc"], [b"ab", b"cd"])
    with pytest.raises(TableError, match="column 'data' is null in row 2"):
        open_input(uri(path, 2, "data"))


def test_what_is_not_there_is_not_found(table):
    for missing in (uri(table, COUNT), uri(table, 0, "label"), uri(Path("/nowhere.parquet"), 0)):
        with pytest.raises(FileNotFoundError):
            stat_input(missing)


def test_a_table_that_was_written_again_is_another_one(table, tmp_path):
    name = uri(table, 3)
    before, glance = stat_input(name), glance_inside(name)
    assert glance == (None, before.mtime_ns, before.fingerprint)
    opened = open_input(name)
    more = picture_table({**CONTENTS, "3.png": b"new"})
    form = table.suffix if table.suffix != ".arrow" else ".arrows"
    write_table(tmp_path / f"t{form}", more)
    assert opened.has_changed()
    assert stat_input(name).fingerprint != before.fingerprint
    with closing(open_input(name)) as file:
        assert file.read(9) == b"new"


def test_a_cell_moves_with_its_table():
    name = make_cell_uri(Cell("/old/t.parquet", "image", 3, "cat.jpg"))
    assert move_container(name, "/new/50%/t.parquet") == make_cell_uri(
        Cell("/new/50%/t.parquet", "image", 3, "cat.jpg")
    )


def test_a_table_is_listed_with_the_names_that_it_gives(table):
    scheme = find_uri_scheme("table:///")
    scheme.check(f"table://{table}")
    listed = list(scheme.list_inputs(f"table://{table}"))
    assert [each.key for each in listed] == list(CONTENTS)
    assert scheme.open(listed[5].uri).read() == CONTENTS["5.png"]


# ---- reading ----


def test_batches_are_small_when_the_rows_are_large(tmp_path):
    big = picture_table({f"{number}": bytes(1 << 20) for number in range(24)})
    path = tmp_path / "t.parquet"
    pq.write_table(big, path, compression="none", use_dictionary=False)
    with open_table(str(path)) as opened:
        sizes = [len(batch.columns[0]) for batch in opened.iter_batches(["image.bytes"])]
    assert max(sizes) <= 4
    assert sum(sizes) == 24


@pytest.mark.parametrize("form", FORMS)
def test_columns_with_dots_and_leaves_of_structs_are_told_apart(tmp_path, form):
    plain = pa.table(
        {
            "params.conf": [1, 2],
            "params.boxes": [[1.0], [2.0]],
            "image": pa.array([{"bytes": b"a", "path": "x"}, None]),
        }
    )
    path = write_table(tmp_path / f"t.{form}", plain)
    with open_table(str(path)) as opened:
        (batch,) = opened.iter_batches(["params.conf", "image.path", "params.boxes"])
    assert [each.to_pylist() for each in batch.columns] == [[1, 2], ["x", None], [[1.0], [2.0]]]


@pytest.mark.parametrize("codec", ["lz4", "zstd", "uncompressed"])
def test_dictionaries_and_compressed_batches_are_read_one_by_one(tmp_path, codec):
    words = pa.array([f"w{number % 5}" for number in range(COUNT)]).dictionary_encode()
    path = tmp_path / "t.feather"
    feather.write_feather(pa.table({"path": words}), path, compression=codec, chunksize=7)
    with open_table(str(path)) as opened:
        found = [
            value
            for batch in opened.iter_batches(["path"], first_row=23)
            for value in batch.columns[0].to_pylist()
        ]
        assert opened.find_start(23) == 21
    assert found == [f"w{number % 5}" for number in range(21, COUNT)]


def test_a_batch_that_is_too_large_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("batchinfer.inputs.arrow_messages.MAX_BATCH_BYTES", 5_000)
    path = write_table(tmp_path / "t.arrow", picture_table(CONTENTS), rows=7)
    huge = write_table(tmp_path / "h.arrow", picture_table(CONTENTS), rows=COUNT)
    with closing(open_input(uri(path, 39))) as file:
        assert file.read(1 << 20) == CONTENTS["39.png"]
    with pytest.raises(TableError, match="write the table with fewer rows in a batch"):
        open_input(uri(huge, 0))


# ---- damage ----


@pytest.mark.parametrize("form", FORMS)
def test_a_table_that_was_cut_off_says_so_wherever_it_was_cut(tmp_path, form):
    path = write_table(tmp_path / f"t.{form}", picture_table(CONTENTS), rows=7)
    whole = path.read_bytes()
    problems = []
    for end in range(0, len(whole), 101):
        path.write_bytes(whole[:end])
        problems.append(find_problem(path))
    # Of a stream, what is missing may begin between two batches.
    assert problems.count(None) <= (2 if form == "arrows" else 0)
    assert all("\n" not in str(each) for each in problems)
    assert {type(each) for each in problems} <= {TableError, type(None)}


def find_problem(path: Path) -> OSError | None:
    """What is wrong with a table, when all of its names are read."""
    try:
        with open_table(str(path)) as opened:
            for batch in opened.iter_batches(["image.path"]):
                assert [cell.is_valid for cell in batch.columns[0]]
    except OSError as error:
        return error
    return None


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_table_is_an_error_or_reads_as_before(tmp_path, form):
    path = write_table(tmp_path / f"t.{form}", picture_table(CONTENTS), rows=7)
    whole = path.read_bytes()
    for at in range(0, len(whole), 61):
        broken = bytearray(whole)
        broken[at] ^= 0xFF
        path.write_bytes(broken)
        assert isinstance(find_problem(path), TableError | None)


def test_the_error_of_a_table_crosses_to_another_process():
    error = pickle.loads(pickle.dumps(TableError("it is damaged")))
    assert (str(error), type(error), error.strerror) == (
        "it is damaged",
        TableError,
        "it is damaged",
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "0 bytes"),
        (b"key,path\n", "neither as Parquet nor"),
        (b"PARE" + bytes(90) + b"PARE", "encrypted"),
        (b"FEA1" + bytes(90), "version 2"),
        (b"PAR1", "cut off|damaged"),
        (b"PAR1" + bytes(20) + b"PAR1", "damaged"),
        (b"ARROW1\0\0" + bytes(20) + b"ARROW1", "schema"),
        (b"\xff\xff\xff\xff\x00\x00\x00\x00", "schema"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x7f" + bytes(50), "damaged at byte 0"),
        (b"\xff\xff\xff\xff\x10\x00\x00\x00" + b"\xff" * 16, "damaged"),
    ],
)
def test_what_is_no_table_is_said_to_be_none(tmp_path, content, problem):
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    with pytest.raises(TableError, match=problem), open_table(str(path)):
        pass


@pytest.mark.parametrize("plain_footer", [False, True])
def test_encrypted_parquet_says_so(tmp_path, plain_footer):
    encryption = pytest.importorskip("pyarrow.parquet.encryption")

    class Kms(encryption.KmsClient):
        def __init__(self, _config):
            super().__init__()

        def wrap_key(self, key_bytes, _name):
            return key_bytes.hex()

        def unwrap_key(self, wrapped, _name):
            return bytes.fromhex(wrapped)

    factory = encryption.CryptoFactory(Kms)
    config = encryption.EncryptionConfiguration(
        footer_key="f", column_keys={"c": ["path"]}, plaintext_footer=plain_footer
    )
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), config)
    path = tmp_path / "t.parquet"
    table = pa.table({"path": ["a.jpg"], "n": [1]})
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    with pytest.raises(TableError, match="it is encrypted"), open_table(str(path)) as opened:
        list(opened.iter_batches(["path"]))
