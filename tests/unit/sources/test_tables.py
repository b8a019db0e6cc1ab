"""Tables as manifests: columns, types, keys, and what is wrong with a table."""

import datetime as dt
import decimal
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchinfer.errors import SourceError
from batchinfer.inputs import open_input
from batchinfer.sources import open_source
from support.tables import picture_table, write_saved_dataset, write_table

FORMS = ["parquet", "feather", "arrow", "arrows"]
NOON = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC).replace(tzinfo=None)


@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "sub/a.jpg"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(name.encode())
    return tmp_path


def write(form: str = "parquet", rows: int = 2, **columns) -> str:
    return write_table(Path(f"t.{form}"), pa.table(columns), rows).name


def read(*specs: str):
    source = open_source(list(specs))
    source.check()
    return list(source)


def refusal(*specs: str) -> str:
    with pytest.raises(SourceError) as raised:
        read(*specs)
    return str(raised.value)


def content(item) -> bytes:
    file = open_input(item.files[0].path)
    try:
        return file.read(1 << 20)
    finally:
        file.close()


# ---- columns ----


@pytest.mark.parametrize("form", FORMS)
def test_columns_mean_what_they_mean_in_csv(form):
    name = write(
        form,
        path=["a.jpg", "./sub//a.jpg", "b.jpg"],
        key=["one", None, None],
        **{"files.mask": [None, "c.jpg", None], "params.conf": [0.5, None, 1.0], "n": [1, 2, None]},
    )
    one, two, three = read(name)
    assert (one.key, one.params) == ("one", {"conf": 0.5, "n": 1})
    assert (two.key, two.params) == ("sub/a.jpg", {"n": 2})
    assert [(file.param, Path(file.path).name) for file in two.files] == [
        ("files", "a.jpg"),
        ("mask", "c.jpg"),
    ]
    assert (three.key, three.params) == ("b.jpg", {"conf": 1.0})


@pytest.mark.parametrize("form", FORMS)
def test_values_keep_their_types(form):
    name = write(
        form,
        path=["a.jpg", "b.jpg"],
        small=pa.array([0.3, None], pa.float32()),
        half=pa.array([0.1, None], pa.float16()),
        double=[0.1, 1e300],
        whole=pa.array([2**63 + 1, None], pa.uint64()),
        flag=[True, False],
        text=["007", ""],
        nothing=pa.nulls(2),
        boxes=pa.array([[0.1, None], []], pa.list_(pa.float32())),
        more=[{"a": 1, "b": [None, "x"]}, None],
        day=[dt.date(2026, 5, 1), None],
        at=pa.array([NOON.replace(microsecond=5), None], pa.timestamp("us")),
        zoned=pa.array([NOON, None], pa.timestamp("s", "UTC")),
        clock=pa.array([dt.time(12, 30), None], pa.time64("us")),
        price=pa.array([decimal.Decimal("1.50"), decimal.Decimal("2.00")], pa.decimal128(9, 2)),
        word=pa.array(["x", "y"]).dictionary_encode(),
        large=pa.array(["x", "y"], pa.large_string()),
    )
    first, second = read(name)
    assert first.params == {
        "small": 0.3,
        "half": 0.099975586,
        "double": 0.1,
        "whole": 2**63 + 1,
        "flag": True,
        "text": "007",
        "boxes": [0.1, None],
        "more": {"a": 1, "b": [None, "x"]},
        "day": "2026-05-01",
        "at": "2026-05-01T12:00:00.000005",
        "zoned": "2026-05-01T12:00:00+00:00",
        "clock": "12:30:00",
        "price": 1.5,
        "word": "x",
        "large": "x",
    }
    assert type(first.params["flag"]) is bool
    assert second.params == {
        "double": 1e300,
        "flag": False,
        "text": "",
        "boxes": [],
        "price": 2,
        "word": "y",
        "large": "y",
    }
    assert type(second.params["price"]) is int


