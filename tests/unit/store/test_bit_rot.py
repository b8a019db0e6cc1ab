"""Single flipped bits: what changes what is shown is told by name, or SQLite refuses."""

import random
import shutil
import sqlite3
from dataclasses import replace

import pytest

import batchinfer as bi
from batchinfer.domain import SentFile
from batchinfer.errors import RunCorrupt, RunDamaged, StoreError
from batchinfer.store import sql_read
from batchinfer.store.database import DATABASE_NAME
from batchinfer.store.row_checks import DamageCollector, is_intact_reply, is_result_intact
from batchinfer.store.sqlite import SqliteStore
from batchinfer.store.table_reader import TableReader
from batchinfer.store.verification import verify_run
from support.records import INFO, failed, failure, item, reply, submitted

pytestmark = pytest.mark.event_loops("asyncio", "trio")

FLIPS = 60
SHOWN_PARAMS = 12
"""The cell that repeats one of two others."""


def sending(record, size=11, **params):
    """The record of an attempt that sent a file of this size, and these parameters."""
    outcome = replace(record.attempt.outcome, inputs=(SentFile("files", size, f"{size:064x}"),))
    return replace(record, attempt=replace(record.attempt, outcome=outcome, params=params))


@pytest.fixture
async def run(tmp_path):
    directory = tmp_path / "run"
    async with SqliteStore.create(directory, INFO) as store:
        await store.start_session({"threshold": 0.5})
        await store.save_model_help("usage: model [--threshold FLOAT]")
        await store.add(
            [item(f"cats/{n:03}.jpg", size=n, text=f"number {n}") for n in range(1, 31)]
        )
        boxes = [{"name": "cat", "score": 0.75, "box": [1, 2, 30, 40]}] * 5
        await store.commit_records(
            [sending(submitted(n), n, text=f"number {n}") for n in (28, 29, 30)]
        )
        await store.commit_records(
            [
                *(
                    sending(reply(n, prediction=boxes, log=f"log {n}"), n, text=f"number {n}")
                    for n in range(1, 21)
                ),
                sending(reply(21, prediction=None, data=b"png" * 99, media_type="image/png")),
                sending(failed(22, log="ValueError: no")),
                sending(failure(23, retry_at=7.0)),
                reply(28),
                failed(29, code="no_output"),
            ]
        )
        await store.commit_records(
            [sending(reply(23, 2, prediction="text", media_type="text/plain"))]
        )
    return directory


def flipped(path, bit):
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def exported(directory, folder):
    """All that exports show, and whether they told of damage."""
    told = False
    found = {}
    for name, format_ in (("rows.jsonl", None), ("files", "files"), ("crate", "ro-crate")):
        target = folder / name
        try:
            bi.export(directory, target, format=format_)
        except (RunDamaged, RunCorrupt, StoreError):
            told = True
        for path in [target, *sorted(target.rglob("*"))] if target.exists() else []:
            if path.is_file():
                found[str(path.relative_to(folder))] = path.read_bytes()
    for key in ("cats/001.jpg", "cats/021.jpg", "cats/023.jpg", "cats/029.jpg", "cats/030.jpg"):
        try:
            found[key] = bi.show(directory, key)
        except (StoreError, bi.ConfigError) as error:
            told, found[key] = True, str(error)
    return found, told


def scratch(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    return folder


async def test_a_run_that_is_whole_shows_no_damage(run, tmp_path):
    _, told = exported(run, scratch(tmp_path, "whole"))
    assert not told
    assert verify_run(run) == ()


async def test_a_row_of_a_reply_is_intact_by_the_quick_check_only_if_it_is(run):
    reader = TableReader(run, DamageCollector())
    rows = list(reader.iter_rows(sql_read.SELECT_RESULTS_BY_STATE[None], None))
    reader.close()

    assert [row[0] for row in rows if is_intact_reply(row)] == [*range(1, 22), 23, 28]
    for row in rows:
        for index, cell in enumerate(row):
            for other in (None, b"x", b"", 3, 0.5, cell * 2 if isinstance(cell, bytes) else b"y"):
                changed = (*row[:index], other, *row[index + 1 :])
                if is_intact_reply(changed):
                    assert is_result_intact(changed)
                    assert index == SHOWN_PARAMS or changed == row


@pytest.mark.slow
@pytest.mark.event_loops("asyncio")
@pytest.mark.parametrize("part", range(2))
async def test_a_flipped_bit_of_the_database_is_told_or_changes_nothing(run, tmp_path, part):
    before, _ = exported(run, scratch(tmp_path, "before"))
    places = random.Random(part)
    pristine = (run / DATABASE_NAME).read_bytes()
    silent = []
    for count in range(FLIPS):
        bit = places.randrange(len(pristine) * 8)
        (run / DATABASE_NAME).write_bytes(pristine)
        flipped(run / DATABASE_NAME, bit)
        folder = scratch(tmp_path, f"flip-{count}")
        now, told = exported(run, folder)
        if now != before and not told:
            silent.append(bit)
        shutil.rmtree(folder)
    assert silent == []


async def test_a_flipped_bit_of_an_output_is_told_and_the_rest_is_written(run, tmp_path):
    (output,) = (run / "outputs").iterdir()
    for bit in (0, 999, output.stat().st_size * 8 - 1):
        flipped(output, bit)
        target = tmp_path / f"files-{bit}"
        with pytest.raises(RunDamaged, match=r"outputs/21-1\.png"):
            bi.export(run, target, format="files")
        assert not list(target.rglob("*.png"))
        assert len(list(target.rglob("*.json"))) >= 20
        assert [damage.subject for damage in verify_run(run)] == ["outputs/21-1.png"]
        flipped(output, bit)
    assert verify_run(run) == ()


def change(run, statement):
    connection = sqlite3.connect(run / DATABASE_NAME)
    connection.execute(statement)
    connection.commit()
    connection.close()


CHANGES = {
    "a prediction": "UPDATE predictions SET prediction = replace(prediction, '0.75', '0.76')",
    "a log": "UPDATE attempts SET log = 'other' WHERE position = 5",
    "a code": "UPDATE attempts SET code = 'model_errer' WHERE position = 22",
    "a time": "UPDATE attempts SET started_at = started_at + 1 WHERE position = 4",
    "an end": "UPDATE items SET finished_at = finished_at + 1 WHERE position = 4",
    "what was sent": "UPDATE attempts SET params = '{}' WHERE position = 3",
    "a sum": f"UPDATE inputs SET sha256 = '{'f' * 64}' WHERE position = 3",
    "a key": "UPDATE items SET key = 'cats/0O3.jpg' WHERE position = 3",
    "a count": "UPDATE items SET attempts = 7 WHERE position = 3",
}


@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES)
async def test_what_was_changed_is_told_by_name_and_the_rest_is_exported(run, tmp_path, statement):
    change(run, statement)
    with pytest.raises(RunDamaged, match="the item 'cats/0"):
        bi.export(run, tmp_path / "files", format="ro-crate")
    rows = (tmp_path / "files" / "results.jsonl").read_text().splitlines()
    assert 10 <= len(rows) < 30
    assert verify_run(run)


async def test_the_python_api_gives_what_is_sound_and_then_tells(run):
    change(run, CHANGES["a code"])
    found = []
    with pytest.raises(RunDamaged, match=r"cats/022\.jpg"):
        found.extend(result.key for result in bi.results(run))
    assert len(found) == 29
    with pytest.raises(RunDamaged, match=r"cats/022\.jpg"):
        bi.show(run, "cats/022.jpg")
    assert bi.show(run, "cats/021.jpg").result.state == "succeeded"
