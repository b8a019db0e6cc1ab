"""SQL over a run: what the views say, that nothing can be written, that nothing is misread."""

import csv
import hashlib
import io
import signal
import sqlite3
import tracemalloc
from collections import deque
from dataclasses import replace

import orjson
import pytest

from batchinfer.api.result_export import build_export_source
from batchinfer.api.sql_query import list_views, query
from batchinfer.domain import InputFile, Item, SentFile
from batchinfer.errors import ConfigError, RunCorrupt, StoreError
from batchinfer.exports import ExportOptions, write_export
from batchinfer.exports.query_output import QueryOutputOptions, write_csv
from batchinfer.store.database import DATABASE_NAME
from batchinfer.store.migrations import FORMAT_VERSION, INPUTS_MIN_VERSION
from batchinfer.store.sqlite import SqliteStore
from support.older_runs import become
from support.records import INFO, failed, failure, item, page, reply, submitted

SHA = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("image", "mask", "again")}
HOSTILE = "=cmd()|'\x1b[31m'\u202egpj.\r\n\x85猫"
OBJECTS = [
    {
        "name": "cat",
        "confidence": 0.875,
        "box": {"x1": 1, "y1": 2, "x2": 30.5, "y2": 40},
        "segments": {"x": [1, 30.5, 30.5], "y": [2, 2, 40]},
    },
    {"name": HOSTILE, "confidence": 0.25, "box": {"x1": 0, "y1": 0, "x2": 5, "y2": 6}},
    {"name": "no place", "confidence": 1, "box": {}},
]
CLASSES = {"labels": ["oak", "ash"], "probabilities": [0.75, 0.125]}


@pytest.fixture
async def run(tmp_path):
    """Nine items, one in each situation."""
    sent = (SentFile("image", 12, SHA["image"]), SentFile("mask", 3, SHA["mask"]))
    mask = InputFile("mask", "/data/mask.png")
    async with SqliteStore.create(tmp_path / "run", INFO) as store:
        first, *others = page(8)
        await store.add([replace(first, files=(*first.files, mask)), *others, Item("none", (), {})])
        upload = submitted(7, at=150.0)
        await store.commit_records(
            [
                reply(1, prediction=OBJECTS, server_seconds=0.375, log="log of 1", inputs=sent),
                reply(2, prediction=CLASSES, at=200.25, seconds=2.5),
                reply(3, prediction="a cat, said aloud", media_type="text/plain"),
                reply(4, prediction=None, data=b"png", media_type="image/png"),
                reply(5, prediction={"n": 2**70, "nan": float("nan"), "text": "a\0b"}),
                failure(6, 1, code="timeout", message="Too slow.", retry_after=3.0),
                failed(6, 2, at=300.0, message=HOSTILE, log="Traceback", inputs=sent[:1]),
                replace(upload, attempt=replace(upload.attempt, outcome=_sending(upload))),
                failure(8, 1, retry_at=900.5),
            ]
        )
    return tmp_path / "run"


def _sending(record):
    return replace(record.attempt.outcome, inputs=(SentFile("image", 5, SHA["again"]),))


def ask(run, sql, parameters=(), **more):
    with query(run, sql, parameters, **more) as answer:
        return list(answer.tuples())


def change(run, script):
    connection = sqlite3.connect(run / DATABASE_NAME)
    connection.executescript(script)
    connection.close()


# The views ----------------------------------------------------------------------------------------


async def test_every_view_has_its_columns_and_those_that_the_database_keeps_are_its_own(run):
    found = list_views(run)

    assert list(found) == [
        "items",
        "attempts",
        "predictions",
        "inputs",
        "detections",
        "classes",
        "results",
        "failures",
        "submitted",
    ]
    for view, columns in found.items():
        with query(run, f"select * from {view}") as answer:
            assert list(answer.columns) == columns
            assert {"position", "key"} <= set(answer.columns)


