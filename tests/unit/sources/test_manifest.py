import csv
import gzip
import io
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.errors import SourceError
from batchinfer.sources import csv_manifest, jsonl_manifest, manifest_lines, open_source
from batchinfer.sources.duplicate_keys import MAX_SUSPECTS, KeyBatch, find_duplicate_keys
from batchinfer.sources.manifest_lines import (
    BATCH_ENTRIES,
    MAX_LISTED_MISTAKES,
    ManifestEntry,
    batch_entries,
)


def read(entries, data, file_param="files"):
    """Entries and mistakes of a manifest that is only bytes."""
    mistakes = []
    found = list(entries(io.BytesIO(data), file_param, lambda *mistake: mistakes.append(mistake)))
    return found, mistakes


def refusal(tmp_path, data, name="m.csv"):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError) as raised:
        open_source([str(tmp_path / name)]).check(may_be_missing=True)
    return str(raised.value)


# Both formats ---------------------------------------------------------------------------------

ROWS = [
    ("path\na\nb\n", '"a"\n{"path": "b"}\n'),
    ("\ufeffpath\r\na\r\n\r\nb", '\ufeff"a"\r\n\r\n{"path": "b"}'),
    ("\n\npath\na\n\n\nb\n\n", '\n\n"a"\n  \n\n"b"\n\n'),
    (' path \n"a"\nb\n', ' {"path" : "a", "key": null}\n"b" \n'),
]


