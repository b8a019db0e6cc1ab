"""The contract of `ports.Store`: one suite, run on every implementation."""

import math
import os
from dataclasses import replace

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.api.sql_query import query
from batchinfer.domain import Counts, InputFile, Item, OpenItem, Reply, SentFile, State
from batchinfer.errors import SourceError
from batchinfer.ports import SubmittedObject
from batchinfer.store.run_reader import RunReader, WaitSummary
from batchinfer.store.sqlite import SqliteStore
from batchinfer.testing import MemoryStore
from support.records import INFO, failed, failure, item, page, reply, submitted

pytestmark = pytest.mark.event_loops("asyncio", "trio")

PENDING, SUBMITTED, SUCCEEDED, FAILED = State
FOREVER = math.inf


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryStore(INFO)
    else:
        async with SqliteStore.create(tmp_path / "run", INFO) as store:
            yield store


def found(position, attempt):
    """An input object that turned up in the bucket."""
    return SubmittedObject(position, attempt, f"abc-{position}-{attempt}")


def named(record, name):
    """The record of a submission under this name."""
    outcome = replace(record.attempt.outcome, name=name)
    return replace(record, attempt=replace(record.attempt, outcome=outcome))


async def only(store, position=1):
    """The one item of the store, as its verbs show it."""
    return (await store.fetch_open([position])).get(position)


# Adding -------------------------------------------------------------------------------------------


async def test_positions_follow_input_order_from_one(store):
    added = await store.add(page(3))
    assert (added.new_count, added.changed_file_keys) == (3, ())
    await store.add([item("z"), item("a")])
    found = await store.fetch_pending(0, 10, FOREVER)
    assert [(one.position, one.key) for one in found] == [
        (1, "001.jpg"),
        (2, "002.jpg"),
        (3, "003.jpg"),
        (4, "z"),
        (5, "a"),
    ]


async def test_an_item_comes_back_as_it_was_added(store):
    given_item = Item(
        "folder/näme with 'quotes'\n.jpg",
        (
            InputFile("files", os.fsdecode(b"/data/\xff\xfe.jpg"), 0, 1_763_890_000_123_456_789),
            InputFile("mask", "/data/m.png"),
        ),
        {"text": "a\0b", "n": 2**70, "list": [1, None, {"x": True}], "f": 0.1},
    )
    await store.add([given_item])
    assert await store.fetch_pending(0, 1, 0.0) == [replace(given_item, position=1)]


async def test_an_item_may_have_no_file(store):
    await store.add([Item("a", (), {"prompt": "x"})])
    await store.add([Item("a", (), {"prompt": "y"})])
    assert await store.fetch_pending(0, 9, 0.0) == [Item("a", (), {"prompt": "y"}, position=1)]


async def test_a_known_key_is_not_added_again(store):
    await store.add(page(3))
    added = await store.add([*page(3), item("new")])
    assert (added.new_count, added.changed_file_keys) == (1, ())
    assert (await store.fetch_counts()).total == 4
    assert [one.position for one in await store.fetch_pending(3, 9, 0.0)] == [4]


async def test_positions_have_no_gaps_after_known_keys(store):
    await store.add([item("a")])
    await store.add([item("a"), item("b"), item("a"), item("c")])
    assert [one.position for one in await store.fetch_pending(0, 9, 0.0)] == [1, 2, 3]


async def test_a_key_twice_in_a_page_is_added_once(store):
    assert (await store.add([item("a", size=1), item("b"), item("a", size=2)])).new_count == 2
    first, _ = await store.fetch_pending(0, 9, 0.0)
    assert (first.key, first.files[0].size) == ("a", 2)


async def test_a_pending_item_never_tried_takes_over_what_its_source_says_now(store):
    await store.add([item("a", size=1, x=1)])
    added = await store.add([item("a", size=2, x=2)])
    assert (added.new_count, added.changed_file_keys) == (0, ())
    assert await store.fetch_pending(0, 9, 0.0) == [replace(item("a", size=2, x=2), position=1)]


BEGUN = {
    "tried": [failure(1)],
    "submitted": [submitted(1)],
    "succeeded": [reply(1)],
    "failed": [failed(1)],
}