async def test_items_say_where_each_stands(run):
    wanted = "position, key, state, code, attempts, seconds, started_at, retry_at, finished_at"

    assert ask(run, f"select {wanted} from items where position in (2, 6, 8, 9)") == [
        (
            *(2, "002.jpg", "succeeded", None, 1, 2.5),
            *("1970-01-01T00:03:20.250Z", None, "1970-01-01T00:03:22.750Z"),
        ),
        (
            *(6, "006.jpg", "failed", "model_error", 2, 0.5),
            *("1970-01-01T00:05:00.000Z", None, "1970-01-01T00:05:00.500Z"),
        ),
        (
            *(8, "008.jpg", "pending", "http_503", 1, 0.5),
            *("1970-01-01T00:01:40.000Z", "1970-01-01T00:15:00.500Z", None),
        ),
        (9, "none", "pending", None, 0, None, None, None, None),
    ]
    assert ask(run, "select submitted_at, path, params from items where state = 'submitted'") == [
        ("1970-01-01T00:02:30.000Z", "/data/007.jpg", "{}")
    ]
    assert ask(run, "select message from items where key = '006.jpg'") == [(HOSTILE,)]
    assert ask(run, "select count(*) from items") == [(9,)]


async def test_attempts_are_all_there_were(run):
    wanted = "key, number, code, kind, server_seconds, retry_after, log"

    assert ask(run, f"select {wanted} from attempts where position in (1, 6)") == [
        ("001.jpg", 1, None, None, 0.375, None, "log of 1"),
        ("006.jpg", 1, "timeout", "transient", None, 3.0, ""),
        ("006.jpg", 2, "model_error", "transient", None, None, "Traceback"),
    ]
    assert ask(run, "select count(*) from attempts") == [(8,)]


async def test_predictions_are_json_and_exact(run):
    found = ask(run, "select key, attempt, media_type, prediction from predictions")

    assert [row[:3] for row in found] == [
        ("001.jpg", 1, "application/json"),
        ("002.jpg", 1, "application/json"),
        ("003.jpg", 1, "text/plain"),
        ("004.jpg", 1, "image/png"),
        ("005.jpg", 1, "application/json"),
    ]
    assert orjson.loads(found[0][3]) == OBJECTS
    assert found[3][3] == '"outputs/4-1.png"'
    assert found[4][3] == f'{{"n":{2**70},"nan":"NaN","text":"a\\u0000b"}}'


async def test_inputs_are_what_each_attempt_sent(run):
    assert ask(run, "select key, number, param, size, sha256 from inputs") == [
        ("001.jpg", 1, "image", 12, SHA["image"]),
        ("001.jpg", 1, "mask", 3, SHA["mask"]),
        ("006.jpg", 2, "image", 12, SHA["image"]),
        ("007.jpg", 1, "image", 5, SHA["again"]),
    ]


async def test_classes_have_a_row_each(run):
    assert ask(run, "select position, key, path, number, label, score from classes") == [
        (2, "002.jpg", "/data/002.jpg", 1, "oak", 0.75),
        (2, "002.jpg", "/data/002.jpg", 2, "ash", 0.125),
    ]


async def test_views_of_the_database_itself_are_kept(run):
    assert ask(run, "select key, state, media_type from results where position = 4") == [
        ("004.jpg", "succeeded", "image/png")
    ]
    assert ask(run, "select key, code, attempts, log from failures") == [
        ("006.jpg", "model_error", 2, "Traceback")
    ]
    assert ask(run, "select key, object from submitted") == [("007.jpg", "abc-7-1")]
    assert ask(run, "select mode from run") == [("async",)]
    assert ask(run, "select in_bucket from main.items where position = 7") == [(1,)]


CELLS = 'key, path, number, label, score, "left", top, "right", bottom, unit, outline'