@pytest.mark.parametrize(
    "paths",
    [
        pa.array(["a.jpg", "b.jpg"]).dictionary_encode(),
        pa.array(["a.jpg", "b.jpg"], pa.large_string()),
        pa.array(["a.jpg", "b.jpg"], pa.string_view()),
        pa.chunked_array([["a.jpg"], ["b.jpg"]]),
    ],
    ids=["dictionary", "large", "view", "chunked"],
)
@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_every_kind_of_text_can_be_a_path(paths, form):
    assert [item.key for item in read(write(form, path=paths))] == ["a.jpg", "b.jpg"]


def test_integers_can_be_keys_and_items_need_no_file():
    assert [item.key for item in read(write(key=[1, 2], path=["a.jpg", "b.jpg"]))] == ["1", "2"]
    assert [(item.key, item.files) for item in read(write(key=["x"], n=[1]))] == [("x", ())]


def test_a_table_is_told_by_what_is_in_it_and_read_beside_others():
    Path(write("parquet", path=["a.jpg"])).rename("T.ARROW")
    write("arrow", path=["b.jpg"])
    assert [item.key for item in read("T.ARROW", "t.arrow", "c.jpg")] == ["a.jpg", "b.jpg", "c.jpg"]
    Path("T.ARROW").rename("table.bin")
    assert [item.key for item in read("parquet:table.bin")] == ["a.jpg"]
    (item,) = read("as-file:table.bin")
    assert item.key == "table.bin"


def test_what_an_older_run_sent_as_a_file_stays_a_file(desk):
    name = write(path=["a.jpg"])
    spec = f"{desk}/./{name}"
    (item,) = open_source([spec], is_existing_run=True)
    assert (item.key, item.files[0].path) == (name, str(desk / name))


# ---- files in a table ----


@pytest.mark.parametrize("form", FORMS)
def test_files_in_a_table_are_named_as_it_names_them(form):
    contents = {"cat.jpg": b"1", "x/dog.png": b"22", "/cache/9.png": b"333"}
    name = write_table(Path(f"t.{form}"), picture_table(contents, n=[1, 2, 3]), 2).name
    items = read(name)
    assert [item.key for item in items] == ["cat.jpg", "x/dog.png", "9.png"]
    assert [item.params for item in items] == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert list(map(content, items)) == list(contents.values())
    assert items[1].files[0].path.endswith(f"{name}#column=image&row=1&name=dog.png")


@pytest.mark.parametrize("form", FORMS)
def test_files_without_a_name_are_named_by_their_row(form):
    name = write(form, data=[b"a", b"bc", b"d"])
    items = read(name)
    assert [item.key for item in items] == [f"{name}#0", f"{name}#1", f"{name}#2"]
    assert list(map(content, items)) == [b"a", b"bc", b"d"]
    name = write(form, data=[b"a"], key=["x"])
    assert [item.key for item in read(name)] == ["x"]


@pytest.mark.parametrize("form", FORMS)
def test_names_that_occur_twice_are_no_keys(form):
    images = picture_table({"a.png": b"1"}), picture_table({"b.png": b"2"})
    table = pa.concat_tables([images[0], images[1], images[0]])
    name = write_table(Path(f"t.{form}"), table, 2).name
    source = open_source([name])
    source.check()
    assert [item.key for item in source] == [f"{name}#{row}" for row in range(3)]
    (notice,) = source.notices
    assert notice.code == "named_by_row"
    assert "several files are called a.png" in notice.message


@pytest.mark.parametrize("form", FORMS)
def test_a_struct_without_bytes_says_where_its_file_is(form, desk):
    rows = [
        {"bytes": None, "path": "a.jpg"},
        {"bytes": b"x", "path": "z.jpg"},
        {"bytes": None, "path": str(desk / "sub" / "a.jpg")},
    ]
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for chosen, keys in ((rows, None), (rows[:2], ["a.jpg", "z.jpg"]), (rows[:1], ["a.jpg"])):
        name = write(form, image=pa.array(chosen, struct))
        items = read(name)
        assert [item.key for item in items] == (keys or [f"{name}#{row}" for row in range(3)])
        assert list(map(content, items)) == [b"a.jpg", b"x", b"sub/a.jpg"][: len(chosen)]


