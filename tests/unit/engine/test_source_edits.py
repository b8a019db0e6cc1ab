"""The source is edited between and during sessions: what is recorded is what was sent.

Parameters, files, order, additions, removals, at any moment, in both modes: each record bears what
the service was asked, and what was never tried is sent as its source says in the end.
"""

from dataclasses import dataclass, field, replace

import anyio
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.domain import InputFile, Item, Reply, State
from batchinfer.engine.feeder import SeenPositions
from batchinfer.ports import Notice
from support.world import Bucket, Model, World, permanent, transient

pytestmark = pytest.mark.event_loops("virtual")

KEYS = [f"{letter}.jpg" for letter in "abcdefghijkl"]


def made(key, value, size):
    """An item as a source would say it."""
    return Item(key, (InputFile("files", f"/data/{key}", size, size),), {"x": value})


@dataclass
class Manifest:
    """A source that is read some lines at a time, as it is in that moment."""

    lines: list[Item] = field(default_factory=list)
    delay: float = 0.3

    def reader(self):
        at = 0

        async def read(size):
            nonlocal at
            await anyio.sleep(self.delay)
            page = self.lines[at : at + min(size, 3)]
            at += len(page)
            return page

        return read


LINES = st.builds(made, st.sampled_from(KEYS), st.integers(0, 3), st.integers(1, 2))
MANIFESTS = st.lists(LINES, max_size=len(KEYS), unique_by=lambda item: item.key)
SESSIONS = st.lists(
    st.tuples(
        MANIFESTS,  # what the source is when the session begins
        st.floats(0.05, 4),  # after so many seconds
        MANIFESTS,  # it is edited to this
        st.floats(0.05, 6),  # and after so many more
        st.sampled_from(["stop", "cancel", "kill"]),
    ),
    max_size=4,
)
OUTCOMES = st.lists(st.sampled_from(["reply", "transient", "permanent"]), min_size=1, max_size=7)


class Journal:
    """What the service was asked, by key and attempt."""

    def __init__(self, world, outcomes, *, bucket):
        self.asked = {}
        self.first = {}
        """By key: what was asked first of all, and in which session."""
        self.session = 0
        self._outcomes = outcomes
        self._keys = {}
        self._inner = Bucket(self._of) if bucket else Model(self._script, seconds=0.7)

    async def attempt(self, item, number):
        self._keys[item.position] = item.key
        self.asked[item.key, number] = (dict(item.params), item.files)
        self.first.setdefault(item.key, (dict(item.params), self.session))
        return await self._inner.attempt(item, number)

    @property
    def watcher(self):
        return self._inner if isinstance(self._inner, Bucket) else None

    def _script(self, item, number):
        step = self._outcomes[(KEYS.index(item.key) + number) % len(self._outcomes)]
        made_of = {"reply": Reply(prediction=number), "transient": transient()}
        return made_of.get(step, permanent())

    def _of(self, position, number):
        return self._script(Item(self._keys[position]), number)


async def scenario(sessions, last, outcomes, *, bucket):
    world = World()
    journal = Journal(world, outcomes, bucket=bucket)
    manifest = Manifest()

    def engine():
        journal.session += 1
        asynchronous = {"watcher": journal.watcher, "submitted_limit": 4} if bucket else {}
        return world.engine(journal, read=manifest.reader(), concurrency=2, **asynchronous)

    for before, wait, during, more, how in sessions:
        manifest.lines = list(before)
        running = engine()
        with anyio.CancelScope() as process:
            async with anyio.create_task_group() as group:
                group.start_soon(running.run)
                await anyio.sleep(wait)
                manifest.lines = list(during)
                await anyio.sleep(more)
                process.cancel() if how == "kill" else getattr(running, how)()
    manifest.lines = list(last)
    await engine().run()
    return world, journal


@pytest.mark.slow
@pytest.mark.parametrize("bucket", [False, True], ids=["sync", "async"])
@given(sessions=SESSIONS, last=MANIFESTS, outcomes=OUTCOMES)
def test_what_is_recorded_is_what_was_sent(bucket, sessions, last, outcomes):
    async def work():
        return await scenario(sessions, last, outcomes, bucket=bucket)

    world, journal = trio.run(work, clock=trio.testing.MockClock(autojump_threshold=0))

    store = world.store
    keys = {position: item.key for position, item in store._items.items()}
    for record in store.records:
        if record.attempt.params is not None:
            asked, _ = journal.asked[keys[record.position], record.attempt.number]
            assert dict(record.attempt.params) == asked
    for position, item in store._items.items():
        life = store._statuses[position]
        if life.attempts:
            assert (dict(item.params), item.files) == journal.asked[item.key, life.attempts]
    assert set(store.item_states().values()) <= {State.SUCCEEDED, State.FAILED}
    now = {item.key: dict(item.params) for item in last}
    for key, (asked, session) in journal.first.items():
        if session == journal.session and key in now:
            assert asked == now[key]


async def test_what_the_source_has_no_more_is_sent_once_it_was_read_to_its_end(world):
    lines = [made(key, 1, 1) for key in KEYS]
    await world.store.add(lines)
    model = Model()
    await world.engine(model, source=[replace(lines[5], params={"x": 2})]).run()
    assert sorted(key for key, _ in model.began) == KEYS
    assert model.began[0] == (KEYS[5], 1)


async def test_what_was_passed_is_sent_while_the_source_is_still_being_read(world):
    lines = [made(key, 1, 1) for key in KEYS]
    await world.store.add(lines)
    model = Model()
    source = Manifest([*lines[:3], *(made(f"new-{n}", 1, 1) for n in range(3)), *lines[3:]], 60.0)
    await world.engine(model, read=source.reader()).run()
    assert sorted(key for key, _ in model.began[:3]) == KEYS[:3]
    assert model.starts[0] < 61 < model.starts[3]


async def test_without_a_source_what_is_known_is_sent_as_it_is(world):
    await world.store.add([made(key, 1, 1) for key in KEYS])
    model = Model()
    await world.engine(model).run()
    assert sorted(key for key, _ in model.began) == KEYS


async def test_results_of_earlier_parameters_and_files_are_told(world):
    lines = [made(key, 1, 1) for key in KEYS]
    await world.engine(Model(), source=lines, max_items=4).run()
    edited = [made(key, 2, 1) for key in KEYS]
    edited[0] = made(KEYS[0], 1, 2)
    model = Model()
    await world.engine(model, source=edited).run()
    told = {notice.code: notice.message for notice in world.notebook.of(Notice)}
    assert told["params_changed"].startswith("3 item(s) have other parameters")
    assert told["file_changed"].startswith("1 file(s) changed")
    assert sorted(key for key, _ in model.began) == KEYS[4:]


def test_passed_knows_what_was_seen_again_and_what_is_new():
    passed = SeenPositions(5)
    passed.add([2, 9])
    frozen = passed.snapshot()
    passed.add([4])
    assert [place for place in range(-1, 8) if place in passed] == [2, 4, 6, 7]
    assert [place for place in range(-1, 8) if place in frozen] == [2, 6, 7]
    assert [passed.next_candidate(after) for after in (0, 2, 4, 6)] == [2, 4, 6, 7]
    passed.mark_complete()
    assert all(place in passed for place in range(1, 8))
