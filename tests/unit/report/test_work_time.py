"""How long a run took is how long was worked; and of a prediction, what was waiting."""

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.report.aggregates import MAX_WORK_GAP_SECONDS, WorkTime
from batchinfer.store.run_reader import RunReader
from batchinfer.store.sqlite import SqliteStore
from support.records import reply
from support.report_runs import INFO, T0, item, made, report

NIGHT = 14 * 3600.0


def test_sessions_count_and_the_hours_between_do_not():
    work = WorkTime([(100.0, 160.0), (100.0 + NIGHT, 130.0 + NIGHT)])
    work.add_attempt(110.0, NIGHT)  # in the bucket over night: nobody was at work
    assert work.seconds == 90
    assert work.is_exact


def test_sessions_that_overlap_count_once():
    assert WorkTime([(0, 100), (50, 120), (200, 210)]).seconds == 130


@pytest.mark.parametrize(
    ("pause", "seconds"),
    [(MAX_WORK_GAP_SECONDS, 20 + MAX_WORK_GAP_SECONDS), (MAX_WORK_GAP_SECONDS + 1, 20)],
)
def test_without_sessions_attempts_say_it_with_short_pauses(pause, seconds):
    work = WorkTime(())
    work.add_attempt(1010.0 + pause, 10.0)
    work.add_attempt(1000.0, 10.0)
    assert work.seconds == pytest.approx(seconds)
    assert not work.is_exact


def test_of_a_run_that_an_older_version_began_both_count():
    work = WorkTime([(5000.0, 5100.0)])
    work.add_attempt(1000.0, 50.0)
    work.add_attempt(5010.0, 50.0)
    assert work.seconds == 150


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 100)), max_size=50), st.randoms())
def test_the_order_of_attempts_does_not_matter(attempts, random):
    one, other = WorkTime(()), WorkTime(())
    for attempt in attempts:
        one.add_attempt(*attempt)
    random.shuffle(attempts)
    for attempt in attempts:
        other.add_attempt(*attempt)
    assert one.seconds == pytest.approx(other.seconds)


def page(folder, records):
    items = [item(f"{number}.jpg", folder / f"{number}.jpg") for number, _ in enumerate(records)]
    anyio.run(made, folder / "run", items, records)
    return report(folder / "run", folder / "r.html").path.read_text("utf-8")


def test_the_page_says_the_time_at_work_not_the_night(tmp_path):
    records = [reply(1, at=T0, seconds=30), reply(2, at=T0 + NIGHT, seconds=30)]
    text = page(tmp_path, records)
    assert "1m 00s, 2 attempts (pauses over 10m 00s left out)" in text
    assert "14h 00m from beginning to end, idle hours included" in text
    assert "<b>2.0</b> <span>predictions per minute</span>" in text


def test_the_page_says_waiting_and_model_apart_or_that_nobody_tells(tmp_path):
    (tmp_path / "told").mkdir()
    told = page(
        tmp_path / "told",
        [reply(1, at=T0, seconds=5, server_seconds=0.5), reply(2, at=T0, seconds=5)],
    )
    assert "<b>500 ms</b> <span>in the model, half within</span>" in told
    assert "It tells of 1 of 2." in told
    untold = page(tmp_path, [reply(1, at=T0, seconds=5)])
    assert "in the model" not in untold.partition("<script")[0]
    assert "how much was waiting, the service does not tell" in untold


def test_every_moment_on_the_page_names_its_zone(tmp_path, monkeypatch):
    import re  # noqa: PLC0415
    import time  # noqa: PLC0415

    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        text = page(tmp_path, [reply(1, at=T0, seconds=5), reply(2, at=T0 + 60, seconds=5)])
    finally:
        monkeypatch.undo()
        time.tzset()
    body = text.partition("<body>")[2].partition('<script type="application/json"')[0]
    moments = re.findall(r"\d\d:\d\d:\d\d[^<,]{0,5}", body)
    assert moments
    assert [moment for moment in moments if not re.search(r" CES?T", moment)] == []


def test_each_process_that_sends_is_a_session_until_its_last_commit(tmp_path):
    async def twice():
        async with SqliteStore.create(tmp_path / "run", INFO) as store:
            await store.add([item("1.jpg", "1.jpg"), item("2.jpg", "2.jpg")])
            await store.start_session({})
            await store.commit_records([reply(1, at=T0)])
        async with SqliteStore.open(tmp_path / "run") as store:
            await store.start_session({})

    anyio.run(twice)
    with RunReader(tmp_path / "run") as reader:
        first, second = reader.read_sessions()
    assert first.started_at < first.active_until <= second.started_at <= second.active_until