def test_several_columns_of_files_are_several_parameters():
    name = write(picture=[b"p"], image=[b"i"], **{"files.mask": [b"m"]})
    (item,) = read(name)
    assert [file.param for file in item.files] == ["files", "picture", "mask"]
    assert "column=image&" in item.files[0].path
    (item,) = read(write(path=["a.jpg"], image=[b"i"]))
    assert [(file.param, file.size) for file in item.files] == [("files", 5), ("image", None)]
    (item,) = open_source([write(x=[b"x"], image=[b"i"])], file_param="x")
    assert [file.param for file in item.files] == ["x", "image"]


@pytest.mark.parametrize("form", FORMS)
def test_of_a_data_set_only_what_is_known_is_sent(form):
    table = picture_table({"a.png": b"1"}, hf=True, label=[3], **{"params.conf": [0.5]})
    name = write_table(Path(f"t.{form}"), table).name
    source = open_source([name])
    source.check()
    (item,) = source
    assert (item.key, item.params) == ("a.png", {"conf": 0.5})
    assert "label" in source.notices[0].message
    assert source.specs == (f"hf:{Path.cwd()}/{name}",)
    prefix = "parquet" if form == "parquet" else "arrow"
    (item,) = read(f"{prefix}:{name}")
    assert item.params == {"conf": 0.5, "label": 3}


# ---- data sets ----


def test_a_saved_dataset_is_read_split_by_split():
    tables = {
        "train": picture_table({"a.png": b"1", "b.png": b"2"}, label=[0, 1]),
        "test": picture_table({"a.png": b"3"}, label=[0]),
    }
    folder = write_saved_dataset(Path("ds"), tables, rows=1)
    source = open_source([str(folder)])
    source.check()
    items = list(source)
    assert [item.key for item in items] == ["train/a.png", "train/b.png", "test/a.png"]
    assert list(map(content, items)) == [b"1", b"2", b"3"]
    assert source.specs == (f"hf:{Path.cwd()}/ds",)
    (item,) = read("ds/test")
    assert item.key == "a.png"


def test_a_copy_of_the_hub_is_read_split_by_split():
    Path("ds/data").mkdir(parents=True)
    Path("ds/README.md").write_text("# photos")
    for number in range(2):
        table = picture_table({None: b"%d" % number}, hf=True, label=[0])
        write_table(Path(f"ds/data/train-0000{number}-of-00002.parquet"), table)
    write_table(Path("ds/data/test-00000-of-00001.parquet"), picture_table({"x.png": b"9"}))
    items = read("ds")
    assert [item.key for item in items] == [
        "test/x.png",
        "data/train-00000-of-00002.parquet#0",
        "data/train-00001-of-00002.parquet#0",
    ]
    assert list(map(content, items)) == [b"9", b"0", b"1"]


def test_what_is_wrong_in_a_dataset_is_said_of_its_table():
    good = picture_table({"a.png": b"1", "b.png": b"2"})
    bad = picture_table({"c.png": b"1", None: None})
    folder = write_saved_dataset(Path("ds"), {"train": good, "test": bad})
    assert "test/data-00000-of-00001.arrow, row 1: column 'image' is null" in refusal(str(folder))


def test_a_dataset_of_several_configurations_is_asked_about():
    for name in ("plain", "augmented"):
        Path("ds", name).mkdir(parents=True)
        write_table(Path("ds", name, "train-00000-of-00001.parquet"), picture_table({"a": b"1"}))
    assert "several data sets: ds/augmented, ds/plain. Name one" in refusal("hf:ds").replace(
        f"{Path.cwd()}/", ""
    )
    assert [item.key for item in read("hf:ds/plain")] == ["train/a"]


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "no data set that can be read"),
        ({"state.json": "{}"}, "does not list '_data_files'"),
        ({"state.json": "no"}, "is damaged"),
        ({"state.json": '{"_data_files": [{"filename": "../x.arrow"}]}'}, "no file below"),
        ({"state.json": '{"_data_files": [{"filename": "x.arrow"}]}'}, "x.arrow: No such file"),
        ({"dataset_dict.json": '{"splits": ["train"]}'}, "state.json: it cannot be read"),
        ({"train.parquet": "x"}, "train.parquet: it begins neither"),
    ],
)
def test_what_is_no_dataset_says_why(files, problem):
    Path("ds").mkdir()
    for name, text in files.items():
        Path("ds", name).write_text(text)
    assert problem in refusal("hf:ds")