@pytest.mark.parametrize("formulas", [False, True])
async def test_detections_are_the_rows_of_the_flat_export_to_the_letter(run, formulas):
    exported, asked = io.BytesIO(), io.BytesIO()
    options = ExportOptions(formulas=formulas)
    write_export(build_export_source(run), exported, "csv-flat", options)
    with query(run, f"select {CELLS} from detections") as answer:
        count = write_csv(
            answer.columns, answer.tuples(), asked, QueryOutputOptions(formulas=formulas)
        )

    flat = list(csv.DictReader(io.StringIO(exported.getvalue().decode(), newline="")))
    found = list(csv.DictReader(io.StringIO(asked.getvalue().decode(), newline="")))
    assert count == len(found) == 3
    assert found == [
        {name: row[name] for name in found[0]} for row in flat if row["kind"] == "detection"
    ]
    assert [float(row["score"]) for row in found] == [0.875, 0.25, 1.0]
    assert orjson.loads(found[0]["outline"]) == [[1.0, 2.0], [30.5, 2.0], [30.5, 40.0]]
    assert (found[1]["label"] == HOSTILE) is formulas
    assert (found[2]["left"], found[2]["unit"]) == ("", "")


async def test_a_shape_that_nobody_can_guess_is_mapped_by_hand(run):
    change(
        run,
        'UPDATE predictions SET prediction = \'{"r": [{"b": [1, 2, 3, 4], "c": "fox"}]}\''
        " WHERE position = 1",
    )
    wanted = 'select key, label, "right", unit from detections'

    assert ask(run, wanted) == []
    mapped = "boxes=r[].b label=r[].c format=xywh unit=pixels"
    assert ask(run, wanted, map=mapped) == [("001.jpg", "fox", 4.0, "pixels")]
    with pytest.raises(ConfigError, match="`map` has no name bxes"):
        query(run, wanted, map="bxes=r[].b")


# Questions ----------------------------------------------------------------------------------------


async def test_parameters_take_the_places_of_marks_and_names(run):
    assert ask(run, "select key from detections where score > ?", [0.9]) == [("001.jpg",)]
    named = {"state": "failed", "least": 2}
    found = ask(run, "select key from items where state = :state and attempts >= :least", named)
    assert found == [("006.jpg",)]
    injected = ["x' or 1 = 1; drop table main.items; --"]
    assert ask(run, "select key from items where key = ?", injected) == []


PARAMETERS = {
    "too few": [],
    "too many": [1, 2],
    "too big a number": [2**70],
    "no value": [object()],
    "no sequence": 3,
}


@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)
async def test_parameters_that_cannot_be_asked_with_are_told(run, parameters):
    with pytest.raises(ConfigError):
        query(run, "select ?", parameters)


async def test_bytes_that_are_no_utf8_are_asked_for_as_keys_spell_them(run):
    for sql, parameters in [("select ?", ["\udcff"]), ("select '\udcff'", [])]:
        with query(run, sql, parameters) as answer:
            assert [tuple(row.values()) for row in answer] == [(r"\xff",)]


async def test_rows_are_dicts_and_no_column_hides_another(run):
    with query(run, "select key, code as key, 1 as key_2, key from items limit 1") as answer:
        assert answer.columns == ("key", "key_2", "key_2_2", "key_3")
        assert list(answer) == [{"key": "001.jpg", "key_2": None, "key_2_2": 1, "key_3": "001.jpg"}]


async def test_values_are_what_sqlite_has(run):
    sql = "select 9223372036854775807, x'00ff', 1e400, -1e400, 1e400 - 1e400, null, '', 0.1"

    assert ask(run, sql) == [
        (2**63 - 1, b"\0\xff", float("inf"), float("-inf"), None, None, "", 0.1)
    ]


