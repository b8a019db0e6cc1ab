"""`batchinfer query`, asked of real runs by real processes: on a terminal, into files and pipes."""

import csv
import fcntl
import gzip
import hashlib
import io
import json
import os
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import anyio
import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from batchinfer.store.run_reader import RunReader
from batchinfer.store.sqlite import SqliteStore
from support.cli import batchinfer, command, config, images, start, until
from support.records import INFO, failed, item, page, reply, submitted

COUNT = 12
HOSTILE = '=1+1"\x1b]0;gone\x07\x9b31m\u202egpj.\r\n\x85\u2028猫'
FOREVER = "with recursive n(i) as (select 1 union all select i + 1 from n) "
STEP = 0.01
"""Seconds between two looks at what another process does."""
PATIENCE = 60.0


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True, containers=4)) as started:
        yield started


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return images(tmp_path_factory.mktemp("photos"), COUNT)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A small run in which everything comes from outside."""
    run = tmp_path_factory.mktemp("query") / "run"
    box = {"x1": 1, "y1": 2, "x2": 3, "y2": 4}
    objects = [{"name": "cat", "confidence": 0.875, "box": box}, {"name": HOSTILE, "box": box}]

    async def made() -> None:
        async with SqliteStore.create(run, INFO) as store:
            await store.add([item(HOSTILE, path="/data/x", conf=0.5), *page(2), item("x" * 10**6)])
            await store.commit_records(
                [
                    reply(1, prediction=objects),
                    failed(2, message=HOSTILE, log=HOSTILE),
                    submitted(3),
                    failed(4, message="m" * 10**6),
                ]
            )

    anyio.run(made)
    return run


def ask(run: Path, *args: object, **options: object) -> str:
    return batchinfer("query", run, *args, **options).stdout


def refused(run: Path, *args: object) -> str:
    said = batchinfer("query", run, *args, code=2).stderr
    assert "Traceback" not in said
    return said


def on_a_terminal(run: Path, *args: object, columns: int = 80) -> str:
    """What a person sees whose terminal is so wide."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    with subprocess.Popen(
        command("query", run, *args), stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # the last of theirs is closed
                break
            if not part:
                break
            seen += part
    os.close(ours)
    assert process.returncode == 0, seen
    return seen.decode().replace("\r\n", "\n")


