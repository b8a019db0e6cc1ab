"""Tables, workbooks and data sets as sources, through the whole command line."""

import json
import shutil
import signal
from hashlib import sha256
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, config, images, png, start, until
from support.tables import picture_table, write_saved_dataset, write_table

COUNT = 40
CONTENTS = {f"img {number:02d}.png": png(number) for number in range(COUNT)}


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True, containers=2, latency=0.05)) as local:
        yield local


def do(*args, code=0, **options) -> str:
    done = batchinfer(*args, code=code, **options)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def rows(run: Path) -> dict[str, dict[str, object]]:
    return {row["key"]: row for row in bi.query(run, "select * from results")}


def assert_answered(run: Path, contents: dict[str, bytes]) -> None:
    found = rows(run)
    assert found.keys() == contents.keys()
    for key, data in contents.items():
        assert json.loads(found[key]["prediction"])["sha256"] == sha256(data).hexdigest()
    # Sync calls that were in flight at the kill are repeated, no other ones.
    assert bi.status(run).counts.failed == 0


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("form", ["parquet", "arrows"])
def test_a_killed_run_of_a_data_set_is_continued(mode, form, service, tmp_path):
    run = tmp_path / "run"
    table = picture_table(CONTENTS, hf=True, label=list(range(COUNT)))
    path = write_table(tmp_path / f"photos.{form}", table, rows=7)
    toml = config(tmp_path / "c.toml", service, f'mode = "{mode}"\nconcurrency = 2')
    process = start("run", path, "-c", toml, "-o", run)
    until(run, lambda counts: counts.succeeded >= 5, process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    recorded = bi.status(run).counts.succeeded
    assert 5 <= recorded < COUNT

    said = do("resume", run)
    assert "label" in said or recorded
    assert_answered(run, CONTENTS)
    attempts = [row["attempts"] for row in bi.query(run, "select attempts from results")]
    assert sum(attempts) <= COUNT + 2  # what was in flight


def test_a_saved_dataset_is_reported_exported_and_moved(service, tmp_path):
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", service)
    keys = list(CONTENTS)
    halves = {
        "train": {key: CONTENTS[key] for key in keys[:20]},
        "test": {key: CONTENTS[key] for key in keys[20:]},
    }
    folder = write_saved_dataset(
        tmp_path / "ds", {split: picture_table(each) for split, each in halves.items()}, 7
    )
    said = json.loads(do("run", folder, "-c", toml, "-o", run, "--dry-run", "--json"))
    assert (said["items"], said["key"]) == (COUNT, "train/img 00.png")
    do("run", folder, "-c", toml, "-o", run, "--limit", 5)
    do("run", folder, "-o", run, "--limit", 5)

    folder.rename(tmp_path / "away")
    assert "source_unavailable" in do("resume", run, "--json", code=3)
    assert bi.status(run).counts.failed == 0
    do("resume", run, "--source", tmp_path / "away")
    expected = {
        f"{split}/{key}": data for split, each in halves.items() for key, data in each.items()
    }
    assert_answered(run, expected)

    do("report", run, "-o", tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().count("data:image/webp;base64,") >= 20
    for kind in ("coco", "yolo", "csv"):
        do("export", run, "-o", tmp_path / kind, "--format", kind)
    assert "#column=image&row=3&name=img 03.png" in (tmp_path / "csv").read_text()


def test_a_table_that_was_written_again_fails_its_items_until_they_are_retried(service, tmp_path):
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", service, "concurrency = 1")
    path = write_table(tmp_path / "t.parquet", picture_table(CONTENTS))
    do("run", path, "-c", toml, "-o", run, "--limit", 3, "-q")
    changed = CONTENTS | {"img 39.png": png(99)}
    write_table(path, picture_table(changed))
    do("resume", run, code=1)
    assert {row["code"] for row in rows(run).values()} == {None, "file_changed"}
    do("retry", run)
    do("resume", run)
    assert_answered(run, changed)


def test_a_table_lists_files_and_their_parameters(service, tmp_path):
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", service)
    images(tmp_path, 6)
    paths = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png"))
    pq.write_table(
        pa.table({"path": paths, "limit": [0.25, 1.0, None] * 2}), tmp_path / "t.parquet"
    )
    said = do("run", "t.parquet", "-c", toml, "-o", run, "--dry-run", cwd=tmp_path)
    assert '"limit": 0.25' in said
    do("run", "t.parquet", "-c", toml, "-o", run, "--no-validate", cwd=tmp_path)
    found = rows(run)
    assert [found[path]["params"] for path in paths[:3]] == [
        '{"limit":0.25}',
        '{"limit":1.0}',
        "{}",
    ]


def test_a_null_path_is_refused_before_anything_is_sent(service, tmp_path):
    toml = config(tmp_path / "c.toml", service)
    (tmp_path / "a.png").write_bytes(png(1))
    pq.write_table(pa.table({"path": ["a.png", None]}), tmp_path / "t.parquet")
    said = do("run", "t.parquet", "-c", toml, "-o", "run", code=2, cwd=tmp_path)
    assert "t.parquet, row 1: column 'path' is null" in said
    assert not (tmp_path / "run").exists()


def test_a_null_cell_of_a_damaged_statistic_fails_one_item(service, tmp_path):
    """A cell that turns out to be null when it is read fails its item, and no other."""
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", service)
    path = write_table(tmp_path / "t.parquet", picture_table(CONTENTS))
    listed = tmp_path / "list.txt"
    uris = [f"table://{path}#column=image&row={row}" for row in (0, COUNT)]
    listed.write_text("\n".join(uris))
    do("run", "--files-from", listed, "-c", toml, "-o", run, code=1)
    assert {row["code"] for row in rows(run).values()} == {None, "file_missing"}


def test_formats_and_sheets_are_asked_for_by_options(service, tmp_path):
    toml = config(tmp_path / "c.toml", service)
    images(tmp_path / "images", 3)
    names = sorted(
        str(path.relative_to(tmp_path / "images")) for path in (tmp_path / "images").rglob("*.png")
    )
    (tmp_path / "labels.json").write_text(
        json.dumps({"images": [{"file_name": name} for name in names], "annotations": []})
    )
    (tmp_path / "data.yaml").write_text("train: images\n")
    book = openpyxl.Workbook()
    book.active.append(["notes"])
    sheet = book.create_sheet("Day 2")
    for row in (["path"], *([f"images/{name}"] for name in names)):
        sheet.append(row)
    book.save(tmp_path / "list.xlsx")

    def dry(*args, code=0):
        return do("run", *args, "-c", toml, "-o", "run", "--dry-run", code=code, cwd=tmp_path)

    assert "add --source-format coco" in dry("labels.json", code=2)
    assert "add --source-format yolo" in dry("data.yaml", code=2)
    assert "has several sheets" in dry("list.xlsx", code=2)
    assert "expected one of auto, csv" in dry("data.yaml", "--source-format", "xml", code=2)
    for args in (
        ("labels.json", "--source-format", "coco"),
        ("data.yaml", "--source-format", "yolo"),
        ("list.xlsx", "--sheet", "Day 2"),
        ("coco:labels.json",),
    ):
        assert "Dry run: 3 items" in dry(*args)
    toml.write_text(f'{toml.read_text()}\n[input]\nsource_format = "coco"\n')
    assert "Dry run: 3 items" in dry("labels.json")

    run = tmp_path / "out"
    do("run", "labels.json", "-c", toml, "-o", run, "--limit", 1, cwd=tmp_path)
    shutil.move(tmp_path / "images", tmp_path / "pictures")
    assert "source_unavailable" in do("resume", run, "--json", code=3)
    shutil.move(tmp_path / "pictures", tmp_path / "images")
    do("run", "labels.json", "-o", run, cwd=tmp_path)
    assert {row["state"] for row in rows(run).values()} == {"succeeded"}
    assert rows(run).keys() == set(names)
    (tmp_path / "ds").mkdir()
    for name in ("labels.json", "images"):
        shutil.move(tmp_path / name, tmp_path / "ds" / name)
    assert "3 files were found" in do("resume", run, "--source", tmp_path / "ds" / "labels.json")