@pytest.mark.parametrize("begun", BEGUN.values(), ids=BEGUN)
async def test_a_changed_file_of_an_item_that_was_begun_is_reported_and_not_taken_over(
    store, begun
):
    await store.add([item("a", size=1), item("b")])
    await store.commit_records(begun)
    added = await store.add([item("a", size=2), item("b"), item("a", size=2)])
    assert (added.new_count, added.changed_file_keys) == (0, ("a",))
    assert (await store.add([item("a", size=1)])).changed_file_keys == ()


async def test_an_item_that_may_be_on_its_way_is_not_renewed(store):
    await store.add([item("a", size=1, x=1), item("b", size=1, x=1)])
    added = await store.add([item("b", size=2, x=2), item("a", size=2, x=2)], {1})
    assert (added.changed_file_keys, added.changed_param_keys, added.known_positions) == (
        ("a",),
        ("a",),
        (1, 2),
    )
    first, second = await store.fetch_pending(0, 9, 0.0)
    assert (first.params, second.params) == ({"x": 1}, {"x": 2})


OTHER_PARAMS = [({"x": 1}, {"x": 1.0}), ({"x": 1}, {"x": True}), ({"x": 1}, {}), ({}, {"x": None})]


@pytest.mark.parametrize(("was", "now"), OTHER_PARAMS)
async def test_parameters_that_differ_from_what_was_sent_are_reported(store, was, now):
    await store.add([item("a", size=1, **was)])
    await store.commit_records([reply(1)])
    added = await store.add([item("a", size=1, **now)])
    assert (added.changed_file_keys, added.changed_param_keys) == ((), ("a",))


@pytest.mark.parametrize(("was", "now"), OTHER_PARAMS)
async def test_a_pending_item_takes_over_what_only_looks_alike(store, was, now):
    await store.add([item("a", size=1, **was)])
    await store.add([item("a", size=1, **now)])
    (found,) = await store.fetch_pending(0, 1, 0.0)
    assert repr(dict(found.params)) == repr(now)


async def test_the_order_of_parameters_is_no_difference(store):
    await store.add([item("a", size=1, x=1, y=float("nan"))])
    await store.commit_records([reply(1)])
    assert (await store.add([item("a", size=1, y=float("nan"), x=1)])).changed_param_keys == ()