def eventually(holds, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(STEP)


# What there is to ask for -------------------------------------------------------------------------


def test_without_a_question_it_lists_the_views(run):
    listed = ask(run)

    assert [line.split()[0] for line in listed.splitlines() if line[0] != " "] == [
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
    assert "inputs       position, key, number, param, size, sha256\n" in listed
    assert max(map(len, on_a_terminal(run, columns=60).splitlines())) < 60


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_the_sha256_of_every_file_is_on_record_after_a_real_run(mode, service, photos, tmp_path):
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", service, f'mode = "{mode}"')
    batchinfer("run", photos, "-c", toml, "-o", run, "-q")
    files = {path.relative_to(photos).as_posix(): path.read_bytes() for path in photos.rglob("*.*")}
    known = {key: hashlib.sha256(data).hexdigest() for key, data in files.items()}

    sent = json.loads(ask(run, "select * from inputs", "--format", "json"))
    assert len(known) == len(sent) == COUNT
    assert {row["key"]: row["sha256"] for row in sent} == known
    assert {row["key"]: row["size"] for row in sent} == {key: len(files[key]) for key in known}
    assert {(row["number"], row["param"]) for row in sent} == {(1, "files")}
    with RunReader(run) as reader:
        assert {
            each.result.key: each.sha256["files"] for each in reader.iter_result_details()
        } == known
    # And it is what arrived: the model says the same.
    arrived = "select key, json_extract(prediction, '$.sha256') as sha256 from predictions"
    assert {row["key"]: row["sha256"] for row in bi.query(run, arrived)} == known
    key = sent[0]["key"]
    shown = batchinfer("show", run, key).stdout
    assert f'input "files": {len(files[key])} bytes, sha256 {known[key]}\n' in shown


def test_a_shape_that_nobody_can_guess_is_mapped(photos, tmp_path):
    (tmp_path / "fox.py").write_text(
        "def predict(files):\n    return {'r': [{'b': [1, 2, 3, 4], 'c': 'fox'}]}\n"
    )
    with start_service(
        LocalServiceOptions(model="fox:predict", threads=True), cwd=tmp_path
    ) as service:
        toml = config(tmp_path / "c.toml", service, 'mode = "sync"')
        batchinfer("run", photos, "-c", toml, "-o", tmp_path / "run", "-q", "--limit", 1)

    sql = 'select label, "right" from detections'
    assert ask(tmp_path / "run", sql) == "label,right\n"
    mapped = ask(tmp_path / "run", sql, "--map", "boxes=r[].b label=r[].c", "--map", "format=xywh")
    assert mapped == "label,right\nfox,4.0\n"


# Ways to be answered ------------------------------------------------------------------------------


def test_csv_is_what_a_pipe_gets_and_formulas_are_made_harmless(run):
    sql = "select key, code, attempts, message from items where position < 3"

    first, second = csv.DictReader(io.StringIO(ask(run, sql), newline=""))
    assert first == {"key": "'" + as_text(HOSTILE), "code": "", "attempts": "1", "message": ""}
    assert second["message"] == "'" + as_text(HOSTILE)
    left = batchinfer("query", run, sql, "--formulas").stdout
    assert next(csv.DictReader(io.StringIO(left, newline="")))["key"] == as_text(HOSTILE)
    values = "select -1e999 as low, -5 as n, '-5' as t, x'3d31' as b, 9007199254740993 as big"
    assert ask(run, values) == "low,n,t,b,big\n'-Infinity,-5,-5,x'3d31',9007199254740993\n"


def as_text(text: str) -> str:
    """As `subprocess` hands it on, which reads all line ends alike."""
    return text.replace("\r\n", "\n")


def test_json_is_exact(run):
    sql = "select key, 9007199254740993 as n, x'00ff' as b, -1e999 as low, null as none from items"

    rows = json.loads(ask(run, sql, "--format", "json"))
    assert rows[0] == {
        "key": HOSTILE,
        "n": 9007199254740993,
        "b": "x'00ff'",
        "low": "-Infinity",
        "none": None,
    }
    lines = ask(run, sql, "--format", "jsonl").split("\n")
    assert [json.loads(line) for line in lines[:-1]] == rows
    assert lines[-1] == ""
    assert len(rows[3]["key"]) == 10**6
    assert json.loads(ask(run, "select 1 where 0", "--format", "json")) == []
    assert ask(run, "select 1 where 0", "--format", "jsonl") == ""


def test_a_table_is_what_a_person_sees(run):
    sql = "select label, count(*) as found, max(score) from detections where label = 'cat'"

    assert on_a_terminal(run, sql) == (
        "label  found  max(score)\n─────  ─────  ──────────\ncat    1      0.875\n"
    )
    assert ask(run, sql, "--format", "table") == on_a_terminal(run, sql)
    assert on_a_terminal(run, sql, "--format", "csv").splitlines()[1] == "cat,1,0.875"


EVERYTHING = [
    "items",
    "attempts",
    "predictions",
    "detections",
    "results",
    "failures",
    "main.items",
    "run",
]


@pytest.mark.parametrize("view", EVERYTHING)
@pytest.mark.parametrize("columns", [40, 100])
def test_nothing_in_a_table_acts_on_a_terminal_or_is_wider_than_it(run, view, columns):
    seen = on_a_terminal(run, f"select * from {view}", columns=columns)

    assert set(seen) - {"\n"} == {sign for sign in seen if sign.isprintable()}
    assert max(map(len, seen.splitlines())) <= columns
    assert len(seen.splitlines()) == len(list(bi.query(run, f"select * from {view}"))) + 2


def test_a_column_may_have_a_hostile_name(run):
    name = '"\x1b[31m\u202ex\n"'

    assert on_a_terminal(run, f"select 1 as {name}").splitlines()[0] == r"\x1b[31m\u202ex\n"
    said = refused(run, f"select {name} from itms")
    assert "\x1b" not in said
    assert "no such table: itms. Did you mean items or inputs?" in said


def test_wide_and_narrow_signs_keep_the_columns_in_line(run):
    sql = "select column1, column2 from (values ('猫猫', 1), ('e\u0301', 2), ('cat', 3))"

    assert ask(run, sql, "--format", "table").splitlines()[2:] == [
        "猫猫     1",
        "e\u0301        2",
        "cat      3",
    ]
    narrow = on_a_terminal(run, "select '" + "猫" * 30 + "' as cats, 1 as n", columns=40)
    assert narrow.splitlines()[2] == "猫" * 18 + "…  1"


def test_a_long_table_has_room_for_the_numbers_to_come(run):
    found = ask(run, f"{FOREVER} select i from n limit 1000", "--format", "table").splitlines()

    assert found[2] == "1"
    assert found[-1] == "1000"


ENDINGS = {
    "a.csv": "key,n\n001.jpg,1\n",
    "a.json": '[\n{"key":"001.jpg","n":1}\n]\n',
    "a.jsonl": '{"key":"001.jpg","n":1}\n',
    "a.NDJSON": '{"key":"001.jpg","n":1}\n',
    "a.txt": "key      n\n───────  ─\n001.jpg  1\n",
    "a": "key,n\n001.jpg,1\n",
}


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("name", ENDINGS)
def test_a_file_is_written_as_its_name_says(run, tmp_path, name, packed):
    target = tmp_path / f"{name}{packed}"

    said = batchinfer(
        "query", run, "select key, attempts n from items limit 1 offset 1", "-o", target
    )
    assert said.stdout == ""
    assert said.stderr == f"1 row written to {target}\n"
    data = gzip.decompress(target.read_bytes()) if packed else target.read_bytes()
    assert data.decode().replace("\r\n", "\n") == ENDINGS[name]
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_a_name_that_promises_another_format_is_refused(run, tmp_path):
    said = refused(run, "select 1", "-o", tmp_path / "a.parquet")

    assert "a.parquet: no format of a query goes by this extension" in said
    assert not (tmp_path / "a.parquet").exists()
    ask(run, "select 1", "-o", tmp_path / "a.data", "--format", "csv")
    assert (tmp_path / "a.data").read_bytes() == b"1\r\n1\r\n"


def test_a_question_that_fails_leaves_what_was_there(run, tmp_path):
    target = tmp_path / "a.csv"
    target.write_text("before")
    late = (
        "select 1 union all select 2 union all select 3 union all select abs(-9223372036854775808)"
    )

    assert "integer overflow" in refused(run, late, "-o", target)
    assert "does not exist: create it first" in refused(
        run, "select 1", "-o", tmp_path / "no" / "a.csv"
    )
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


# What it refuses ----------------------------------------------------------------------------------

WRITING = {
    "delete from main.items": "only reads",
    "insert into main.items (key, files, params) values ('z', '[]', '{}')": "only reads",
    "pragma user_version = 9": "only reads",
    "create temp table t (x)": "only reads",
    "vacuum into 'evil'": "only reads",
    "attach 'evil' as e": "only reads",
    "select load_extension('evil')": "only reads",
    "select writefile('evil', 'x')": "no such function: writefile",
    "select 1; delete from main.items": "one statement at a time",
    "": "The query is empty",
}


@pytest.mark.parametrize(("sql", "words"), WRITING.items(), ids=map(repr, WRITING))
def test_whatever_is_no_reading_is_refused_with_words(run, tmp_path, sql, words):
    before = (run / "run.db").read_bytes()

    said = batchinfer("query", run, sql, code=2, cwd=tmp_path).stderr

    assert said.startswith("error: ")
    assert words in said
    assert list(tmp_path.iterdir()) == []
    assert (run / "run.db").read_bytes() == before


def test_bytes_that_are_no_text_are_asked_for_as_keys_spell_them(run):
    done = subprocess.run(
        [*command("query", run), b"select '\xff' as key"], capture_output=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, b"key\r\n\\xff\r\n")


def test_where_there_is_no_run_it_is_told(tmp_path):
    assert "holds no run" in batchinfer("query", tmp_path, "select 1", code=3).stderr
    assert "holds no run" in batchinfer("query", tmp_path, code=3).stderr


# While it lasts -----------------------------------------------------------------------------------

LONG = "select hex(zeroblob(9000)) as x"
RUNAWAYS = {
    "computing": f"{FOREVER} {LONG} union all {LONG} union all {LONG} union all"
    " select count(*) from n",
    "finding things": f"{FOREVER} {LONG} union all {LONG} union all {LONG} union all"
    " select count(found_classes(i || '', 'application/json')) from n",
    "writing": f"{FOREVER} select hex(zeroblob(9000 + 0 * i)) as x from n",
}


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("sql", RUNAWAYS.values(), ids=RUNAWAYS)
def test_a_signal_ends_a_runaway(run, sql, sign):
    process = start("query", run, sql)
    assert process.stdout is not None
    assert process.stdout.readline() == "x\n"
    assert len(process.stdout.readline()) == 18_001  # from here on it runs away

    process.send_signal(sign)
    _, said = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert said.strip() == ""


def test_a_signal_leaves_no_half_file(run, tmp_path):
    target = tmp_path / "a.csv"
    target.write_text("before")
    process = start("query", run, RUNAWAYS["writing"], "-o", target)
    eventually(
        lambda: any(path.stat().st_size > 100_000 for path in tmp_path.glob(".*.part")), process
    )

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize("format", ["table", "csv", "json", "jsonl"])
def test_a_reader_that_leaves_early_is_no_failure(run, format):
    process = start("query", run, f"{FOREVER} select i from n", "--format", format)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()

    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("format", ["table", "csv", "json", "jsonl"])
def test_many_rows_are_written_in_flat_memory(run, tmp_path, format):
    def peak(count: int) -> int:
        sql = f"{FOREVER} select i, printf('%0990d', i) as text from n limit {count}"
        process = subprocess.Popen(
            command("query", run, sql, "--format", format, "-o", tmp_path / "out")
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return used.ru_maxrss

    few = peak(10)
    assert peak(100_000) < 1.5 * few  # some 35 MB; the rows are 100 MB
    assert (tmp_path / "out").read_bytes().count(b"\n") >= 100_000


def test_it_works_while_the_run_is_going_on(tmp_path):
    photos, run = images(tmp_path / "photos", 300), tmp_path / "run"
    with start_service(LocalServiceOptions(threads=True, containers=2, latency=0.02)) as service:
        toml = config(tmp_path / "c.toml", service, 'mode = "sync"\nconcurrency = 2')
        process = start("run", photos, "-c", toml, "-o", run, "-q")
        until(run, lambda counts: counts.succeeded >= 5, process)
        process.send_signal(signal.SIGSTOP)  # in the middle of whatever it does
        assert process.poll() is None
        found = json.loads(ask(run, "select state, path from items", "--format", "json"))
        states = [row["state"] for row in found]
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=300)

    assert process.returncode == 0
    assert states.count("succeeded") >= 5
    assert "pending" in states
    assert ask(run, "select count(*) from inputs join predictions using (position)").split() == [
        "count(*)",
        "300",
    ]
