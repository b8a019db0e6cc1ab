"""A backend over workers: real links and workers, in one process, that fail as told."""

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest

from batchinfer.cluster.attempt_worker import INLINE_OUTCOME_BYTES, AttemptWorker
from batchinfer.cluster.cluster_backend import MAX_LOSSES_PER_ATTEMPT, BucketAttempts
from batchinfer.cluster.worker_link import PIECE_BYTES
from batchinfer.domain import Failure, FailureKind, InputFile, Item, Reply, ServiceSignal, Submitted
from batchinfer.errors import FatalError
from batchinfer.ports import HoldingBackend, Notice, OutageEnded, OutageOngoing
from support.fake_cluster import SCRIPTS, FakeCluster, ScriptedFactory, open_fake, until
from support.world import Notebook

pytestmark = pytest.mark.event_loops("asyncio")


def item(position: int) -> Item:
    return Item(f"item-{position}", position=position)


async def answer(it: Item, number: int) -> Reply:
    return Reply(prediction={"key": it.key, "attempt": number})


class Blocked:
    """A script that answers when it is let; says what began, and what was cut off."""

    def __init__(self) -> None:
        self.let, self.began, self.cut_off = asyncio.Event(), Counter(), Counter()
        self.something_began = asyncio.Condition()

    async def __call__(self, it: Item, number: int) -> Reply:
        self.began[it.key] += 1
        async with self.something_began:
            self.something_began.notify_all()
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.cut_off[it.key] += 1
            raise
        return await answer(it, number)

    async def until_begun(self, count: int) -> None:
        async with self.something_began:
            await self.something_began.wait_for(lambda: self.began.total() >= count)


@pytest.fixture
def script(request):
    """Sets what workers of this test do."""

    def use(function) -> ScriptedFactory:
        SCRIPTS[request.node.name] = function
        return ScriptedFactory(request.node.name)

    yield use
    SCRIPTS.pop(request.node.name, None)


async def repeat(function) -> None:
    while True:
        await function()


async def together(backend, count: int):
    return await asyncio.gather(*(backend.attempt(item(n), 1) for n in range(1, count + 1)))


async def test_attempts_go_to_all_workers_and_each_brings_its_own_outcome(script):
    cluster = FakeCluster(["a", "b", "c"])
    async with open_fake(cluster, script(answer)) as backend:
        await until(lambda: not (len(cluster.workers) < 3))
        outcomes = await together(backend, 300)
    assert [each.prediction["key"] for each in outcomes] == [f"item-{n}" for n in range(1, 301)]
    assert all(worker.calls["start"] for worker in cluster.workers.values())
    assert sum(worker.calls["start"] for worker in cluster.workers.values()) < 30  # in batches


async def test_what_a_lost_worker_had_in_flight_begins_elsewhere(script):
    blocked, cluster, notebook = Blocked(), FakeCluster(["a"]), Notebook()
    async with open_fake(cluster, script(blocked), notebook=notebook) as backend:
        attempts = asyncio.create_task(together(backend, 10))
        await blocked.until_begun(10)
        cluster.addresses.append("b")
        await cluster.kill("a")
        await blocked.until_begun(20)
        blocked.let.set()
        outcomes = await attempts
    assert [each.prediction["attempt"] for each in outcomes] == [1] * 10
    assert cluster.workers["b"].calls["start"]


async def test_a_worker_that_joins_later_is_used(script):
    blocked, cluster = Blocked(), FakeCluster(["a"])
    async with open_fake(cluster, script(blocked), max_in_flight=1) as backend:
        attempts = asyncio.create_task(together(backend, 2))
        await blocked.until_begun(1)
        cluster.addresses.append("b")
        await blocked.until_begun(2)
        blocked.let.set()
        await attempts


async def test_a_cancelled_attempt_is_cut_off_at_its_worker(script):
    blocked, cluster = Blocked(), FakeCluster(["a"])
    async with open_fake(cluster, script(blocked)) as backend:
        attempt = asyncio.create_task(backend.attempt(item(1), 1))
        await blocked.until_begun(1)
        attempt.cancel()
        await until(lambda: blocked.cut_off)


