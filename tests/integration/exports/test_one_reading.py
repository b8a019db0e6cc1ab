"""One reading a run: in every export, query, report and table; kept; told; overruled."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import sqlite3
import stat

import orjson
import pytest
from PIL import Image
from pycocotools.coco import COCO

import batchinfer as bi
from batchinfer.api.prediction_format import MIN_STORED_FORMAT_SAMPLES, resolve_prediction_format
from batchinfer.api.run_report import report
from batchinfer.domain import Attempt, InputFile, Item, Mode, Record, Reply, RunInfo, State
from batchinfer.store.run_reader import RunReader
from batchinfer.store.sqlite import SqliteStore

pytestmark = pytest.mark.event_loops("asyncio", "trio")

INFO = RunInfo("abc", 1_700_000_000.0, Mode.SYNC, {}, ("/data",))
SIZE = (200, 100)
WIDE = [150, 60, 40, 30]
"""As left, top, width, height; no corners."""
FLAT = [10, 10, 90, 80]
"""May be either."""


def thing(*numbers, **more):
    return [{"label": "cat", "score": 0.5, "bbox": [*numbers], **more}]


async def run_of(folder, predictions, *, complete=True, pending=0, size=SIZE):
    """A run directory with a picture for each prediction."""
    async with SqliteStore.create(folder / "run", INFO) as store:
        await add_to(store, folder, predictions, 0, size)
        if pending:
            await store.add(
                [Item(f"open{n}", (InputFile("image", "/none"),)) for n in range(pending)]
            )
        if complete:
            await store.mark_source_complete()
    return folder / "run"


async def add_to(store, folder, predictions, before, size=SIZE):
    items = []
    for number in range(before, before + len(predictions)):
        path = folder / f"{number}.png"
        if size is not None:
            Image.new("RGB", size).save(path)
        items.append(Item(f"{number}.png", (InputFile("image", str(path)),)))
    await store.add(items)
    await store.commit_records(
        [
            Record(
                number, Attempt(1, 1_700_000_000.0, 0.5, Reply(prediction=each)), State.SUCCEEDED
            )
            for number, each in enumerate(predictions, before + 1)
        ]
    )


def kept(run):
    with RunReader(run) as reader:
        return reader.read_interpretation()


def exported(run, format, **options):
    notices, file = [], io.BytesIO()
    bi.export(run, file, format=format, notice=notices.append, **options)
    return file.getvalue(), notices


def rows(run, **options):
    data, _ = exported(run, "csv-flat", **options)
    return list(csv.DictReader(io.StringIO(data.decode())))


def coco_of(run, tmp_path, **options):
    data, _ = exported(run, "coco", **options)
    (tmp_path / "x.json").write_bytes(data)
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(tmp_path / "x.json"))


@pytest.mark.anyio
async def test_every_way_out_reads_a_run_alike(tmp_path):
    run = await run_of(tmp_path, [thing(*FLAT), thing(*WIDE)])
    expected = [(10.0, 10.0, 100.0, 90.0), (150.0, 60.0, 190.0, 90.0)]
    flat = [
        tuple(float(row[side]) for side in ("left", "top", "right", "bottom")) for row in rows(run)
    ]
    asked = 'select "left", top, "right", bottom from detections order by position'
    table = bi.results(run).to_arrow(flat=True).to_pylist()
    coco = coco_of(run, tmp_path)
    assert flat == expected
    assert [tuple(row.values()) for row in bi.query(run, asked)] == expected
    assert [tuple(row[s] for s in ("left", "top", "right", "bottom")) for row in table] == expected
    assert [one["bbox"] for one in coco.anns.values()] == [[10, 10, 90, 80], [150, 60, 40, 30]]
    made = report(run).path.read_text()
    assert '"found":[["cat",0.5,[500,1000,4500,8000],[]]]' in made
    assert "Boxes are read as left, top, width, height, in pixels (from 2 predictions)." in made


@pytest.mark.anyio
async def test_the_reading_is_told_with_what_it_was_decided_from(tmp_path):
    run = await run_of(tmp_path, [thing(*FLAT), thing(*WIDE)])
    data, notices = exported(run, "coco")
    (said,) = [each for each in notices if not each.startswith("file_name of each")]
    assert said == "Boxes are read as left, top, width, height, in pixels (from 2 predictions)."
    assert json.loads(data)["info"]["read_as"] == [said]
    assert exported(run, "jsonl")[1] == []  # which says predictions as they are


@pytest.mark.anyio
async def test_what_cannot_be_told_is_said_by_every_way_out_and_not_kept(tmp_path):
    run = await run_of(tmp_path, [thing(*FLAT)])
    for name in ("coco", "csv-flat"):
        _, notices = exported(run, name)
        assert any("cannot be told" in said and "--map format=xywh" in said for said in notices)
    answer = bi.query(run, "select * from detections")
    assert [row["right"] for row in answer] == [90.0]
    assert any("cannot be told" in said for said in answer.describe_interpretation())
    assert "It cannot be told" in report(run).path.read_text()
    assert kept(run) is None


@pytest.mark.anyio
async def test_once_kept_it_does_not_change_whatever_is_added(tmp_path):
    run = await run_of(tmp_path, [thing(*FLAT), thing(*WIDE)])
    first = resolve_prediction_format(run)
    assert kept(run) == first.as_json()
    async with SqliteStore.open(run) as store:
        others = [thing(10, 10, 190, 95), thing(120, 20, 180, 90)] * 100  # corners, all of them
        await add_to(store, tmp_path, others, 2, size=None)
    assert resolve_prediction_format(run) == first
    assert rows(run)[0]["right"] == "100.0"


@pytest.mark.anyio
async def test_a_run_that_goes_on_keeps_none_from_a_few(tmp_path):
    run = await run_of(tmp_path, [thing(*WIDE)] * 3, pending=1)
    assert resolve_prediction_format(run).value_of("list") == "xywh"
    assert kept(run) is None
    many = tmp_path / "many"
    many.mkdir()
    run = await run_of(
        many, [thing(*WIDE), thing(*FLAT)] * (MIN_STORED_FORMAT_SAMPLES // 2), pending=1
    )
    assert resolve_prediction_format(run).as_json() == kept(run)


@pytest.mark.anyio
async def test_the_order_of_the_items_does_not_matter(tmp_path):
    predictions = [thing(*FLAT), thing(20, 10, 60, 50), thing(*WIDE), thing(100, 50, 80, 40)]
    found = []
    for number, order in enumerate((predictions, predictions[::-1])):
        folder = tmp_path / str(number)
        folder.mkdir()
        found.append(resolve_prediction_format(await run_of(folder, order)))
    assert found[0] == found[1]


@pytest.mark.anyio
async def test_what_is_said_by_hand_wins_and_is_not_kept(tmp_path):
    run = await run_of(tmp_path, [thing(*FLAT), thing(*WIDE)])
    for options in (
        {"boxes": "cxcywh"},
        {"map": "format=cxcywh"},
        {"boxes": "stored,cxcywh,pixels"},
    ):
        assert rows(run, **options)[0]["right"] == "55.0"
        assert exported(run, "coco", **options)[1][-1].endswith("in pixels, as you say.")
    asked = 'select "right" from detections where position = 1'
    assert [*bi.query(run, asked, boxes="cxcywh")] == [{"right": 55.0}]
    assert rows(run)[0]["right"] == "100.0"
    assert kept(run)["answers"]["list"]["is"] == "xywh"


@pytest.mark.parametrize("boxes", ["sideways", "upright,stored", "xywh,xyxy"])
@pytest.mark.anyio
async def test_what_nobody_understands_is_said(tmp_path, boxes):
    run = await run_of(tmp_path, [thing(*WIDE)])
    with pytest.raises(bi.ConfigError):
        rows(run, boxes=boxes)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.anyio
async def test_a_run_that_may_not_be_written_is_read_alike(tmp_path):
    run = await run_of(tmp_path, [thing(*FLAT), thing(*WIDE)])
    for path in (*run.iterdir(), run):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    try:
        assert rows(run)[0]["right"] == "100.0"
        assert kept(run) is None
    finally:
        run.chmod(0o700)


@pytest.mark.anyio
async def test_while_somebody_else_writes_it_is_read_alike_and_not_kept(tmp_path):
    run = await run_of(tmp_path, [thing(*FLAT), thing(*WIDE)])
    with contextlib.closing(sqlite3.connect(run / "run.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert rows(run)[0]["right"] == "100.0"
        other.execute("ROLLBACK")
    assert kept(run) is None
    assert rows(run)[0]["right"] == "100.0"
    assert kept(run) is not None


@pytest.mark.anyio
async def test_nothing_found_is_a_row_of_its_own_kind_and_easily_left_out(tmp_path):
    run = await run_of(tmp_path, [thing(*WIDE), [], {"temperature": 3}], pending=1)
    assert [row["kind"] for row in rows(run)] == ["detection", "none", "data", ""]
    assert [row["kind"] for row in rows(run, found_only=True)] == ["detection"]
    table = bi.results(run).to_arrow(flat=True).to_pylist()
    assert [row["kind"] for row in table] == ["detection", "none", "data", None]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
@pytest.mark.anyio
async def test_coco_has_every_outline_mask_and_keypoint(tmp_path):
    runs = [200 * 100 - 60, 50, 10]  # half of the last column
    parts = [[5, 5, 20, 5, 20, 55, 5, 55], [40, 5, 55, 5, 55, 50, 40, 50]]
    known = {"category_id": 3, "image_id": 1}
    run = await run_of(
        tmp_path,
        [
            [{**known, **thing(5, 5, 50, 50, segmentation=parts)[0]}],
            [
                {
                    **known,
                    **thing(199, 40, 1, 50, segmentation={"size": [100, 200], "counts": runs})[0],
                }
            ],
            [{**known, **thing(5, 5, 50, 50, segmentation={"size": [9, 9], "counts": [80, 1]})[0]}],
            [{**known, **thing(5, 5, 50, 50, keypoints=[10, 20, 2, 0, 0, 0])[0]}],
        ],
    )
    coco = coco_of(run, tmp_path)
    two, masked, other, posed = coco.anns.values()
    assert (two["area"], two["segmentation"], two["iscrowd"]) == (1425, parts, 0)
    assert (masked["area"], masked["iscrowd"]) == (50, 0)
    assert masked["segmentation"] == {"size": [100, 200], "counts": runs}
    assert coco.annToMask(masked).sum() == 50
    assert (other["segmentation"], other["area"]) == ([], 2500)
    assert (posed["keypoints"], posed["num_keypoints"]) == ([10, 20, 2, 0, 0, 0], 1)
    assert [category["keypoints"] for category in coco.cats.values()] == [["1", "2"]]
    _, notices = exported(run, "coco")
    assert notices[0] == "Left out: 1 mask, of another size than its picture (first: '2.png')."


@pytest.mark.anyio
async def test_what_a_format_has_no_place_for_is_told(tmp_path):
    parts = [[5, 5, 20, 5, 20, 55, 5, 55], [40, 5, 55, 5, 55, 50, 40, 50]]
    mask = {"size": [100, 200], "counts": [200 * 100 - 50, 50]}
    run = await run_of(
        tmp_path,
        [
            thing(5, 5, 55, 55, segmentation=parts),
            thing(5, 5, 55, 55, mask=mask, keypoints=[10, 20, 2, 30, 40, 1]),
            thing(5, 5, 55, 55, mask=[[0] * 20] * 20),
            thing(120, 5, 180, 55),
        ],
    )
    unread = "Left out: 1 mask, of a kind that cannot be kept (first: '2.png')."
    no_place = "which this format has no place for"
    for name in ("yolo", "label-studio", "fiftyone"):
        notices = []
        bi.export(run, tmp_path / name, format=name, notice=notices.append)
        assert unread in notices
        assert f"Left out: 1 mask, {no_place} (first: '1.png')." in notices
        assert f"Left out: 2 keypoints, {no_place} (first: '1.png')." in notices
        beside = "Left out: 1 outline, beside the largest of its detection (first: '0.png')."
        assert (beside in notices) is (name == "yolo")
    tasks = json.loads((tmp_path / "label-studio/tasks.json").read_bytes())
    kinds = [region["type"] for region in tasks[0]["predictions"][0]["result"]]
    assert kinds == ["polygonlabels"] * 2
    samples = json.loads((tmp_path / "fiftyone/samples.json").read_bytes())["samples"]
    assert len(samples[0]["outlines"]["polylines"][0]["points"]) == 2
    first, second, third, _ = rows(run)
    assert len(json.loads(first["outlines"])) == 2
    assert json.loads(first["outline"]) == json.loads(first["outlines"])[0]
    assert json.loads(second["mask"]) == mask
    assert json.loads(second["keypoints"]) == [[10.0, 20.0, 2.0], [30.0, 40.0, 1.0]]
    assert (third["mask"], exported(run, "csv-flat")[1][0]) == ("", unread)
    asked = [*bi.query(run, "select outlines, mask, keypoints from detections order by position")]
    assert [len(orjson.loads(row["outlines"] or "[]")) for row in asked] == [2, 0, 0, 0]
    assert orjson.loads(asked[1]["mask"]) == mask
    made = report(run).path.read_text()
    assert "Not drawn: 2 masks, 2 keypoints." in made
    assert made.count("[250,500,1000,500,1000,5500,250,5500]") == 1
    assert made.count("[2000,500,2750,500,2750,5000,2000,5000]") == 1


@pytest.mark.anyio
async def test_geojson_in_metres_is_told_and_never_written_as_degrees(tmp_path):
    def collection(*position):
        feature = {"type": "Feature", "properties": {"a": 1}}
        feature["geometry"] = {"type": "Point", "coordinates": [*position]}
        return {"type": "FeatureCollection", "features": [feature]}

    run = await run_of(tmp_path, [collection(456789.1, 5432100.2), collection(45.5, 50.25)])
    data, notices = exported(run, "geojson")
    assert notices[0] == (
        "Left out: 2 shapes, not in WGS 84: positions lie beyond 180 and 90 degrees (first: "
        "'0.png')."
    )
    features = json.loads(data)["features"]
    assert [feature["geometry"] for feature in features] == [None, None]
    assert [feature["properties"]["a"] for feature in features] == [1, 1]