HOUR = 3600 * 10**9
AT = 1_763_890_000 * 10**9
SHIFTS = {
    "one hour": (AT + 123, AT + 123 + HOUR, False),
    "a quarter less": (AT, AT - HOUR // 4, False),
    "an hour, and no fractions there": (AT + 123, AT + HOUR, False),
    "fourteen hours": (AT, AT + 14 * HOUR, False),
    "fifteen hours": (AT, AT + 15 * HOUR, True),
    "half a second": (AT + 1, AT + 500_000_001, True),
    "an hour and a bit": (AT + 1, AT + HOUR + 2, True),
    "an hour and a second": (AT, AT + HOUR + 10**9, True),
}


@pytest.mark.parametrize(("was", "now", "differs"), SHIFTS.values(), ids=SHIFTS)
async def test_a_clock_that_moved_by_a_time_zone_changes_no_file(store, was, now, differs):
    at = [Item("a", (InputFile("files", "/a", 1, moment),)) for moment in (was, now)]
    await store.add([at[0]])
    await store.commit_records([reply(1)])
    assert (await store.add([at[1]])).changed_file_keys == (("a",) if differs else ())
    larger = Item("a", (InputFile("files", "/a", 2, now),))
    assert (await store.add([larger])).changed_file_keys == ("a",)


@pytest.mark.parametrize("now", [item("a", size=None), item("a", size=1, x=1)])
async def test_what_is_unknown_or_no_file_is_no_changed_file(store, now):
    await store.add([item("a", size=1)])
    await store.commit_records([reply(1)])
    assert (await store.add([now])).changed_file_keys == ()


async def test_one_of_several_files_that_changed_counts(store):
    both = Item("a", (InputFile("files", "/a", 1, 1), InputFile("mask", "/m", 1, 1)))
    await store.add([both])
    await store.commit_records([reply(1)])
    now = replace(both, files=(both.files[0], InputFile("mask", "/m", 1, 2)))
    assert (await store.add([now])).changed_file_keys == ("a",)
    other = replace(both, files=(both.files[0], InputFile("mask", "/other", 1, 1)))
    assert (await store.add([other])).changed_file_keys == ("a",)


async def test_one_key_for_two_paths_is_refused_with_both_and_nothing_is_added(store):
    await store.add([item("a", path="/one/a")])
    with pytest.raises(SourceError, match=r"'a'.*/one/a and /two/a.*another key"):
        await store.add([item("b"), item("a", path="/two/a")])
    assert (await store.fetch_counts()).total == 1


async def test_one_key_for_two_paths_is_refused_within_a_page(store):
    with pytest.raises(SourceError, match=r"/one/a and /two/a"):
        await store.add([item("a", path="/one/a"), item("a", path="/two/a")])
    with pytest.raises(SourceError, match=r"no file and /data/b"):
        await store.add([Item("b"), item("b")])
    assert (await store.fetch_counts()).total == 0


@pytest.mark.parametrize("key", ["a\0b", "a\udc80"])
async def test_a_key_that_no_file_can_keep_is_refused(store, key):
    with pytest.raises(SourceError, match="another key"):
        await store.add([item("fine"), item(key, path="/data/x")])
    assert (await store.fetch_counts()).total == 0


async def test_an_empty_page_adds_nothing(store):
    assert (await store.add([])).new_count == 0


# Pending ------------------------------------------------------------------------------------------


async def test_pending_comes_in_pages_in_order(store):
    await store.add(page(5))
    first = await store.fetch_pending(0, 2, 0.0)
    second = await store.fetch_pending(first[-1].position, 2, 0.0)
    third = await store.fetch_pending(second[-1].position, 2, 0.0)
    assert [[one.position for one in part] for part in (first, second, third)] == [
        [1, 2],
        [3, 4],
        [5],
    ]
    assert list(await store.fetch_pending(5, 2, 0.0)) == []


async def test_only_pending_items_are_pending(store):
    await store.add(page(5))
    await store.commit_records([reply(1), failed(2), submitted(3), failure(4)])
    found = await store.fetch_pending(0, 9, FOREVER)
    assert [(one.position, one.attempts) for one in found] == [(4, 1), (5, 0)]


async def test_an_item_that_backs_off_is_not_pending_before_it_is_due(store):
    await store.add(page(2))
    await store.commit_records([failure(1, retry_at=200.0)])
    assert [one.position for one in await store.fetch_pending(0, 9, 199.0)] == [2]
    assert [one.position for one in await store.fetch_pending(0, 9, 200.0)] == [1, 2]


async def test_next_due_is_the_earliest_retry(store):
    await store.add(page(3))
    assert await store.fetch_next_retry_at(0.0) is None
    await store.commit_records([failure(1, retry_at=300.0), failure(2, retry_at=200.5), failure(3)])
    assert await store.fetch_next_retry_at(0.0) == 200.5
    assert await store.fetch_next_retry_at(200.5) == 300.0
    assert await store.fetch_next_retry_at(300.0) is None
    await store.commit_records([reply(2, 2), submitted(1, 2)])
    assert await store.fetch_next_retry_at(0.0) is None


# Recording ----------------------------------------------------------------------------------------


async def test_record_tells_the_state_before(store):
    await store.add(page(3))
    assert list(await store.commit_records([submitted(1), reply(2), reply(2)])) == [
        PENDING,
        PENDING,
        None,
    ]
    assert list(await store.commit_records([reply(1)])) == [SUBMITTED]
    assert list(await store.commit_records([])) == []


FINAL = {"succeeded": reply(1), "failed": failed(1)}
LATE = {
    "reply": reply(1, 2),
    "same reply": reply(1),
    "failure": failure(1, 2),
    "final failure": failed(1, 2),
    "submission": submitted(1, 2),
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
@pytest.mark.parametrize("final", FINAL.values(), ids=FINAL)
async def test_nothing_counts_after_a_final_outcome(store, final, late):
    await store.add(page(1))
    await store.commit_records([final])
    before = await store.fetch_counts()
    assert list(await store.commit_records([late])) == [None]
    assert await store.fetch_counts() == before
    assert await only(store) is None


async def test_a_failure_counts_only_if_its_attempt_is_newer_than_all_recorded(store):
    await store.add(page(1))
    await store.commit_records([failure(1, 2)])
    assert (
        list(await store.commit_records([failure(1, 1), failed(1, 1), failure(1, 2)])) == [None] * 3
    )
    assert list(await store.commit_records([failed(1, 3)])) == [PENDING]
    assert (await store.fetch_counts()).failed == 1


async def test_a_reply_to_an_older_attempt_counts_while_there_is_no_final_outcome(store):
    await store.add(page(1))
    await store.commit_records([submitted(1, 1), failure(1, 1, code="no_output"), submitted(1, 2)])
    assert list(await store.commit_records([reply(1, 1)])) == [SUBMITTED]
    assert (await store.fetch_counts()).succeeded == 1


async def test_a_reply_may_follow_the_failure_of_its_attempt_within_a_pile(store):
    await store.add(page(2))
    told = await store.commit_records([failure(1, retry_at=5.0), reply(2), reply(1), failed(1, 2)])
    assert list(told) == [PENDING, PENDING, PENDING, None]
    assert await store.fetch_counts() == Counts(succeeded=2)
    assert await store.fetch_next_retry_at(0.0) is None


async def test_a_submission_is_no_outcome(store):
    await store.add(page(1))
    await store.commit_records([submitted(1, 1, at=50.0)])
    assert await only(store) == OpenItem(1, SUBMITTED, 1, 50.0, objects={1: "abc-1-1"})
    await store.commit_records([failure(1, 1)])
    (found,) = await store.fetch_pending(0, 1, 0.0)
    assert found.attempts == 1
    assert await only(store) == OpenItem(1, PENDING, 1, 50.0, objects={1: "abc-1-1"})


async def test_a_submission_counts_only_if_pending_and_newer(store):
    await store.add(page(1))
    await store.commit_records([failure(1, 1)])
    assert list(await store.commit_records([submitted(1, 1)])) == [None]
    assert list(await store.commit_records([submitted(1, 2), submitted(1, 3)])) == [PENDING, None]
    assert (await only(store)).attempt == 2


async def test_a_pile_may_be_large(store):
    await store.add(page(999))
    assert all(await store.commit_records([reply(position) for position in range(1, 1000)]))
    assert await store.fetch_counts() == Counts(succeeded=999)


# Async mode ---------------------------------------------------------------------------------------


async def test_adopt_marks_pending_items_whose_next_attempt_is_in_the_bucket(store):
    await store.add(page(6))
    await store.commit_records([failure(2), submitted(3), reply(4), failed(5)])
    pairs = [(1, 1), (2, 2), (3, 2), (4, 2), (5, 2), (6, 2), (1, 1), (77, 1)]
    assert await store.mark_submitted([found(*pair) for pair in pairs], 500.0) == 2
    assert await store.fetch_open(range(1, 7)) == {
        1: OpenItem(1, SUBMITTED, 1, 500.0, objects={1: "abc-1-1"}),
        2: OpenItem(2, SUBMITTED, 2, 500.0, objects={2: "abc-2-2"}),
        3: OpenItem(3, SUBMITTED, 1, 100.0, objects={1: "abc-3-1"}),
        6: OpenItem(6, PENDING, 0, None),
    }


async def test_the_names_of_all_submissions_are_known_while_an_item_is_open(store):
    await store.add(page(1))
    await store.mark_submitted([SubmittedObject(1, 1, "one")], 1.0)
    await store.commit_records([failure(1, code="no_output"), named(submitted(1, 2), "two")])
    assert (await only(store)).objects == {1: "one", 2: "two"}


async def test_adopt_ends_backing_off(store):
    await store.add(page(1))
    await store.commit_records([failure(1, retry_at=900.0)])
    assert await store.mark_submitted([found(1, 1)], 1.0) == 0
    assert await store.mark_submitted([found(1, 2)], 1.0) == 1
    assert await store.fetch_next_retry_at(0.0) is None


async def test_unfinished_knows_only_what_was_asked_and_is_there(store):
    await store.add(page(3))
    await store.commit_records([reply(1)])
    assert set(await store.fetch_open([1, 2, 2, 99, -1])) == {2}
    assert await store.fetch_open([]) == {}


async def test_lowest_unfinished_is_where_an_output_may_still_turn_up(store):
    await store.add(page(4))
    assert await store.fetch_lowest_open_position() is None
    await store.commit_records([submitted(3), failure(2)])
    assert await store.fetch_lowest_open_position() == 2
    await store.commit_records([reply(2)])
    assert await store.fetch_lowest_open_position() == 3
    await store.commit_records([failed(3)])
    assert await store.fetch_lowest_open_position() is None


async def test_overdue_lists_old_submissions_oldest_first(store):
    await store.add(page(5))
    at = {1: 30.0, 2: 10.0, 3: 20.0, 4: 40.0}
    await store.commit_records([submitted(position, at=when) for position, when in at.items()])
    late = await store.fetch_overdue(40.0, 9)
    assert [(one.position, one.submitted_at) for one in late] == [(2, 10.0), (3, 20.0), (1, 30.0)]
    assert [one.position for one in await store.fetch_overdue(40.0, 2)] == [2, 3]
    await store.commit_records([failure(2), reply(3)])
    assert [one.position for one in await store.fetch_overdue(40.0, 9)] == [1]


# Putting back -------------------------------------------------------------------------------------


async def test_requeue_puts_failed_items_back_and_spares_their_attempts(store):
    await store.add(page(4))
    await store.commit_records([failure(1), failed(1, 2), reply(2), submitted(3)])
    assert await store.requeue() == 1
    (first, last) = await store.fetch_pending(0, 9, 0.0)
    assert (first.position, first.attempts, first.uncounted_attempts) == (1, 2, 2)
    assert last.position == 4
    assert (await only(store)).uncounted_attempts == 2
    assert await store.fetch_counts() == Counts(pending=2, submitted=1, succeeded=1)
    assert list(await store.commit_records([failure(1, 2), failed(1, 3)])) == [None, PENDING]
    assert await store.requeue() == 1
    assert (await store.fetch_pending(0, 1, 0.0))[0].uncounted_attempts == 3


CHOICES = {
    "all": ({}, {1, 2, 3}),
    "by code": ({"code": "timeout"}, {2, 3}),
    "by key": ({"key": "001.jpg"}, {1}),
    "by both": ({"code": "timeout", "key": "003.jpg"}, {3}),
    "by both, contradicting": ({"code": "timeout", "key": "001.jpg"}, set()),
    "by a key that did not fail": ({"key": "004.jpg"}, set()),
    "by a code nobody has": ({"code": "http_503"}, set()),
}


@pytest.mark.parametrize(("choice", "expected"), CHOICES.values(), ids=CHOICES)
async def test_requeue_chooses_by_the_code_of_the_final_failure_and_by_key(store, choice, expected):
    await store.add(page(4))
    await store.commit_records([failure(1), failed(1, 2), failed(2, code="timeout"), reply(4)])
    await store.commit_records([failed(3, code="timeout")])
    assert await store.requeue(**choice) == len(expected)
    assert {one.position for one in await store.fetch_pending(0, 9, 0.0)} == expected


async def test_requeue_takes_files_as_they_are_now(store, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12345")
    gone = item("gone", path=str(tmp_path / "gone"))
    await store.add([item("a", size=1, path=str(path)), gone])
    await store.commit_records([failed(1, code="file_changed"), failed(2, code="file_missing")])
    await store.requeue()
    seen, unseen = await store.fetch_pending(0, 9, 0.0)
    stat = path.stat()
    assert seen.files[0] == InputFile("files", str(path), 5, stat.st_mtime_ns)
    assert (unseen.files[0].size, unseen.files[0].mtime_ns) == (None, None)
    assert (await store.add([seen, gone])).changed_file_keys == ()


async def test_requeue_reaches_every_failed_item_of_a_long_run(store):
    count = 2_345
    for start in range(0, count, 1_000):
        await store.add([item(str(one)) for one in range(start, min(count, start + 1_000))])
    await store.commit_records([failed(position) for position in range(1, count + 1)])
    assert await store.requeue() == count
    assert await store.fetch_counts() == Counts(pending=count)


# The run ------------------------------------------------------------------------------------------


async def test_counts_are_by_state(store):
    assert await store.fetch_counts() == Counts()
    await store.add(page(10))
    await store.commit_records([reply(1), reply(2), reply(3), failed(4), failed(5), submitted(6)])
    assert await store.fetch_counts() == Counts(pending=4, submitted=1, succeeded=3, failed=2)


async def test_the_end_of_the_source_is_noted(store):
    assert store.is_source_complete is False
    await store.mark_source_complete()
    assert store.is_source_complete is True
    assert store.info == INFO


async def test_a_cancelled_verb_is_done_or_has_not_begun(store):
    await store.add(page(2))
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.commit_records([reply(1)])
    assert await store.fetch_counts() in {Counts(pending=2), Counts(pending=1, succeeded=1)}
    assert list(await store.commit_records([reply(2)])) == [PENDING]


async def test_verbs_may_overlap(store):
    await store.add(page(50))

    async def one(position):
        assert list(await store.commit_records([reply(position)])) == [PENDING]
        await store.fetch_pending(0, 5, 0.0)

    async with anyio.create_task_group() as group:
        for position in range(1, 51):
            group.start_soon(one, position)
    assert await store.fetch_counts() == Counts(succeeded=50)


# What was sent ------------------------------------------------------------------------------------

SENT, AGAIN, LATER = (SentFile("files", size, str(size) * 64) for size in (1, 2, 3))


def sending(record, *sent):
    """The record of an attempt that sent these."""
    outcome = replace(record.attempt.outcome, inputs=sent)
    return replace(record, attempt=replace(record.attempt, outcome=outcome))


def kept(store):
    """What each attempt sent, by position and number."""
    if isinstance(store, MemoryStore):
        each = [(one.position, one.attempt) for one in store.records]
        rows = [(place, made.number, sent) for place, made in each for sent in made.outcome.inputs]
    else:
        wanted = "select position, number, param, size, sha256 from inputs"
        with query(store.directory, wanted) as answer:
            rows = [(place, number, SentFile(*cells)) for place, number, *cells in answer.tuples()]
    found = {}
    for position, number, sent in rows:
        found.setdefault((position, number), set()).add(sent)
    return found


async def test_what_an_attempt_sent_is_kept_with_it(store):
    await store.add(page(3))
    mask = SentFile("mask", 7, "7" * 64)
    await store.commit_records([sending(failure(1), SENT), sending(reply(2), SENT, mask), reply(3)])
    await store.commit_records([sending(reply(1, 2), AGAIN)])
    assert kept(store) == {(1, 1): {SENT}, (2, 1): {SENT, mask}, (1, 2): {AGAIN}}


async def test_what_a_submission_sent_is_kept_before_and_after_its_outcome(store):
    await store.add(page(2))
    await store.commit_records([sending(submitted(1), SENT), sending(submitted(2), AGAIN)])
    assert kept(store) == {(1, 1): {SENT}, (2, 1): {AGAIN}}
    await store.commit_records([reply(1), failure(2, code="no_output")])
    await store.commit_records([sending(submitted(2, 2), LATER), reply(2)])
    assert kept(store) == {(1, 1): {SENT}, (2, 1): {AGAIN}, (2, 2): {LATER}}


async def test_a_submission_and_its_reply_may_be_of_one_pile(store):
    await store.add(page(1))
    await store.commit_records([sending(submitted(1), SENT), reply(1)])
    assert kept(store) == {(1, 1): {SENT}}


async def test_nothing_is_kept_of_what_a_record_sent_that_came_too_late(store):
    await store.add(page(2))
    await store.commit_records([sending(reply(1), SENT), sending(failure(2, 2), SENT)])
    late = [sending(each, AGAIN) for each in (reply(1), failure(1, 2), failure(2, 1))]
    assert list(await store.commit_records(late)) == [None] * 3
    assert kept(store) == {(1, 1): {SENT}, (2, 2): {SENT}}


async def test_requeue_keeps_what_was_sent(store):
    await store.add(page(1))
    await store.commit_records([sending(failed(1), SENT)])
    await store.requeue()
    assert kept(store) == {(1, 1): {SENT}}
    await store.commit_records([sending(reply(1, 2), AGAIN)])
    assert kept(store) == {(1, 1): {SENT}, (1, 2): {AGAIN}}


async def test_of_what_was_found_in_the_bucket_nobody_knows_what_was_sent(store):
    await store.add(page(1))
    await store.mark_submitted([found(1, 1)], 1.0)
    await store.commit_records([reply(1)])
    assert kept(store) == {}


# The same answers to any script -------------------------------------------------------------------

KEYS = "abcdef"
TIMES = st.integers(0, 40).map(lambda quarters: quarters / 4)
ITEMS = st.builds(
    lambda key, size, moved, x: item(key, size=size, path="/other" if moved else None, x=x),
    st.sampled_from(KEYS),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([False] * 19 + [True]),
    st.integers(0, 1),
)
RECORDS = st.builds(
    lambda make, position, number, at, retry_at: make(position, number, at, retry_at),
    st.sampled_from(
        [
            lambda position, number, at, _: reply(position, number, at=at, prediction=number),
            lambda position, number, at, retry: failure(position, number, at=at, retry_at=retry),
            lambda position, number, at, _: failed(position, number, code=f"code_{number % 2}"),
            lambda position, number, at, _: submitted(position, number, at=at),
        ]
    ),
    st.integers(1, len(KEYS)),
    st.integers(1, 4),
    TIMES,
    st.none() | TIMES,
)
PLACED = st.builds(found, st.integers(1, len(KEYS)), st.integers(1, 4))
VERBS = st.one_of(
    st.tuples(st.just("add"), st.lists(ITEMS, max_size=5)),
    st.tuples(st.just("commit_records"), st.lists(RECORDS, max_size=6)),
    st.tuples(st.just("commit_records"), st.lists(RECORDS, max_size=6)),
    st.tuples(st.just("mark_submitted"), st.lists(PLACED, max_size=4), TIMES),
    st.tuples(st.just("requeue"), st.sampled_from([None, "code_0", "code_1"])),
    st.tuples(st.just("mark_source_complete")),
    st.tuples(st.just("reopen")),
)


async def answer(store, verb, *args):
    """What a verb answers, errors included; records of items that are not there are left out."""
    if verb == "commit_records":
        total = (await store.fetch_counts()).total
        args = ([record for record in args[0] if record.position <= total],)
    try:
        if verb == "requeue":
            return await store.requeue(code=args[0])
        answered = await getattr(store, verb)(*args)
    except SourceError as error:
        return str(error)
    return list(answered) if isinstance(answered, (list, tuple)) else answered


async def look(store):
    """All that can be asked of a store."""
    return {
        "counts": await store.fetch_counts(),
        "pending": [list(await store.fetch_pending(after, 3, 5.0)) for after in (0, 2)],
        "all pending": list(await store.fetch_pending(0, 99, FOREVER)),
        "next due": [await store.fetch_next_retry_at(after) for after in (0.0, 5.0)],
        "unfinished": await store.fetch_open(range(len(KEYS) + 2)),
        "lowest": await store.fetch_lowest_open_position(),
        "overdue": [list(await store.fetch_overdue(before, 3)) for before in (5.0, FOREVER)],
        "read": store.is_source_complete,
    }


def outcomes(directory):
    with RunReader(directory) as reader:
        return {
            result.key: result.prediction if result.state is SUCCEEDED else result.code
            for result in reader.iter_results("finished")
        }


async def compare(directory, script):
    memory = MemoryStore(INFO)
    async with SqliteStore.create(directory, INFO):
        pass
    left = [list(step) for step in script]
    while left:
        async with SqliteStore.open(directory) as sqlite:
            while left:
                step = left.pop(0)
                if step[0] == "reopen":
                    break
                assert await answer(sqlite, *step) == await answer(memory, *step)
                assert await look(sqlite) == await look(memory)
    assert outcomes(directory) == {
        key: outcome.prediction if isinstance(outcome, Reply) else outcome.code
        for key, outcome in memory.final_outcomes().items()
    }


@pytest.mark.slow
@given(script=st.lists(VERBS, max_size=15))
def test_every_store_answers_the_same_to_any_script(tmp_path_factory, script):
    anyio.run(compare, tmp_path_factory.mktemp("run"), script)


# Clocks -------------------------------------------------------------------------------------------


async def test_what_lies_in_the_future_comes_back_to_now(store):
    await store.add(page(4))
    await store.commit_records(
        [
            submitted(1, at=900.0),
            submitted(2, at=100.0),
            failure(3, at=900.0, retry_at=905.0),
            failure(4, at=100.0, retry_at=905.0),
        ]
    )
    await store.clamp_future_times(200.0)
    assert [(await only(store, n)).submitted_at for n in (1, 2)] == [200.0, 100.0]
    # The second was asked to wait by an attempt of the past.
    assert [one.position for one in await store.fetch_pending(0, 9, 200.0)] == [3]
    assert await store.fetch_next_retry_at(200.0) == 905.0


async def test_a_reader_sees_what_is_waited_for_and_what_was_submitted(tmp_path):
    async with SqliteStore.create(tmp_path / "run", INFO) as store:
        await store.add(page(3))
        await store.commit_records([submitted(1, at=50.0), failure(2, retry_at=300.0)])
        with RunReader(tmp_path / "run") as reader:
            assert reader.read_wait_summary(200.0) == WaitSummary(1, 300.0, 50.0)
            assert reader.read_wait_summary(400.0) == WaitSummary(0, None, 50.0)
            found = reader.read_submissions([1, 2, 9])
            assert found[1] == OpenItem(1, SUBMITTED, 1, 50.0, 0, {1: "abc-1-1"})
            assert set(found) == {1, 2}


async def test_an_open_item_says_the_key_of_its_item(store):
    await store.add([item("a.jpg"), item("b.jpg")])
    await store.commit_records([submitted(2)])

    assert {n: each.key for n, each in (await store.fetch_open([1, 2])).items()} == {
        1: "a.jpg",
        2: "b.jpg",
    }
    assert [each.key for each in await store.fetch_overdue(1e12, 5)] == ["b.jpg"]


# Items that come again ----------------------------------------------------------------------------


async def test_known_items_are_found_by_their_keys(store):
    await store.add(page(3))
    await store.commit_records([reply(1), failed(2, code="file_missing")])
    known = await store.find_known(["001.jpg", "002.jpg", "003.jpg", "004.jpg"])
    assert {key: (one.position, one.state, one.code) for key, one in known.items()} == {
        "001.jpg": (1, SUCCEEDED, None),
        "002.jpg": (2, FAILED, "file_missing"),
        "003.jpg": (3, PENDING, None),
    }
    assert known["001.jpg"].files == item("001.jpg").files
    assert await store.find_known([]) == {}


async def test_finished_items_are_put_back_with_their_files_as_they_are_now(store):
    await store.add(page(4))
    await store.commit_records([reply(1), failed(2), failure(3)])
    again = [item(f"00{number}.jpg", size=99) for number in (1, 2, 3, 4)]
    put_back = await store.put_back([*again, item("unknown")])
    assert (put_back.succeeded, dict(put_back.failed_by_code)) == (1, {"model_error": 1})
    assert await store.fetch_counts() == Counts(pending=4)
    pending = await store.fetch_pending(0, 10, FOREVER)
    assert [(one.files[0].size, one.attempts, one.uncounted_attempts) for one in pending] == [
        (99, 1, 1),
        (99, 1, 1),
        (10, 1, 0),
        (10, 0, 0),
    ]
    assert await store.commit_records([reply(1, 2), reply(2, 2)]) == [PENDING, PENDING]
    assert await store.fetch_counts() == Counts(pending=2, succeeded=2)


async def test_an_output_of_before_is_none_of_what_was_put_back(store):
    await store.add(page(1))
    await store.commit_records([named(submitted(1), "abc-1-1-tag")])
    await store.commit_records([reply(1)])
    await store.put_back([item("001.jpg", size=99)])
    assert not (await only(store)).has_submitted(1, "abc-1-1-tag", tagged=True)
    assert not (await only(store)).has_submitted(1, "abc-1-1", tagged=False)