@pytest.mark.parametrize("text", ROWS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_bom_crlf_blank_lines_and_gzip_change_nothing(tmp_path, text, pack):
    for name, one in zip(("m.csv", "m.jsonl"), text, strict=True):
        (tmp_path / name).write_bytes(pack(one.encode()))
        source = open_source([str(tmp_path / name)])
        source.check(may_be_missing=True)
        assert [item.key for item in source] == ["a", "b"]
        assert [item.files[0].path for item in source] == [f"{tmp_path}/a", f"{tmp_path}/b"]


@pytest.mark.parametrize(
    ("entries", "data"),
    [
        (
            csv_manifest.read_entries,
            (
                b"key,path,files.mask,params.imgsz,label\nk1,a.jpg,m.png,640,cat\nk2,b.jpg,,,\n"
                b"k3,,,1,\n,./s//c.jpg,,,\n,,d.png,,\n"
            ),
        ),
        (
            jsonl_manifest.read_entries,
            (
                b'{"key":"k1","files":{"mask":"m.png","files":"a.jpg"},'
                b'"params":{"imgsz":640,"label":"cat"}}\n{"key":"k2","path":"b.jpg"}\n'
                b'{"key":"k3","params":{"imgsz":1}}\n"./s//c.jpg"\n{"files":{"mask":"d.png"}}\n'
            ),
        ),
    ],
)
def test_keys_files_and_params_mean_the_same_in_both_formats(entries, data):
    found, mistakes = read(entries, data)
    first = 2 if entries is csv_manifest.read_entries else 1
    assert mistakes == []
    assert found == [
        ManifestEntry(
            first, "k1", (("files", "a.jpg"), ("mask", "m.png")), {"imgsz": 640, "label": "cat"}
        ),
        ManifestEntry(first + 1, "k2", (("files", "b.jpg"),), {}),
        ManifestEntry(first + 2, "k3", (), {"imgsz": 1}),
        ManifestEntry(first + 3, "s/c.jpg", (("files", "./s//c.jpg"),), {}),
        ManifestEntry(first + 4, "d.png", (("mask", "d.png"),), {}),
    ]


def test_paths_begin_at_the_manifest_and_may_be_absolute(tmp_path, monkeypatch):
    (tmp_path / "lists").mkdir()
    (tmp_path / "a.jpg").write_bytes(b"12345")
    (tmp_path / "lists" / "m.csv").write_text(f"path\n../a.jpg\n{tmp_path}/a.jpg\n")
    monkeypatch.chdir("/")
    source = open_source([f"{tmp_path}/lists/m.csv"])
    source.check(may_be_missing=True)
    assert [(item.key, item.files[0].size) for item in source] == [
        ("../a.jpg", 5),
        (f"{tmp_path}/a.jpg", 5),
    ]


def test_a_file_that_is_missing_in_a_run_that_has_begun_is_an_item_of_unknown_size(tmp_path):
    (tmp_path / "m.csv").write_text("path\nmissing.jpg\n.\n")
    source = open_source([str(tmp_path / "m.csv")])
    source.check(may_be_missing=True)
    assert [(item.key, item.files[0].size) for item in source] == [
        ("missing.jpg", None),
        (".", None),
    ]


def test_a_manifest_file_itself_is_sent_by_naming_it_in_a_manifest(tmp_path):
    (tmp_path / "data.csv").write_text("1,2\n")
    (tmp_path / "m.csv").write_text("path\ndata.csv\n")
    (item,) = open_source([str(tmp_path / "m.csv")])
    assert item.files[0].size == 4


# What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "line", "expected"),
    [
        (b"path,a\nx,1\ny\n", 3, "1 cells, but the header names 2 columns"),
        (b"path,a\nx,1\ny,2,3\n", 3, "3 cells"),
        (b'path,a\n"x\ny",1\nz\n', 4, "1 cells"),
        (b"photos/a.jpg\nphotos/b.jpg\n", 1, "must name the columns, among them 'path' or 'key'"),
        (b"path,label,label\na,b,c\n", 1, "columns 2 and 3 both mean 'parameter label'"),
        (b"path,imgsz,params.imgsz\na,1,2\n", 1, "columns 2 and 3 both mean"),
        (b"path,files.files\na,b\n", 1, "columns 1 and 2 both mean 'file files'"),
        (b"path,files\na,b\n", 1, "'files' is a file parameter here"),
        (b"path,\na,x\n", 2, "column 2 has no name in the first row, and holds 'x'"),
        (b"Path,Label\na,b\n", 1, "in small letters"),
        (b"photos/a.jpg\n", 1, "files-from:"),
        (b"path,params.\na,b\n", 1, "column 2 of the header has no name ('params.')"),
        (b"path,a\n,1\n", 2, "needs a key"),
        (b"key,path\nk,\n", 2, "nothing to send"),
        (b"path\na\nb\0c\n", 3, "NUL"),
        (b"path\na\ncaf\xe9\n", 3, "not UTF-8 (byte 0xe9 at byte 4)"),
        (b'path\na\n"b\nc\nd\n', 3, "broken quoting in the row that begins here"),
        (b'path\na\n"b"c\nd\n', 3, "broken quoting in the row that begins here"),
    ],
)
def test_a_broken_csv_is_refused_with_its_line(tmp_path, data, line, expected):
    message = refusal(tmp_path, data)
    assert f"m.csv:{line}: " in message
    assert expected in message
    assert message.startswith("1 mistake in the manifest; nothing was sent:")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"path": "b"', "not JSON: "),
        (b"b.jpg", "not JSON: "),
        (b"[", "one object per line"),
        (b"7", 'a line must be {"path": ..., ...}, or just "a path"'),
        (b'{"path": "b", "parms": {}}', "unknown key 'parms' (did you mean 'params'?)"),
        (b'{"path": "b", "imgsz": 1}', "unknown key 'imgsz'; parameters go inside"),
        (b'{"path": ""}', "path of 'files'"),
        (b'{"path": 5}', "path of 'files'"),
        (b'{"path": "b\\u0000"}', "path of 'files'"),
        (b'{"files": {"mask": null}}', "path of 'mask'"),
        (b'{"files": ["b"]}', '"files" must be'),
        (b'{"path": "b", "files": {"files": "c"}}', "'files' is given twice"),
        (b'{"path": "b", "params": {"files": "c"}}', "'files' is given twice"),
        (b'{"path": "b", "params": [1]}', '"params" must be'),
        (b'{"path": "b", "params": {"": 1}}', '"params" must be'),
        (b'{"path": "b", "params": {"x": NaN}}', "not JSON"),
        (b'{"path": "b", "key": ""}', "the key must be"),
        (b'{"path": "b", "key": 7}', "the key must be"),
        (b'{"path": "b", "key": "\\u0000"}', "the key must be"),
        (b'{"path": "\\ud800"}', "not JSON"),
        (b'{"params": {"x": 1}}', "needs a key"),
        (b'{"key": "k"}', "nothing to send"),
        (b'{"path": "b\0"}', "not JSON"),
        (b'{"path": "caf\xe9"}', "not UTF-8 (byte 0xe9 at byte 14)"),
    ],
)
def test_a_broken_jsonl_line_is_refused_with_its_number(tmp_path, data, expected):
    message = refusal(tmp_path, b'"a"\n\n' + data + b'\n"z"\n', "m.jsonl")
    assert "m.jsonl:3: " in message
    assert expected in message
    assert message.startswith("1 mistake in")


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl"])
@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_manifest_is_refused(tmp_path, name, data):
    assert "there is no item in it" in refusal(tmp_path, data, name)


