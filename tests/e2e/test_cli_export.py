"""Every export through the real command line: what is written, what is said, what is refused."""

import csv
import gzip
import io
import json
import subprocess
import sys

import anyio
import pytest

import batchinfer as bi
from batchinfer.exports import FolderExport, list_formats
from support.cli import batchinfer
from support.gallery import hung as painted
from support.records import failed, item, made

SAID = {
    **dict.fromkeys(("jsonl", "csv"), "31 rows"),
    **dict.fromkeys(("csv-flat", "parquet", "arrow"), "35 rows"),
    "coco": "23 annotations",
    "yolo": "21 images",
    "label-studio": "29 tasks",
    "fiftyone": "28 samples",
    "geojson": "33 features",
    **dict.fromkeys(("files", "ro-crate"), "31 items"),
    "openai-batch": "30 rows",
}
TOLD = {"csv": ["For"], "csv-flat": ["For"], "coco": ["file_name"]}
"""How what is told besides begins: of Excel, of the folder of the pictures."""
FOLDERS = ("yolo", "label-studio", "fiftyone", "files", "ro-crate")
HOSTILE = "\x1b[31m\u202e\nerror: all is lost"


@pytest.fixture(scope="module")
def hung(tmp_path_factory):
    return anyio.run(painted, tmp_path_factory.mktemp("gallery"))


@pytest.fixture(scope="module")
def run(hung):
    return hung.run


def stdout(run, *args):
    return batchinfer("export", run, "-o", "-", *args).stdout