NO_QUESTIONS = {
    "": "The query is empty",
    " -- a comment": "The query is empty",
    "selec": 'near "selec": syntax error',
    "select '\0'": "null character",
    "select * from itms": "no such table: itms. Did you mean items",
    "select * from main.detection": "Did you mean detections.*There are items, attempts",
    "select labl from detections": "no such column: labl. Did you mean label",
    "select d.scor from detections as d": "no such column: d.scor. Did you mean score",
    "select xyzzy from items": "no such column: xyzzy. There are items: position, key, state",
    "select zeroblob(600000000)": "too big",
    "select found_detections('{', '')": "a prediction cannot be read",
}


@pytest.mark.parametrize(("sql", "words"), NO_QUESTIONS.items(), ids=map(repr, NO_QUESTIONS))
async def test_what_is_no_question_is_told_with_what_would_be_one(run, sql, words):
    with pytest.raises(ConfigError, match=words) as refused:
        ask(run, sql)
    assert ".." not in str(refused.value)


async def test_a_mistake_that_shows_while_rows_are_read_is_told_as_well(run):
    numbers = "select 1 as n union all select 2 union all select ?"
    with query(run, f"select abs(n) from ({numbers})", [-(2**63)]) as answer:
        rows = answer.tuples()
        assert next(rows) == (1,)
        with pytest.raises(ConfigError, match="integer overflow"):
            next(rows)


def test_where_there_is_no_run_it_is_told(tmp_path):
    with pytest.raises(StoreError, match="holds no run"):
        query(tmp_path / "nowhere", "select 1")


async def test_a_damaged_run_is_no_fault_of_the_question(run):
    data = bytearray((run / DATABASE_NAME).read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    (run / DATABASE_NAME).write_bytes(data)

    with pytest.raises(RunCorrupt, match="damaged"):
        ask(run, "select * from items")


# Nothing but reading ------------------------------------------------------------------------------

WRITING = [
    "insert into main.items (key, files, params) values ('z', '[]', '{}')",
    "insert into items values (1)",
    "replace into main.run values (1)",
    "update main.items set key = 'x'",
    "delete from main.items",
    "delete from main.items returning key",
    "with x as (select 1) delete from main.items",
    "explain delete from main.items",
    "drop table main.items",
    "drop view items",
    "alter table main.items add column x",
    "create table t (x)",
    "create temp table t (x)",
    "create temp view v as select 1",
    "create temp trigger t after insert on main.items begin select 1; end",
    "create virtual table temp.v using fts5 (x)",
    "create index main.i on items (key)",
    "pragma user_version = 9",
    "pragma query_only = 0",
    "pragma writable_schema = 1",
    "pragma journal_mode = delete",
    "pragma wal_checkpoint(truncate)",
    "select * from pragma_wal_checkpoint",
    "attach '{}' as evil",
    "attach ':memory:' as evil",
    "detach main",
    "vacuum",
    "vacuum into '{}'",
    "select load_extension('{}')",
    "select writefile('{}', 'x')",
    "select readfile('/etc/passwd')",
    "select edit('x')",
    "select fts3_tokenizer('simple', x'00')",
    "analyze",
    "reindex",
    "begin immediate",
    "commit",
    "rollback",
    "savepoint s",
    "select 1; select 2",
    "select 1; drop table main.items",
]


@pytest.mark.parametrize("sql", WRITING)
async def test_a_question_cannot_write_anything_anywhere(run, tmp_path, sql):
    before, target = (run / DATABASE_NAME).read_bytes(), tmp_path / "evil"

    with pytest.raises(ConfigError):
        ask(run, sql.format(target))

    assert (run / DATABASE_NAME).read_bytes() == before
    log = run / f"{DATABASE_NAME}-wal"
    assert not log.exists() or log.stat().st_size == 0
    assert not target.exists()
    assert ask(run, "select count(*) from main.items") == [(9,)]


@pytest.mark.parametrize("sql", ["delete from main.items", "vacuum", "pragma user_version = 1"])
async def test_what_is_refused_is_refused_with_the_reason(run, sql):
    with pytest.raises(ConfigError, match=r"a query only reads \(one select\), and only this run"):
        ask(run, sql)


# While it lasts -----------------------------------------------------------------------------------

FOREVER = "with recursive n(i) as (select 1 union all select i + 1 from n) "
RUNAWAYS = {
    "of SQLite's own": "select count(*) from n",
    "over what is found": "select count(*) from n, detections",
    "in a function of ours": "select count(found_detections(i || '', 'application/json')) from n",
    "that never stops answering": "select i from n",
}


def exhaust_until_alarm(rows, seconds):
    signal.setitimer(signal.ITIMER_REAL, seconds)
    deque(rows, maxlen=0)


@pytest.mark.parametrize("sql", RUNAWAYS.values(), ids=RUNAWAYS)
async def test_a_signal_ends_whatever_is_being_computed(run, sql):
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for attempt in range(1, 11):  # wherever it strikes
            with query(run, f"{FOREVER} select 0 union all select 0 union all {sql}") as answer:
                rows = answer.tuples()
                assert next(rows) == (0,)  # the sqlite3 module is a row ahead
                with pytest.raises(KeyboardInterrupt):
                    exhaust_until_alarm(rows, 0.003 * attempt)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert ask(run, "select count(*) from items") == [(9,)]


@pytest.mark.slow
async def test_memory_does_not_know_how_many_rows_there_are(run):
    def peak(count):
        sql = f"{FOREVER} select printf('%0900d', i) as text from n limit ?"
        tracemalloc.start()
        with query(run, sql, [count]) as answer:
            assert sum(1 for _ in answer) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1)
    assert peak(50_000) < peak(500) + 200_000


