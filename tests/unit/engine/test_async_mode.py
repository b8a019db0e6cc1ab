"""The engine in async mode: submit and collect, together and apart."""

import anyio
import pytest

from batchinfer.domain import Counts, Reply
from batchinfer.errors import RunAborted
from support.world import EPOCH, Bucket, World, items, permanent, transient

pytestmark = pytest.mark.event_loops("virtual")


def run(world: World, bucket: Bucket, limit: int = 20, **more):
    backend = more.pop("backend", bucket)
    more.setdefault("overdue_after", 100)
    return world.engine(backend, watcher=bucket, submitted_limit=limit, **more)


async def test_submits_and_collects_everything_once(world: World):
    bucket = Bucket()
    progress = await run(world, bucket, source=items(200)).run()
    assert progress.counts == Counts(succeeded=200)
    assert len(bucket.inputs) == 200


async def test_submitted_and_unfinished_objects_are_bounded(world: World):
    bucket = Bucket()
    await run(world, bucket, limit=7, source=items(100)).run()
    assert bucket.outstanding_most == 7


async def test_a_lost_event_is_submitted_again_under_a_new_name(world: World):
    bucket = Bucket(lambda position, attempt: None if position % 10 == attempt == 1 else Reply())
    progress = await run(world, bucket, source=items(50)).run()
    assert progress.counts == Counts(succeeded=50)
    assert {name for name in bucket.inputs if name[1] == 2} == {(n, 2) for n in (1, 11, 21, 31, 41)}


async def test_a_lost_event_is_found_while_others_still_arrive(world: World):
    bucket = Bucket(lambda position, attempt: None if (position, attempt) == (1, 1) else Reply())
    await run(world, bucket, limit=2, source=items(200), overdue_after=30).run()
    again = bucket.inputs[1, 2]
    assert again < max(bucket.inputs.values()) / 2


async def test_a_long_queue_is_not_mistaken_for_loss(world: World):
    class Queue(Bucket):
        """One container, ten seconds each: the last of 50 waits 500 s, five times the limit."""

        async def attempt(self, item, number):
            outcome = await super().attempt(item, number)
            self.inputs[item.position, number] = len(self.inputs) * 10.0
            return outcome

    bucket = Queue(seconds=0)
    progress = await run(world, bucket, limit=50, source=items(50)).run()
    assert progress.counts == Counts(succeeded=50)
    assert len(bucket.inputs) == 50


async def test_what_never_comes_fails_after_bounded_attempts(world: World):
    bucket = Bucket(lambda position, attempt: None if position == 3 else Reply())
    progress = await run(world, bucket, source=items(5)).run()
    assert progress.counts == Counts(succeeded=4, failed=1)
    assert progress.failed_by_code == {"no_output": 1}
    assert [attempt for position, attempt in bucket.inputs if position == 3] == [1, 2, 3]


async def test_a_late_output_of_an_older_attempt_is_a_result(world: World):
    def script(position: int, attempt: int):
        if attempt == 1:
            return Reply(prediction="late") if anyio.current_time() > 250 else None
        return None

    progress = await run(world, Bucket(script), source=items(1), overdue_after=200).run()
    assert progress.counts == Counts(succeeded=1)
    assert world.store.final_outcomes()["item-0001"].prediction == "late"


async def test_failures_of_the_model_are_retried_or_final(world: World):
    def script(position: int, attempt: int):
        if position == 1:
            return permanent()
        return transient() if position == 2 and attempt < 3 else Reply()

    bucket = Bucket(script)
    progress = await run(world, bucket, source=items(4)).run()
    assert progress.counts == Counts(succeeded=3, failed=1)
    assert sorted(bucket.inputs) == [(1, 1), (2, 1), (2, 2), (2, 3), (3, 1), (4, 1)]


async def test_a_bucket_that_is_away_for_a_while_costs_only_time(world: World):
    bucket = Bucket(away=lambda: 10 < anyio.current_time() < 400)
    progress = await run(world, bucket, source=items(100)).run()
    assert progress.counts == Counts(succeeded=100)
    assert len(bucket.inputs) == 100
    assert {event.code for event in world.notebook.waited} == {"bucket_unreachable"}


async def test_a_bucket_that_stays_away_ends_the_run(world: World):
    bucket = Bucket(away=lambda: anyio.current_time() > 10)
    with pytest.raises(RunAborted) as aborted:
        await run(world, bucket, source=items(100), give_up_after=300).run()
    assert aborted.value.code == "bucket_unreachable"
    assert anyio.current_time() < 400


async def test_submit_today_collect_tomorrow(world: World):
    bucket = Bucket()
    progress = await run(world, bucket, limit=1000, source=items(300), collects=False).run()
    assert progress.counts == Counts(submitted=300)
    await anyio.sleep(86_400)
    progress = await run(world, bucket, backend=None).run()
    assert progress.counts == Counts(succeeded=300)
    assert len(bucket.inputs) == 300


async def test_submit_stops_at_the_limit_and_goes_on_after_collecting(world: World):
    bucket = Bucket()
    progress = await run(world, bucket, limit=30, source=items(50), collects=False).run()
    assert progress.counts == Counts(submitted=30, pending=20)
    assert progress.is_source_complete
    await run(world, bucket, backend=None).run()
    progress = await run(world, bucket, limit=30, collects=False).run()
    assert progress.counts == Counts(submitted=20, succeeded=30)


async def test_collect_leaves_what_must_be_submitted_again_pending(world: World):
    bucket = Bucket(lambda position, attempt: transient("model_killed"))
    await run(world, bucket, limit=10, source=items(3), collects=False).run()
    progress = await run(world, bucket, backend=None).run()
    assert progress.counts == Counts(pending=3)


async def test_what_was_submitted_but_not_recorded_is_adopted(world: World):
    bucket = Bucket()
    await world.store.add(items(10))
    for position in (2, 5, 9):  # a kill came between the put and its record
        bucket.inputs[position, 1] = 0.0
    progress = await run(world, bucket).run()
    assert progress.counts == Counts(succeeded=10)
    assert len(bucket.inputs) == 10


async def test_an_old_input_object_of_a_recorded_attempt_is_not_adopted(world: World):
    bucket = Bucket(lambda position, attempt: transient(retry_after=9) if attempt == 1 else Reply())
    engine = run(world, bucket, source=items(1))
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run)
        await anyio.sleep(9)  # the output came after 5 s, the next attempt after 9 more
        engine.cancel()
    assert (await world.store.fetch_counts()) == Counts(pending=1)
    assert len(world.store.records) == 2
    progress = await run(world, bucket).run()
    assert progress.counts == Counts(succeeded=1)
    assert sorted(bucket.inputs) == [(1, 1), (1, 2)]


async def test_stop_does_not_wait_for_what_is_submitted(world: World):
    bucket = Bucket(seconds=1000)
    engine = run(world, bucket, source=items(50), limit=10, overdue_after=5000)
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run)
        await anyio.sleep(20)
        engine.stop()
    assert anyio.current_time() < 35
    assert (await world.store.fetch_counts()) == Counts(submitted=10, pending=40)
    progress = await run(world, bucket, source=items(50), overdue_after=5000).run()
    assert progress.counts == Counts(succeeded=50)
    assert len(bucket.inputs) == 50


async def test_seconds_of_an_attempt_run_from_submission(world: World):
    await run(world, Bucket(seconds=40), source=items(1)).run()
    attempt = world.store.records[-1].attempt
    assert attempt.started_at == pytest.approx(EPOCH, abs=1)
    assert 40 <= attempt.seconds < 55