def test_a_folder_of_tables_that_is_no_dataset_stays_a_folder():
    Path("ds").mkdir()
    write_table(Path("ds/one.parquet"), pa.table({"path": ["a.jpg"]}))
    assert [item.key for item in read("ds")] == ["one.parquet"]
    folder = write_saved_dataset(Path("saved"), {"train": picture_table({"a": b"1"})})
    resumed = open_source([str(folder.absolute())], is_existing_run=True)
    assert all("/" in item.key or item.key.endswith("json") for item in resumed)


# ---- what is wrong ----


@pytest.mark.parametrize("form", FORMS)
def test_a_null_path_is_named_by_its_row(form):
    name = write(form, path=["a.jpg", None, "b.jpg", ""], key=["1", "2", "3", "4"], n=[1, 2, 3, 4])
    said = refusal(name)
    assert "2 mistakes in the manifest; nothing was sent" in said
    assert f"{name}, row 1: column 'path' is null: the row has no file" in said
    assert f"{name}, row 3: column 'path' is empty" in said


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"file": ["a.jpg"]}, "must be a column 'path', or 'key', or one that holds files"),
        ({"Path": ["a.jpg"]}, "the columns are 'Path' (write them in small letters)"),
        ({"path": [1]}, "column 'path' holds int64: it must hold texts that are paths"),
        ({"path": [["a.jpg"]]}, "column 'path' holds list<"),
        ({"path": ["a.jpg"], "key": [1.5]}, "column 'key' holds double: keys are texts"),
        ({"path": ["a.jpg"], "files": [1]}, "'files' is a file parameter here"),
        ({"path": ["a.jpg"], "files.": ["x"]}, "column 2 of the header has no name"),
        ({"path": ["a.jpg"], "n": [1], "params.n": [1]}, "columns 2 and 3 both mean"),
        ({"path": ["a.jpg"], "t": [dt.timedelta(1)]}, "column 't' holds duration[us], which no"),
        ({"path": ["a.jpg"], "t": [[{"x": [dt.timedelta(1)]}]]}, "(its field 'x') holds duration"),
        ({"path": ["a.jpg"], "t": [[b"x"]]}, "column 't' holds binary"),
        ({"path": ["a.jpg"], "params.t": [b"x"]}, "column 'params.t' holds binary"),
    ],
)
@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_what_is_wrong_with_a_column_is_said_once(columns, problem, form):
    name = write(form, **columns)
    said = refusal(name)
    assert problem in said
    assert f"{name}: " in said
    assert "1 mistake in the manifest" in said


def test_maps_are_no_parameters():
    column = pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))
    assert "column 'm' holds map<" in refusal(write("parquet", path=["a.jpg"], m=column))


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([1.0, float("nan")], "row 1: column 'x' is nan, which is no number that can be sent"),
        ([1.0, float("-inf")], "row 1: column 'x' is -inf"),
        ([[1.0], [float("nan")]], "row 1: column 'x' is nan"),
        (pa.array([0.5, float("nan")], pa.float32()), "row 1: column 'x' is nan"),
        (
            pa.array([decimal.Decimal(1), decimal.Decimal("0.12345678901234567890")]),
            "has more digits than a number can: make it text",
        ),
    ],
)
def test_what_is_wrong_with_a_value_is_said_of_its_row(values, problem):
    assert problem in refusal(write(path=["a.jpg", "b.jpg"], x=values))


def test_texts_that_are_not_utf8_are_said_of_their_row():
    broken = pa.array([b"a.jpg", b"\xff.jpg"]).view(pa.string())
    assert "row 1: column 'path' is not UTF-8" in refusal(write(path=broken))
    assert "row 1: column 'x' is not UTF-8" in refusal(write(path=["a.jpg", "b.jpg"], x=broken))


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_table_holds_no_item(form):
    path = Path(f"t.{form}")
    path = write_table(path, pa.table({"path": pa.array([], pa.string())}))
    assert f"{path.name}: there is no item in it" in refusal(path.name)
    path = write_table(path.with_suffix(f".{form}"), pa.table({"data": pa.array([], pa.binary())}))
    assert f"{path.name}: there is no item in it" in refusal(path.name)