def test_a_header_without_rows_is_refused(tmp_path):
    assert "m.csv: there is no item in it" in refusal(tmp_path, b"path\n")


def test_all_mistakes_are_counted_and_the_first_ones_listed(tmp_path):
    message = refusal(tmp_path, b"path\n" + b"a,b\n" * 1000)
    assert message.startswith("1,000 mistakes in")
    assert message.count("m.csv:") == MAX_LISTED_MISTAKES
    assert message.endswith("... and 980 more")


def test_mistakes_of_all_manifests_are_reported_at_once(tmp_path):
    (tmp_path / "one.csv").write_text("path\na,b\n")
    (tmp_path / "two.jsonl").write_text("{\n")
    with pytest.raises(SourceError, match=r"(?s)2 mistakes.*one.csv:2: .*two.jsonl:1: "):
        open_source([str(tmp_path / "one.csv"), str(tmp_path / "two.jsonl")]).check(
            may_be_missing=True
        )


@pytest.mark.parametrize("cut", [1, 12])
def test_a_gzip_file_that_is_cut_off_is_refused(tmp_path, cut):
    packed = gzip.compress(b"path\n" + b"".join(b"%d.jpg\n" % n for n in range(1000)))
    (tmp_path / "m.csv.gz").write_bytes(packed[:-cut])
    with pytest.raises(SourceError, match=r"m\.csv\.gz: cannot be read to its end"):
        open_source([str(tmp_path / "m.csv.gz")]).check(may_be_missing=True)


def test_damaged_gzip_is_refused(tmp_path):
    packed = bytearray(gzip.compress(os.urandom(5000)))
    packed[100:200] = bytes(100)
    (tmp_path / "m.jsonl.gz").write_bytes(packed)
    with pytest.raises(SourceError):
        open_source([str(tmp_path / "m.jsonl.gz")]).check(may_be_missing=True)


def test_a_manifest_that_vanished_or_broke_after_its_check_ends_the_reading(tmp_path):
    manifest = tmp_path / "m.csv"
    manifest.write_text("path\na\n")
    source = open_source([str(manifest)])
    source.check(may_be_missing=True)
    manifest.write_text("path\na\nb,c\n")
    items = iter(source)
    assert next(items).key == "a"
    with pytest.raises(SourceError, match=r"m\.csv:3: .*changed meanwhile"):
        next(items)
    manifest.unlink()
    with pytest.raises(SourceError, match="cannot be read"):
        list(source)


def test_a_line_without_end_does_not_fill_the_memory(tmp_path):
    with (tmp_path / "m.jsonl").open("wb") as file:
        file.write(b'"a"\n')
        file.truncate(manifest_lines.MAX_MANIFEST_LINE_BYTES * 3)
    with pytest.raises(SourceError, match=r"m\.jsonl:2: longer than"):
        open_source([str(tmp_path / "m.jsonl")]).check(may_be_missing=True)