async def test_at_the_end_workers_cut_off_what_is_in_flight(script):
    blocked, cluster = Blocked(), FakeCluster(["a", "b"])
    async with open_fake(cluster, script(blocked)) as backend:
        attempts = asyncio.create_task(together(backend, 5))
        await blocked.until_begun(5)
        attempts.cancel()
        await asyncio.wait([attempts])
    assert blocked.cut_off.total() == 5


async def test_calls_that_were_not_answered_are_made_again_and_nothing_happens_twice(script):
    began = Counter()

    async def count(it: Item, number: int) -> Reply:
        began[it.key] += 1
        return await answer(it, number)

    failing = {"start": 2, "collect": 2}

    async def fail_after(verb: str) -> None:
        """The call arrived, and its answer did not."""
        if failing.get(verb, 0) > 0:
            failing[verb] -= 1
            raise ConnectionResetError(verb)

    cluster = FakeCluster(["a"], after_call=fail_after)
    async with open_fake(cluster, script(count)) as backend:
        outcomes = await together(backend, 50)
    assert len(outcomes) == 50
    assert set(began.values()) == {1}
    assert failing == {"start": 0, "collect": 0}


async def test_a_worker_that_hears_nothing_gives_up_what_it_has(script):
    blocked, cluster = Blocked(), FakeCluster(["a"])

    async def hang(verb: str) -> None:
        await asyncio.sleep(3600)

    async with open_fake(cluster, script(blocked), lease_seconds=0.3) as backend:
        attempt = asyncio.create_task(backend.attempt(item(1), 1))
        await blocked.until_begun(1)
        cluster.before_call = hang  # the network between the two is gone
        await until(lambda: blocked.cut_off)
        attempt.cancel()


async def test_large_outcomes_come_in_pieces_and_within_the_memory_budget(script):
    size = PIECE_BYTES + 1000

    async def large(it: Item, number: int) -> Reply:
        return Reply(media_type="image/png", data=bytes([it.position]) * size)

    cluster = FakeCluster(["a"])
    async with open_fake(cluster, script(large), memory=size + INLINE_OUTCOME_BYTES) as backend:
        for position in (1, 2):
            outcome = await backend.attempt(item(position), 1)
            assert outcome.data == bytes([position]) * size
            assert outcome.lease is not None
            del outcome
        actor = cluster.workers["a"].actor
        await until(lambda: not (actor._session._large))
    assert cluster.workers["a"].calls["fetch"] == 4


async def test_without_any_worker_attempts_wait_and_it_is_an_outage(script):
    cluster, notebook = FakeCluster([]), Notebook()

    async def add() -> None:
        await until(lambda: notebook.waited)
        cluster.addresses.append("a")

    adding = asyncio.create_task(add())
    async with open_fake(cluster, script(answer), notebook=notebook) as backend:
        assert isinstance(await backend.attempt(item(1), 1), Reply)
    await adding
    assert {event.code for event in notebook.of(OutageOngoing)} == {"no_workers"}
    assert [event.code for event in notebook.of(OutageEnded)] == ["no_workers"]


@pytest.mark.parametrize("is_scheduler_away", [True, False])
async def test_when_no_worker_comes_the_run_ends(script, is_scheduler_away: bool):
    cluster = FakeCluster([], is_scheduler_away=is_scheduler_away)
    with pytest.raises(FatalError) as error:
        async with open_fake(cluster, script(answer), give_up_after=0.5):
            pass
    assert error.value.code == "no_workers"
    assert ("scheduler does not answer" in str(error.value)) is is_scheduler_away


async def test_a_scheduler_that_is_away_takes_no_worker_away(script):
    cluster = FakeCluster(["a"])
    async with open_fake(cluster, script(answer)) as backend:
        cluster.is_scheduler_away = True
        await asyncio.sleep(1.2)
        assert isinstance(await backend.attempt(item(1), 1), Reply)


async def test_a_worker_of_another_version_is_refused_with_plain_words(script):
    cluster, notebook = FakeCluster(["a"]), Notebook()
    with pytest.raises(FatalError) as error:
        async with open_fake(
            cluster, script(answer), notebook=notebook, versions={"batchinfer": "99.0"}
        ):
            pass
    assert error.value.code == "workers_refused"
    assert "batchinfer" in str(error.value)
    assert "instead of 99.0" in str(error.value)
    assert [notice.code for notice in notebook.of(Notice)] == ["worker_refused"]