def test_a_table_without_row_groups_holds_no_item():
    schema = pa.schema([("path", pa.string())])
    with pq.ParquetWriter("t.parquet", schema):
        pass
    assert pq.read_metadata("t.parquet").num_row_groups == 0
    assert "there is no item in it" in refusal("t.parquet")


@pytest.mark.parametrize("form", FORMS)
def test_a_table_that_was_cut_off_is_refused(form):
    name = write(form, path=["a.jpg", "b.jpg", "c.jpg"])
    Path(name).write_bytes(Path(name).read_bytes()[:-300])
    assert f"{name}: it " in refusal(name)
    assert "cut off" in refusal(name)


def test_missing_files_and_equal_keys_are_said_with_their_rows():
    name = write(path=["a.jpg", "nowhere.jpg", "a.jpg"])
    said = refusal(name)
    assert f"{name}, row 1: {Path.cwd()}/nowhere.jpg: there is no such file" in said
    assert f"{name}, row 2: the key 'a.jpg' is already used at {name}, row 0" in said


def test_ten_thousand_columns_are_read():
    columns = {f"c{number}": [number, None] for number in range(10_000)}
    first, second = read(write(path=["a.jpg", "b.jpg"], **columns))
    assert (len(first.params), first.params["c9999"], second.params) == (10_000, 9_999, {})


def _run(script: str, *args: str) -> str:
    command = [sys.executable, "-c", script, *args]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_missing_library_is_one_sentence():
    write(path=["a.jpg"])
    script = (
        "import sys; sys.modules['pyarrow'] = None; sys.modules['pyarrow.parquet'] = None\n"
        "from batchinfer.sources import open_source\n"
        "from batchinfer.errors import ConfigError\n"
        "try: open_source(['t.parquet'])\n"
        "except ConfigError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        "Reading Parquet needs the library pyarrow, which is not installed: pip install"
        " 'batchinfer[tables]'\n"
    )


def test_no_library_of_tables_is_imported_without_a_table():
    script = (
        "import sys\nfrom batchinfer.sources import open_source\n"
        "source = open_source(['a.jpg', 'sub'])\nsource.check()\nlist(source)\n"
        "print([m for m in sys.modules if m.split('.')[0] in "
        "('pyarrow', 'openpyxl', 'ijson', 'yaml', 'numpy')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


# ---- memory ----

_MEASURE = r"""
import re, sys
from pathlib import Path
from batchinfer.inputs import open_input
from batchinfer.sources import open_source
source = open_source([sys.argv[1]])
source.check(may_be_missing=True)
count = 0
for item in source:
    if sys.argv[2] == "open":
        file = open_input(item.files[0].path)
        count += len(file.read(1 << 30))
        file.close()
    else:
        count += 1
# Not `ru_maxrss`: a child begins with that of its parent.
print(count, re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
"""


def _measure(name: str, what: str) -> tuple[int, int]:
    count, peak_kib = map(int, _run(_MEASURE, name, what).split())
    return count, peak_kib << 10


@pytest.mark.slow
@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_memory_does_not_grow_with_the_rows_of_a_row_group(form):
    peaks = []
    for rows in (1_000, 400_000):
        keys = pa.array([f"k{number}" for number in range(rows)])
        table = pa.table({"key": keys, "path": keys, "n": list(range(rows))})
        batch = rows if form == "parquet" else 10_000
        name = write_table(Path(f"{rows}.{form}"), table, batch).name
        count, peak = _measure(name, "list")
        assert count == rows
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 60 << 20  # of which 32 MiB are the tables of keys


@pytest.mark.slow
def test_memory_does_not_grow_with_the_files_in_a_row_group():
    data = os.urandom(1 << 20)
    peaks = []
    for rows in (8, 400):
        table = picture_table({f"{number}.png": data for number in range(rows)})
        pq.write_table(
            table,
            f"{rows}.parquet",
            row_group_size=rows,
            compression="none",
            use_dictionary=False,
            write_batch_size=2,  # values in a page, which is in memory as a whole
        )
        count, peak = _measure(f"{rows}.parquet", "open")
        assert count == rows << 20
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 100 << 20