# What spreadsheets write ----------------------------------------------------------------------


def read_items(tmp_path, data, name="m.csv"):
    """Keys and parameters of a manifest that is right."""
    (tmp_path / name).write_bytes(data)
    source = open_source([str(tmp_path / name)])
    source.check(may_be_missing=True)
    return [(item.key, dict(item.params)) for item in source]


@pytest.mark.parametrize(
    "data",
    [
        b"path,label\na,cat;dog\nb,\n",
        b"path;label\na;cat\nb;\n",
        b'"path";"label"\r\n"a";"cat"\r\n"b";\r\n',
        b"path\tlabel\na\tcat\nb\t\n",
        b"sep=;\r\npath;label\r\na;cat\r\nb;\r\n",
        b"SEP=,\npath,label\na,cat\nb,\n",
        b"sep=\t\npath\tlabel\na\tcat\nb\t\n",
        b"path,label\ra,cat\rb,\r",
        b"path,label,\na,cat,\nb,,\n",
        b"path,label,,,\na,cat,,,\n,,,,\nb,,,,\n , ,\t,,\n",
        b"path,label,,\na,cat\nb,\n",
        b"path,label\na,cat,,\nb,,,\n",
        b",,\n\npath,,label\na,,cat\n,,\nb,,\n",
        b";;;\r\npath;label;;\r\na;cat;;\r\nb;;;\r\n",
        "path\tlabel\r\na\tcat\r\nb\t\r\n".encode("utf-16"),
        b"\xfe\xff" + "path;label\na;cat\nb;\n".encode("utf-16-be"),
        b"\xef\xbb\xbfsep=;\npath;label\na;cat\nb;\n",
        b"path;label\ra;cat\r\nb;\n",
    ],
)
@pytest.mark.parametrize("name", ["m.csv", "M.CSV", "m.tsv", "m.Csv.GZ"])
def test_what_spreadsheets_write_means_the_same(tmp_path, data, name):
    found = read_items(tmp_path, gzip.compress(data) if name.endswith("GZ") else data, name)
    label = "cat;dog" if b";dog" in data else "cat"
    assert found == [("a", {"label": label}), ("b", {})]


def test_a_separator_inside_quotes_separates_nothing(tmp_path):
    assert read_items(tmp_path, b'path,"a;b;c;d"\nx,1\n') == [("x", {"a;b;c;d": 1})]
    assert read_items(tmp_path, b'path\n"a;b"\n"c,d"\n') == [("a;b", {}), ("c,d", {})]


def test_lines_keep_their_numbers_whatever_ends_them(tmp_path):
    for data in (
        b"sep=;\npath;x\na;1\n;;;9\n",
        b"path;x\ra;1\r\r;;;9\r",
        b"path;x\n;\na;1\n;;;9\n",
    ):
        message = refusal(tmp_path, data)
        assert "m.csv:4: 4 cells, but the header names 2 columns" in message
        assert message.startswith("1 mistake in")


def test_carriage_returns_inside_quotes_stay(tmp_path):
    assert read_items(tmp_path, b'path,note\ra,"x\ry\r\nz"\r') == [("a", {"note": "x\ry\r\nz"})]


@pytest.mark.slow
def test_a_long_manifest_of_a_macintosh_does_not_fill_the_memory(tmp_path):
    rows = b"".join(b"%d.jpg,%s\r" % (n, b"x" * 100) for n in range(200_000))
    assert len(rows) > manifest_lines.MAX_MANIFEST_LINE_BYTES
    (tmp_path / "m.csv").write_bytes(b"path,note\r" + rows)
    keys = [
        entry.key for entry in open_source([str(tmp_path / "m.csv")]).parts[0].iter_entries(print)
    ]
    assert keys == [f"{n}.jpg" for n in range(200_000)]


