"""`docs/reference/run-format.md` says what is: its tables are the schema's, its examples run."""

import re
import sqlite3

import pytest

from batchinfer.domain import State
from batchinfer.store.database import DATABASE_NAME
from batchinfer.store.migrations import APPLICATION_ID, FORMAT_VERSION
from batchinfer.store.sqlite import SqliteStore
from support.paths import ROOT
from support.records import INFO, failed, item, reply, submitted

pytestmark = pytest.mark.event_loops("asyncio", "trio")

PAGE = (ROOT / "docs" / "reference" / "run-format.md").read_text(encoding="utf-8")
AT = 1795419330.25


@pytest.fixture
async def db(tmp_path):
    async with SqliteStore.create(tmp_path / "run", INFO) as store:
        await store.add([item(f"cats/{number}.jpg") for number in range(1, 7)])
        cat, dog = {"name": "cat", "score": 0.9}, {"name": "dog", "score": 0.4}
        png = {"prediction": None, "data": b"png", "media_type": "image/png"}
        await store.commit_records(
            [
                reply(1, at=AT, prediction=[cat, dog]),
                reply(2, at=AT, prediction=[{"name": "cat", "score": float("nan")}]),
                reply(3, at=AT, seconds=2.0, **png),
                failed(4, at=AT, seconds=7.5, log="ValueError: no cat in sight"),
                submitted(5),
            ]
        )
    connection = sqlite3.connect(tmp_path / "run" / DATABASE_NAME)
    yield connection
    connection.close()


def sections():
    for title, text in re.findall(r"^### `(\w+)`\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL):
        cells = re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE)[1:]
        yield title, [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


SECTIONS = dict(sections())
EXAMPLES = re.findall(r'(?m)^\$ sqlite3 run\.db "(SELECT .*)"\n((?:(?!```|\$).*\n)*)', PAGE)


async def test_every_table_and_view_is_described(db):
    known = db.execute(
        "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite%'"
    )
    assert {name for (name,) in known} == set(SECTIONS)


@pytest.mark.parametrize("name", SECTIONS)
async def test_every_column_is_described_in_order(db, name):
    columns = [column[0] for column in db.execute(f"SELECT * FROM {name}").description]
    assert sorted(SECTIONS[name]) == sorted(columns)


@pytest.mark.parametrize(("question", "answer"), EXAMPLES)
@pytest.mark.skipif(sqlite3.sqlite_version_info < (3, 38), reason="the examples use ->>")
async def test_every_example_runs(db, question, answer):
    assert not re.search(r"\$[\w\[({]|`", question), "the shell would read that"
    rows = db.execute(question).fetchall()
    assert "".join("|".join(map(str, row)) + "\n" for row in rows) == answer


def test_the_page_names_the_states_and_versions():
    assert len(EXAMPLES) == 7
    states = PAGE.partition("## States")[2].partition("##")[0]
    assert re.findall(r"(?m)^\| `(\w+)` \|", states) == [*map(str, State)]
    assert f"`PRAGMA application_id` is {APPLICATION_ID}" in PAGE
    assert f"now {FORMAT_VERSION}." in PAGE