def rows(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def without(library, *args):
    """The command line of somebody who has not installed `library`."""
    code = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from batchinfer.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_format_is_tried_here():
    assert set(SAID) == {each.name for each in list_formats()}
    assert set(FOLDERS) == {each.name for each in list_formats() if isinstance(each, FolderExport)}


@pytest.mark.parametrize("format_", SAID)
def test_each_format_is_written_and_counted(run, tmp_path, format_):
    place = tmp_path / "out"
    done = batchinfer("export", run, "-o", place, "--format", format_)
    assert done.stdout == ""
    *left_out, last = done.stderr.splitlines()
    assert last == f"{SAID[format_]} written to {place}"
    told = [line for line in left_out if not line.startswith("Left out: ")]
    assert [line.partition(" ")[0] for line in told] == TOLD.get(format_, [])
    assert list(tmp_path.iterdir()) == [place]
    assert place.is_dir() if format_ in FOLDERS else place.stat().st_size > 100


@pytest.mark.parametrize("format_", FOLDERS)
def test_a_folder_is_not_written_to_a_stream(run, format_):
    done = batchinfer("export", run, "-o", "-", "--format", format_, code=2)
    assert done.stdout == ""
    assert done.stderr == f"error: The format {format_} is a folder: name one with -o.\n"


def test_a_folder_with_something_in_it_is_refused_and_stays(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    done = batchinfer("export", run, "-o", tmp_path / "out", "--format", "files", code=2)
    assert done.stderr == (
        f"error: {tmp_path / 'out'} is there already, and nothing was written."
        " Name a new folder, or delete this one.\n"
    )
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine"]


def test_a_folder_is_not_packed(run, tmp_path):
    done = batchinfer("export", run, "-o", tmp_path / "x.gz", "--format", "files", code=2)
    assert "the format files is a folder: name it without .gz" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_out_is_told_on_stderr_and_data_alone_is_on_stdout(run):
    done = batchinfer("export", run, "-o", "-", "--format", "coco")
    assert len(json.loads(done.stdout)["annotations"]) == 23
    undetected, unreadable, spelled, unpredicted, root, last = done.stderr.splitlines()
    assert undetected == (
        "Left out: 6 items, no detections in the prediction (first: 'classes.jpg')."
    )
    assert unreadable.startswith("Left out: 2 items, no readable image, skipped (first: ")
    assert unpredicted == "Left out: 2 items, without a prediction (first: 'failed.jpg')."
    assert spelled.startswith("Left out: 1 path, bytes that are not UTF-8 (spelled \\xNN) (first: ")
    assert root.startswith("file_name of each image is its path below /")
    assert last == "23 annotations written to standard output"


def test_a_hostile_key_that_is_left_out_says_nothing_of_its_own(tmp_path):
    run = anyio.run(made, tmp_path / "run", [item(HOSTILE), item("b")], [failed(2)])
    done = batchinfer("export", run, "-o", tmp_path / HOSTILE, "--format", "openai-batch")
    left_out, last = done.stderr.splitlines()
    assert left_out.startswith("Left out: 1 item, without an outcome yet (first: ")
    assert last.startswith("1 row written to ")
    assert (left_out + last).isprintable()


def test_python_is_told_what_is_left_out_too(run, tmp_path):
    notices = []
    count = bi.export(run, tmp_path / "x.geojson", notice=notices.append)
    assert count == 33
    assert notices[0] == "Left out: 1 feature, not valid GeoJSON (first: 'map.jpg')."
    assert bi.export(run, tmp_path / "y.geojson") == 33


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_without_pyarrow_the_extra_to_install_is_named(run, tmp_path, format_):
    done = without("pyarrow", "export", run, "-o", tmp_path / "x", "--format", format_)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: Writing Parquet and Arrow needs the library pyarrow, which is not installed:"
        " pip install 'batchinfer[tables]'\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format_", ["coco", "yolo"])
def test_without_pillow_the_extra_to_install_is_named(run, tmp_path, format_):
    done = without("PIL", "export", run, "-o", tmp_path / "x", "--format", format_)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: Looking at pictures needs the library PIL, which is not installed:"
        " pip install 'batchinfer[report]'\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_tables_need_neither(run, tmp_path):
    for library in ("PIL", "pyarrow"):
        done = without(library, "export", run, "-o", tmp_path / "x.csv")
        assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("ending", [".parquet", ".arrow", ".geojson", ".ndjson", ".csv.gz"])
def test_the_extension_names_the_format(run, tmp_path, ending):
    batchinfer("export", run, "-o", tmp_path / f"x{ending}")
    data = (tmp_path / f"x{ending}").read_bytes()
    starts = {".parquet": b"PAR1", ".arrow": b"ARROW1", ".geojson": b'{"type":"FeatureCollection"'}
    assert data.startswith(starts.get(ending, b"\x1f\x8b" if ending == ".csv.gz" else b'{"key":'))
    if ending == ".csv.gz":
        assert len(rows(gzip.decompress(data).decode())) == 31


def test_formulas_are_left_as_they_are_only_when_asked_for(run):
    key = "=cmd|' /C calc'!A0"
    told = rows(stdout(run, "--format", "csv-flat"))
    plain = rows(stdout(run, "--format", "csv-flat", "--formulas"))
    assert [row["key"] for row in told if "cmd" in row["key"]] == [f"'{key}"]
    assert [row["key"] for row in plain if "cmd" in row["key"]] == [key]


def test_fields_are_where_the_user_says(run):
    text = stdout(run, "--format", "csv-flat", "--map", "label=temperature.unit")
    (row,) = (row for row in rows(text) if row["key"] == "data.jpg")
    assert (row["kind"], row["label"]) == ("class", "K")
    done = batchinfer("export", run, "-o", "-", "--map", "nonsense", code=2)
    assert "--map nonsense is not made of name=path" in done.stderr


def test_boxes_of_stored_pixels_are_turned(run, hung):
    def box(*args):
        found = json.loads(stdout(run, "--format", "coco", *args))["annotations"]
        position = hung.position("site-1/turned.jpg")
        return next(one["bbox"] for one in found if one["image_id"] == position)

    assert box() == [30, 40, 120, 160]
    assert box("--boxes", "stored") == [100, 30, 160, 120]


def test_only_items_of_the_state_asked_for_are_written(run, tmp_path):
    counts = {"failed": 1, "succeeded": 29, "all": 31}
    for state, count in counts.items():
        assert len(stdout(run, "--state", state).splitlines()) == count
    done = batchinfer(
        *("export", run, "-o", tmp_path / "x", "--format", "files", "--state", "failed")
    )
    assert "1 item written to" in done.stderr
    assert (tmp_path / "x" / "failed.jpg.error.json").is_file()