@pytest.mark.parametrize("data", [b"\xff\xfep\0a\0t\0h\0\n\0a\0\xd8", b"\xff\xfe\x00\xd8\x00\xd8"])
def test_broken_utf16_is_refused(tmp_path, data):
    (tmp_path / "m.csv").write_bytes(data)
    with pytest.raises(SourceError, match="UTF-16"):
        open_source([str(tmp_path / "m.csv")]).check()


def test_windows_1252_is_reported_with_what_to_do(tmp_path):
    message = refusal(tmp_path, "path\nMüller.jpg\n".encode("cp1252"))
    assert "m.csv:2: not UTF-8 (byte 0xfc at byte 2); save the manifest as UTF-8" in message


# Missing files --------------------------------------------------------------------------------


def test_missing_files_are_mistakes_among_the_others_in_the_order_of_lines(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "d").mkdir()
    (tmp_path / "m.csv").write_text("path,files.mask\nx.jpg,a.jpg\na,b,c\na.jpg,y.png\nd,a.jpg\n")
    with pytest.raises(SourceError) as raised:
        open_source([str(tmp_path / "m.csv")]).check()
    first, *rest = str(raised.value).splitlines()
    assert first.startswith("4 mistakes")
    assert [line.split(": ")[0].rpartition(":")[2] for line in rest] == ["2", "3", "4", "5"]
    assert rest[0].endswith(f"{tmp_path}/x.jpg: there is no such file")
    assert rest[3].endswith(f"{tmp_path}/d is a folder, not a file")


def test_many_missing_files_are_counted_and_the_first_ones_listed(tmp_path):
    (tmp_path / "m.csv").write_text("path\n" + "".join(f"{n}.jpg\n" for n in range(5_000)))
    with pytest.raises(SourceError) as raised:
        open_source([str(tmp_path / "m.csv")]).check()
    message = str(raised.value)
    assert message.startswith("5,000 mistakes in")
    assert message.count("m.csv:") == MAX_LISTED_MISTAKES
    assert "m.csv:21: " in message
    assert "m.csv:22: " not in message


# Two doors to the same format -----------------------------------------------------------------


def through(open_it):
    """What comes of a door: items, or None when it is refused."""
    try:
        source = open_it()
        source.check(may_be_missing=True)
        return [(item.key, dict(item.params)) for item in source]
    except SourceError:
        return None


DOORS = st.lists(
    st.sampled_from(
        [
            *('"a"', '"path"', '"key"', "path", "key", '"p,q"', "7", "[]", "{", "null", ""),
            *('{"path": "b"}', '{"path": "b", "key": "c"}', '{"key": "d", "params": {"x": 1}}'),
            *("path,x", "path;x", "path\tx", "e,1", "f;1", "g\t1", ",", "sep=;", '"path";"x"'),
            *('"path","x"', '{"a,path,b": 1}', "{x},path", "[x],key", '"h', '"files.m"', " "),
        ]
    ),
    min_size=1,
    max_size=4,
)


@given(DOORS | st.text(max_size=30).map(str.splitlines), st.sampled_from(["\n", "\r\n", "\r"]))
def test_a_file_and_standard_input_never_read_one_content_in_two_ways(tmp_path_factory, rows, end):
    data = end.join(rows).encode("utf-8", "surrogatepass")
    folder = tmp_path_factory.mktemp("doors", numbered=True)
    piped = through(lambda: open_source(["-"], spool=folder / "spool", stdin=io.BytesIO(data)))
    doors = []
    for name in ("m.csv", "m.jsonl"):
        (folder / name).write_bytes(data)
        doors.append(through(lambda name=name: open_source([str(folder / name)])))
    taken = [each for each in doors if each is not None]
    assert len(taken) <= 1 or taken[0] == taken[1]
    if piped is not None:
        assert piped in taken
    elif taken:  # refused is never wrong; but what is clear is taken
        assert data.lstrip()[:1] in b'{["'


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b'"p/a.png"\n', ["p/a.png"]),
        (b'\n"p/a.png"\r"b"\r', ["p/a.png", "b"]),
        (b'{"path": "a"}\n"b"\n', ["a", "b"]),
        (b"path;x\na;1\n", ["a"]),
        (b"sep=;\npath;x\na;1\n", ["a"]),
        ('"a"\n"b"\n'.encode("utf-16"), ["a", "b"]),
        ("path\tx\na\t1\n".encode("utf-16"), ["a"]),
    ],
)
def test_standard_input_is_read_as_a_file_of_its_format_is(tmp_path, data, keys):
    source = open_source(["-"], spool=tmp_path / "spool", stdin=io.BytesIO(data))
    source.check(may_be_missing=True)
    assert [item.key for item in source] == keys