async def test_workers_that_die_one_after_the_other_end_the_run(script):
    blocked, cluster = Blocked(), FakeCluster(["w0"])
    async with open_fake(cluster, script(blocked)) as backend:

        async def keep_killing() -> None:
            for number in range(100):
                await blocked.until_begun(20 * number + 20)
                cluster.addresses.append(f"w{number + 1}")
                await cluster.kill(f"w{number}")

        killing = asyncio.create_task(keep_killing())
        ends = await asyncio.gather(
            *(backend.attempt(item(n), 1) for n in range(1, 21)), return_exceptions=True
        )
        lost = {each.code for each in ends}
        assert lost == {"worker_lost"}  # failed attempts, which the engine counts
        with pytest.raises(FatalError) as error:
            await repeat(lambda: together(backend, 20))
        killing.cancel()
    assert error.value.code == "workers_lost"


async def test_an_item_that_kills_its_workers_fails_as_an_attempt(script):
    async def kill(it: Item, number: int) -> Reply:
        if it.position == 13:
            victim = next(iter(cluster.addresses))
            cluster.addresses.append(f"{victim}'")
            cluster.addresses.remove(victim)
            await asyncio.sleep(3600)
        return await answer(it, number)

    cluster = FakeCluster(["a"])
    async with open_fake(cluster, script(kill)) as backend:
        outcome = await backend.attempt(item(13), 1)
        assert isinstance(await backend.attempt(item(1), 1), Reply)
    assert outcome.code == "worker_lost"
    assert outcome.kind is FailureKind.TRANSIENT
    assert str(MAX_LOSSES_PER_ATTEMPT) in outcome.message


async def test_a_fatal_error_of_a_worker_is_one_here(script):
    async def refuse(it: Item, number: int) -> Reply:
        raise FatalError("unauthorized", "The token is refused.")

    async with open_fake(FakeCluster(["a"]), script(refuse)) as backend:
        with pytest.raises(FatalError, match="The token is refused") as error:
            await backend.attempt(item(1), 1)
    assert error.value.code == "unauthorized"


async def test_an_unforeseen_error_is_told_without_its_text(script):
    async def fail(it: Item, number: int) -> Reply:
        raise ValueError("the header Bearer s3cr3t is not allowed")

    async with open_fake(FakeCluster(["a"]), script(fail)) as backend:
        with pytest.raises(FatalError, match=r"item-1 .*ValueError in .*fail, line") as error:
            await backend.attempt(item(1), 1)
    assert error.value.code == "worker_error"
    assert "s3cr3t" not in str(error.value)


# Shortages and inputs ---------------------------------------------------------------------------


def shortage() -> Failure:
    return Failure(
        "too_many_open_files",
        "too many",
        FailureKind.UNAVAILABLE,
        signal=ServiceSignal.LOCAL_SHORTAGE,
    )


async def test_a_shortage_concerns_its_worker(script):
    attempts = Counter()

    async def be_short_once(it: Item, number: int):
        attempts[it.key] += 1
        return shortage() if attempts[it.key] == 1 else await answer(it, number)

    async with open_fake(FakeCluster(["a", "b"]), script(be_short_once)) as backend:
        assert isinstance(await backend.attempt(item(1), 1), Reply)


async def test_a_shortage_of_all_is_the_engines_business(script):
    async def be_short(it: Item, number: int):
        return shortage()

    async with open_fake(FakeCluster(["a"]), script(be_short)) as backend:
        outcome = await backend.attempt(item(1), 1)
    assert outcome.signal is ServiceSignal.LOCAL_SHORTAGE


class BlindWorker(AttemptWorker):
    """Sees no input: its mount is missing."""

    async def check_input(self, path: str) -> str | None:
        return "No such file or directory"


def on_disk(position: int, path) -> Item:
    return replace(item(position), files=(InputFile("files", str(path)),))


