"""What a notebook shows of a run: a small table, escaped, without secrets; and its one line."""

from html.parser import HTMLParser
from pathlib import Path

import anyio
import pytest

import batchinfer as bi
from batchinfer.domain import Mode, RunInfo
from batchinfer.store.database import DATABASE_NAME
from batchinfer.store.sqlite import SqliteStore
from support.records import failed, page, reply

SECTION = {"endpoint": "https://user:swordfish@example.org/run/birds", "token": "swordfish"}


def make(run: Path, records, config) -> bi.Run:
    async def make_run() -> None:
        async with SqliteStore.create(
            run, RunInfo("abc", 1_700_000_000.0, Mode.SYNC, config, ("/data",))
        ) as store:
            await store.add(page(4))
            await store.commit_records(records)

    anyio.run(make_run)
    return bi.Run(run)


class _Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag in {"th", "td"}:
            self.cells.append("")

    def handle_data(self, data):
        self.cells[-1] += data


def table(run: bi.Run) -> dict[str, str]:
    parser = _Cells()
    parser.feed(run._repr_html_())
    assert parser.tags == {"table", "tr", "th", "td"}
    return dict(zip(parser.cells[::2], parser.cells[1::2], strict=True))


def test_the_table_has_counts_service_and_failures_by_code(tmp_path: Path):
    records = [reply(1), failed(2, code="model_error"), failed(3, code="timeout")]
    shown = table(make(tmp_path / "run", records, {"service": SECTION}))

    assert shown["run"] == str(tmp_path / "run")
    assert shown["service"] == "example.org birds (sync mode)"
    assert shown["done"] == "3 of 4 found so far"
    assert [shown[name] for name in ("succeeded", "failed", "pending")] == ["1", "2", "1"]
    assert (shown["failed: model_error"], shown["failed: timeout"]) == ("1", "1")


def test_it_has_no_secret(tmp_path: Path):
    run = make(tmp_path / "run", [reply(1)], {"service": SECTION, "params": {"key": "swordfish"}})

    assert "swordfish" not in run._repr_html_() + repr(run)


@pytest.mark.parametrize("endpoint", ["https://a@b@c/x", "nonsense", "https://[", 5, None])
def test_an_address_that_cannot_be_shown_is_left_out(tmp_path: Path, endpoint):
    shown = table(make(tmp_path / "run", [], {"service": {"endpoint": endpoint}}))

    assert "@" not in shown["service"]


def test_what_comes_from_outside_is_escaped(tmp_path: Path):
    name = "<script>alert(1)</script>\x1b[2J&"
    run = make(tmp_path / name.replace("/", "_"), [failed(1, code="<b>\x1b</b>")], {})

    assert "<script" not in run._repr_html_()
    assert "\x1b" not in run._repr_html_() + repr(run)
    assert table(run)["failed: <b>\\x1b</b>"] == "1"


def test_many_codes_are_added_up(tmp_path: Path):
    async def make_run() -> None:
        async with SqliteStore.create(
            tmp_path / "run", RunInfo("abc", 1.0, Mode.ASYNC, {}, ("/data",))
        ) as store:
            await store.add(page(20))
            await store.commit_records([failed(at, code=f"code_{at}") for at in range(1, 21)])

    anyio.run(make_run)
    shown = table(bi.Run(tmp_path / "run"))

    assert len([name for name in shown if name.startswith("failed: ")]) == 11
    assert shown["failed: other codes"] == "10"
    assert shown["service"] == "async mode"


def test_a_run_that_is_gone_is_shown_as_that(tmp_path: Path):
    run = make(tmp_path / "run", [], {})
    for file in (tmp_path / "run").glob(f"{DATABASE_NAME}*"):
        file.unlink()

    assert "holds no run" in table(run)["error"]
    assert "holds no run" in repr(run)


def test_the_one_line_says_how_it_stands(tmp_path: Path):
    run = make(tmp_path / "run", [reply(1), failed(2)], {})

    assert repr(run) == (
        f"<Run {str(tmp_path / 'run')!r}: 2 of 4 found so far done, 1 failed, sync mode>"
    )