def test_the_first_row_of_a_csv_is_no_line_of_jsonl(tmp_path):
    message = refusal(tmp_path, b'"path"\n"a"\n', "m.jsonl")
    assert "m.jsonl:1: 'path' is the first row of a CSV manifest" in message
    found = read_items(tmp_path, b'{"path": "path"}\n"key"\n', "m.jsonl")
    assert [key for key, _ in found] == ["path", "key"]


# Equal keys -----------------------------------------------------------------------------------


def test_an_equal_key_is_refused_with_both_places(tmp_path):
    message = refusal(tmp_path, b'path,key\n"a\nb",x\nc,\nd,x\n./c,\n')
    assert "m.csv:5: the key 'x' is already used at " in message
    assert "m.csv:2" in message
    assert "m.csv:6: the key 'c' is already used at " in message
    assert message.startswith("2 mistakes")


def test_an_equal_key_is_found_across_manifests(tmp_path):
    (tmp_path / "one.csv").write_text("path\na\nb\n")
    (tmp_path / "two.jsonl").write_text('"c"\n"b"\n')
    with pytest.raises(SourceError, match=r"two\.jsonl:2: the key 'b' .*one\.csv:3"):
        open_source([str(tmp_path / "one.csv"), str(tmp_path / "two.jsonl")]).check(
            may_be_missing=True
        )


@pytest.mark.slow
def test_more_equal_keys_than_are_followed_up_are_not_counted_as_if_they_were_all(tmp_path):
    message = refusal(
        tmp_path, b"path\n" + b"".join(b"%d\n" % (n // 2) for n in range(2 * MAX_SUSPECTS + 10))
    )
    assert message.startswith(f"At least {MAX_SUSPECTS:,} mistakes")


def test_line_mistakes_are_not_reported_again_by_the_second_pass(tmp_path):
    assert refusal(tmp_path, b"path\na\na\nx,y\n").startswith("2 mistakes")


@given(st.lists(st.sampled_from("abcdefghij")), st.integers(1, 5), st.integers(1, 20))
def test_exactly_the_repeated_keys_are_found(keys, at_most, size):
    placed = [(key, (0, line)) for line, key in enumerate(keys)]
    first = dict(reversed(placed))
    expected = [(key, first[key], place) for key, place in placed if first[key] != place]
    batches = [
        KeyBatch(0, range(at, len(keys[: at + size])), keys[at : at + size])
        for at in range(0, len(keys), size)
    ]
    assert list(find_duplicate_keys(lambda: batches, len(keys))) == expected
    few = list(find_duplicate_keys(lambda: batches, len(keys), at_most))
    assert set(few) <= set(expected)
    assert bool(few) is bool(expected)


def test_a_table_that_is_far_too_small_costs_time_but_no_truth():
    batches = [
        KeyBatch(0, range(at, at + 100), [*map(str, range(at, at + 100))])
        for at in range(0, 100_000, 100)
    ]
    assert list(find_duplicate_keys(lambda: batches, 1, 5_000)) == []
    batches.append(KeyBatch(1, [1], ["7"]))
    assert list(find_duplicate_keys(lambda: batches, 1, 5_000)) == [("7", (0, 7), (1, 1))]


# Values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("42", 42),
        ("-7", -7),
        ("0", 0),
        ("1.5", 1.5),
        ("-1e-05", -1e-05),
        ("1e+16", 1e16),
        ("007", "007"),
        ("-0", "-0"),
        ("1.50", "1.50"),
        ("1e5", "1e5"),
        ("+1", "+1"),
        (" 1", " 1"),
        ("1_000", "1_000"),
        ("٤٢", "٤٢"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("1e+999", "1e+999"),
        ("true", "true"),
        ("9223372036854775807", 9223372036854775807),
        ("9223372036854775808", "9223372036854775808"),
        ("9" * 5000, "9" * 5000),
        ("[1, 2]", "[1, 2]"),
    ],
)
def test_a_cell_is_a_number_only_if_it_is_spelled_exactly_so(cell, value):
    text = io.StringIO()
    csv.writer(text).writerows([["path", "p"], ["a", cell]])
    (entry,), mistakes = read(csv_manifest.read_entries, text.getvalue().encode())
    assert mistakes == []
    assert entry.params == {"p": value}
    assert type(entry.params["p"]) is type(value)


def test_numbers_beyond_64_bit_stay_exact_in_jsonl():
    line = b'{"path": "a", "params": {"id": 123456789012345678901234567890, "x": 1e300}}'
    (entry,), _ = read(jsonl_manifest.read_entries, line)
    assert entry.params == {"id": 123456789012345678901234567890, "x": 1e300}
    assert type(entry.params["id"]) is int


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NAME = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name not in {"key", "path", "files"}
)