async def test_a_worker_that_does_not_see_the_source_gets_nothing(script, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    actors = [BlindWorker(), AttemptWorker()]
    cluster, notebook = FakeCluster(["a"], make_actor=partial(actors.pop, 0)), Notebook()
    async with open_fake(cluster, script(answer), notebook=notebook) as backend:
        cluster.addresses.append("b")
        outcome = await backend.attempt(on_disk(1, tmp_path / "a.jpg"), 1)
    assert isinstance(outcome, Reply)
    (notice,) = notebook.of(Notice)
    assert str(tmp_path / "a.jpg") in notice.message
    assert "mount the source" in notice.message
    assert not cluster.workers["a"].calls["start"]


async def test_when_no_worker_sees_the_source_the_run_ends(script, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    async with open_fake(FakeCluster(["a"], make_actor=BlindWorker), script(answer)) as backend:
        with pytest.raises(FatalError, match="mount the source") as error:
            await backend.attempt(on_disk(1, tmp_path / "a.jpg"), 1)
    assert error.value.code == "workers_refused"


def unreadable() -> Failure:
    return Failure("file_missing", "gone", signal=ServiceSignal.INPUT_UNREADABLE)


async def test_a_file_that_one_worker_cannot_read_is_asked_for_at_others(script, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    asked = []

    async def read(it: Item, number: int):
        asked.append(it.key)
        return unreadable() if len(asked) == 1 else await answer(it, number)

    async with open_fake(FakeCluster(["a", "b"]), script(read)) as backend:
        assert isinstance(await backend.attempt(on_disk(1, tmp_path / "a.jpg"), 1), Reply)
    assert len(asked) == 2


async def test_a_file_that_is_nowhere_is_its_items_fault(script, tmp_path):
    async def read(it: Item, number: int):
        return unreadable()

    async with open_fake(FakeCluster(["a", "b"]), script(read)) as backend:
        outcome = await backend.attempt(on_disk(1, tmp_path / "gone.jpg"), 1)
    assert outcome == unreadable()


async def test_a_worker_that_loses_its_mount_gets_nothing_more(script, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")

    async def read(it: Item, number: int):
        return unreadable()

    async with open_fake(FakeCluster(["a"]), script(read)) as backend:
        with pytest.raises(FatalError, match="mount the source"):
            await backend.attempt(on_disk(1, tmp_path / "a.jpg"), 1)


# Async mode ---------------------------------------------------------------------------------------


class Remembering:
    """The backend of this process in async mode."""

    async def attempt(self, it: Item, number: int) -> Submitted:
        return Submitted("adopted here")

    def has_remembered(self, position: int, number: int) -> bool:
        return position == 7


async def test_an_object_that_only_this_process_knows_is_adopted_here(script):
    bucket = BucketAttempts(Remembering())
    async with open_fake(FakeCluster(["a"]), script(answer), bucket_attempts=bucket) as backend:
        assert await backend.attempt(item(7), 1) == Submitted("adopted here")
        assert isinstance(await backend.attempt(item(8), 1), Reply)


async def test_what_a_lost_worker_may_have_put_is_looked_for_once_its_lease_has_ended(script):
    blocked, cluster = Blocked(), FakeCluster(["a"])
    bucket = BucketAttempts(Remembering())

    async def submit(it: Item, number: int) -> Submitted:
        await blocked(it, number)
        return Submitted(f"object-{it.position}")

    async with open_fake(
        cluster, script(submit), bucket_attempts=bucket, lease_seconds=0.5
    ) as backend:
        attempt = asyncio.create_task(backend.attempt(item(1), 1))
        await blocked.until_begun(1)
        cluster.addresses.append("b")
        lost_at = asyncio.get_running_loop().time()
        await cluster.kill("a")
        await blocked.until_begun(2)
        assert asyncio.get_running_loop().time() - lost_at >= 0.5
        assert cluster.workers["b"].actor._session._backend.unconfirmed == {(1, 1)}
        blocked.let.set()
        assert await attempt == Submitted("object-1")
    assert not bucket.unconfirmed


async def test_who_waits_in_vain_is_told_why_the_workers_that_are_there_refuse(script):
    cluster = FakeCluster(["a"])
    other = {"versions": {"batchinfer": "99.0"}, "refused_seconds": 60.0, "give_up_after": 0.1}
    with pytest.raises(FatalError, match=r"can take no part.*instead of 99\.0") as error:
        async with open_fake(cluster, script(answer), **other):
            pass
    assert error.value.code == "no_workers"


# On hold ------------------------------------------------------------------------------------------


class Clock:
    """Notes what it is told. See `ports.CallClock`."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @property
    def is_held(self) -> bool:
        return self.told[-1:] == ["hold"]

    def hold(self) -> None:
        self.told.append("hold")

    def resume(self) -> None:
        self.told.append("resume")

    def restart(self) -> None:
        self.told.append("restart")


async def test_an_attempt_that_begins_at_once_needs_no_word(script):
    clock = Clock()
    async with open_fake(FakeCluster(["a"]), script(answer)) as backend:
        assert isinstance(await backend.attempt_timed(item(1), 1, clock), Reply)
    assert isinstance(backend, HoldingBackend)
    assert clock.told == []


async def test_an_attempt_without_a_worker_is_on_hold_until_it_begins_again(script):
    blocked, cluster, clock = Blocked(), FakeCluster(["a"]), Clock()
    async with open_fake(cluster, script(blocked)) as backend:
        attempt = asyncio.create_task(backend.attempt_timed(item(1), 1, clock))
        await blocked.until_begun(1)
        assert clock.told == []
        await cluster.kill("a")
        await until(lambda: clock.is_held)
        cluster.addresses.append("b")
        await blocked.until_begun(2)
        assert clock.told[-1] == "restart"
        blocked.let.set()
        assert isinstance(await attempt, Reply)


async def test_an_attempt_that_another_worker_takes_at_once_counts_from_then(script):
    blocked, cluster, clock = Blocked(), FakeCluster(["a"]), Clock()
    async with open_fake(cluster, script(blocked)) as backend:
        attempt = asyncio.create_task(backend.attempt_timed(item(1), 1, clock))
        await blocked.until_begun(1)
        cluster.addresses.append("b")
        await until(lambda: "b" in cluster.workers and cluster.workers["b"].calls["collect"])
        await cluster.kill("a")
        await blocked.until_begun(2)
        assert clock.told == ["restart"]
        blocked.let.set()
        await attempt


async def test_an_attempt_that_waits_for_room_is_on_hold(script):
    blocked, clock = Blocked(), Clock()
    async with open_fake(FakeCluster(["a"]), script(blocked), max_in_flight=1) as backend:
        first = asyncio.create_task(backend.attempt(item(1), 1))
        await blocked.until_begun(1)
        second = asyncio.create_task(backend.attempt_timed(item(2), 1, clock))
        await until(lambda: clock.is_held)
        blocked.let.set()
        await asyncio.gather(first, second)
    assert clock.told == ["hold", "restart"]


async def test_attempts_of_a_worker_that_is_silent_are_on_hold_and_go_on_with_it(script):
    blocked, cluster, clock = Blocked(), FakeCluster(["a"]), Clock()
    network = asyncio.Event()

    async def wait_for_network(verb: str) -> None:
        await network.wait()

    async with open_fake(cluster, script(blocked), lease_seconds=2.0) as backend:
        attempt = asyncio.create_task(backend.attempt_timed(item(1), 1, clock))
        await blocked.until_begun(1)
        cluster.workers["a"].actor._session._lease_seconds = 3_600.0  # it is patient
        cluster.before_call = wait_for_network
        await until(lambda: clock.is_held)
        network.set()
        await until(lambda: clock.told == ["hold", "resume"])
        blocked.let.set()
        assert isinstance(await attempt, Reply)
    assert blocked.began.total() == 1


async def test_an_idle_worker_is_not_silent(script):
    cluster = FakeCluster(["a"])
    async with open_fake(cluster, script(answer), lease_seconds=0.6) as backend:
        link = backend._pool.find_room()
        for _ in range(20):
            await asyncio.sleep(0.1)
            assert not link.is_lost
        assert isinstance(await backend.attempt(item(1), 1), Reply)


async def test_in_async_mode_an_attempt_that_waits_for_a_lease_keeps_no_other_back(script):
    blocked, cluster, clock = Blocked(), FakeCluster(["a"]), Clock()
    bucket = BucketAttempts(Remembering())
    async with open_fake(
        cluster, script(blocked), bucket_attempts=bucket, lease_seconds=0.5
    ) as backend:
        attempt = asyncio.create_task(backend.attempt_timed(item(1), 1, clock))
        await blocked.until_begun(1)
        cluster.addresses.append("b")
        await cluster.kill("a")
        await until(lambda: clock.told[-1:] == ["resume"])
        await blocked.until_begun(2)
        assert clock.told[-1] == "restart"
        blocked.let.set()
        await attempt