async def test_a_run_can_be_asked_while_it_is_being_written(run):
    async with SqliteStore.open(run) as store:
        with query(run, "select key, state from items order by position") as answer:
            rows = answer.tuples()
            assert next(rows) == ("001.jpg", "succeeded")
            assert all(await store.commit_records([reply(9), reply(8, 2)]))
            assert [state for _, state in rows][-2:] == ["pending", "pending"]
        assert ask(run, "select count(*) from items where state = 'pending'") == [(0,)]


# Runs of older versions ---------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
async def test_a_run_of_an_older_version_is_asked_the_same(run, version):
    now = list_views(run)
    become(run, version)
    before = (run / DATABASE_NAME).read_bytes()

    assert list_views(run) == now
    assert [len(ask(run, f"select * from {view}")) for view in now] == [
        *(9, 8, 5),
        4 if version >= INPUTS_MIN_VERSION else 0,  # what nobody wrote down
        *(3, 2, 9, 1, 1),
    ]
    assert (run / DATABASE_NAME).read_bytes() == before


# What comes from outside --------------------------------------------------------------------------


async def test_hostile_text_comes_out_as_it_went_in(tmp_path):
    keys = [HOSTILE, "x" * 1_000_000, "\u202e\u2066\x9b31m", "'; drop table items; --", "אבג/é"]
    long = "y" * 1_000_000
    async with SqliteStore.create(tmp_path / "run", INFO) as store:
        await store.add([item(key, path="/data/x", **{f"p{key[:9]}": key[:99]}) for key in keys])
        objects = [{"name": name, "confidence": 0.5, "box": [1, 2, 3, 4]} for name in (long, "\0")]
        await store.commit_records([reply(1, prediction=objects), failed(2, message=long)])

    assert ask(tmp_path / "run", "select key from items") == [(key,) for key in keys]
    assert ask(tmp_path / "run", "select label from detections") == [(long,), ("\\x00",)]
    assert ask(tmp_path / "run", "select message from failures") == [(long,)]
    (params,) = ask(tmp_path / "run", "select params from items limit 1")[0]
    assert orjson.loads(params) == {f"p{HOSTILE[:9]}": HOSTILE}


async def test_text_that_another_program_broke_can_be_read(run):
    change(run, "UPDATE items SET path = CAST(x'61ff' AS TEXT) WHERE position = 1")

    assert ask(run, "select path from items where position = 1") == [("a\\xff",)]