@given(
    st.lists(st.tuples(TEXT.filter(bool), TEXT), min_size=1), NAME, st.sampled_from(["\n", "\r\n"])
)
def test_what_a_csv_writer_writes_is_read_back(rows, name, end):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["key", "path", name])
    writer.writerows([key, "p", value] for key, value in rows)
    found, mistakes = read(csv_manifest.read_entries, text.getvalue().encode())
    assert mistakes == []
    assert [entry.key for entry in found] == [key for key, _ in rows]
    assert [str(entry.params.get(name, "")) for entry in found] == [value for _, value in rows]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.slow
@given(st.lists(st.tuples(TEXT.filter(bool), st.dictionaries(NAME, VALUES)), min_size=1))
def test_what_a_json_writer_writes_is_read_back(rows):
    data = "".join(
        json.dumps({"path": "p", "key": key, "params": params}) + "\n" for key, params in rows
    )
    found, mistakes = read(jsonl_manifest.read_entries, data.encode())
    assert mistakes == []
    assert [(entry.key, entry.params) for entry in found] == rows


@given(
    st.binary(max_size=200),
    st.sampled_from([csv_manifest.read_entries, jsonl_manifest.read_entries]),
)
def test_no_bytes_break_a_reader(data, entries):
    found, mistakes = read(entries, data)
    assert all(line >= 1 for line, _ in mistakes)
    assert [entry.line for entry in found] == sorted({entry.line for entry in found})


def flatten_batches(batches):
    """All of each field of some batches; which path belongs to which line, in no order."""
    lines, keys, files = [], [], []
    for batch in batches:
        lines += batch.lines
        keys += batch.keys
        files += zip(batch.path_lines, batch.paths, strict=True)
    return lines, keys, sorted(files)


CELLS = st.sampled_from(
    ["", "a", "b.jpg", "./a//b", "./a", " ", "7", "a\nb", '"', ";", "\r\n", "c,d"]
)
COLUMNS = ["path", "key", "files.mask", "label", ""]


@given(
    st.permutations(COLUMNS).flatmap(lambda names: st.integers(1, 5).map(lambda n: names[:n])),
    st.lists(st.lists(CELLS, max_size=6), max_size=12),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_is_checked_in_batches_is_what_the_entries_are(columns, rows, quoting, end):
    text = io.StringIO()
    writer = csv.writer(text, quoting=quoting, lineterminator=end)
    writer.writerows([columns, *rows])
    data = text.getvalue().encode()

    found, mistakes = read(csv_manifest.CSV_READER.read_entries, data)
    batches, mistakes_in_batches = read(csv_manifest.CSV_READER.iter_batches, data)

    assert flatten_batches(batches) == flatten_batches([batch_entries(found)])
    assert mistakes_in_batches == mistakes


@pytest.mark.parametrize("reader", [csv_manifest.CSV_READER, jsonl_manifest.JSONL_READER])
@given(data=st.binary(max_size=200))
def test_no_bytes_are_read_otherwise_in_batches(reader, data):
    found, mistakes = read(reader.read_entries, b"path\n" + data)
    batches, mistakes_in_batches = read(reader.iter_batches, b"path\n" + data)
    assert flatten_batches(batches) == flatten_batches([batch_entries(found)])
    assert mistakes_in_batches == mistakes


def test_lines_are_numbered_right_in_every_batch():
    plain = [f"{number}.jpg,x" for number in range(2 * BATCH_ENTRIES)]
    data = "\n".join(["path,label", *plain, '"a\r\n\nb",y', "c.jpg,", "", 'd.jpg,"', "e.jpg,"])
    found, mistakes = read(csv_manifest.read_entries, data.encode())
    last = len(plain) + 1
    assert [entry.line for entry in found] == [*range(2, last + 1), last + 1, last + 4]
    assert [line for line, _ in mistakes] == [last + 6]


# Standard input -------------------------------------------------------------------------------


def test_standard_input_is_kept_and_read_again_without_it(tmp_path, monkeypatch):
    spool = tmp_path / "run" / "spool"
    spool.parent.mkdir()
    (tmp_path / "a.jpg").write_bytes(b"123")
    monkeypatch.chdir(tmp_path)
    source = open_source(["-"], spool=spool, stdin=io.BytesIO(b"path\na.jpg\n"))
    source.check(may_be_missing=True)
    assert source.specs == ("-",)
    assert [item.files[0].size for item in source] == [3]
    monkeypatch.chdir("/")
    assert list(open_source(["-"], spool=spool)) == list(source)


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b'{"path": "a"}\n', ["a"]),
        (b'\xef\xbb\xbf\r\n \r\n  {"path": "a"}\n', ["a"]),
        (b'"path"\n"a"\n', ["a"]),
        (gzip.compress(b"path\na\n", mtime=0), ["a"]),
    ],
)
def test_the_format_of_standard_input_is_seen_by_its_first_byte(tmp_path, data, keys):
    source = open_source(["-"], spool=tmp_path / "spool", stdin=io.BytesIO(data))
    source.check(may_be_missing=True)
    assert [item.key for item in source] == keys


def test_mistakes_of_standard_input_name_it(tmp_path):
    source = open_source(["-"], spool=tmp_path / "spool", stdin=io.BytesIO(b"path\na,b\n"))
    with pytest.raises(SourceError, match="standard input:2: "):
        source.check(may_be_missing=True)


def test_empty_standard_input_is_refused(tmp_path):
    source = open_source(["-"], spool=tmp_path / "spool", stdin=io.BytesIO())
    with pytest.raises(SourceError, match="standard input: there is no item"):
        source.check(may_be_missing=True)


def test_standard_input_that_breaks_off_leaves_what_was_kept_before(tmp_path):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise OSError(5, "broken pipe")

    open_source(["-"], spool=tmp_path / "spool", stdin=io.BytesIO(b"path\na\n"))
    with pytest.raises(SourceError, match="broken pipe"):
        open_source(["-"], spool=tmp_path / "spool", stdin=Broken())
    assert [item.key for item in open_source(["-"], spool=tmp_path / "spool")] == ["a"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spool", "spool.folder"]


def test_standard_input_that_was_never_kept_is_an_error(tmp_path):
    with pytest.raises(SourceError, match="not there any more"):
        open_source(["-"], spool=tmp_path / "spool")
    with pytest.raises(SourceError, match="needs a place"):
        open_source(["-"], stdin=io.BytesIO(b"path\na\n"))
