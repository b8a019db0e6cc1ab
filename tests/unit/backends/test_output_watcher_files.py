"""Outputs of any number and name: when they are complete, and what they are."""

from hashlib import sha256

import anyio
import pytest

from batchinfer.backends.bucket_client import BucketUnreachable, MemoryBucket
from batchinfer.backends.output_watcher import BucketOutputWatcher
from batchinfer.backends.redaction import Redactor
from batchinfer.domain import Attempt, Failure, Item, Record, Reply, State, Submitted
from batchinfer.ports import OutputArrival
from batchinfer.protocols.object_ids import make_digest
from batchinfer.protocols.oscar.oscar_options import OscarOptions
from batchinfer.protocols.oscar.oscar_protocol import OscarBucket
from batchinfer.testing import MemoryStore
from support.cli import png

pytestmark = pytest.mark.event_loops("virtual")

RUN = "run1"
TAG = "epoch123" + make_digest(sha256(b"what was sent").hexdigest())
QUIET = 10.0
SECRET = "hidden-secret-0123"


class Desk:
    """A run of submitted items, its bucket, and a watcher over it."""

    def __init__(self, *, page_size: int = 1000, clean: bool = False, max_reply: int = 10_000, **o):
        self.bucket, self.store = MemoryBucket(page_size=page_size), MemoryStore()
        self.names = OscarBucket(OscarOptions(quiet=QUIET, **o))
        self.watcher = BucketOutputWatcher(
            self.bucket,
            protocol=self.names,
            run_id=RUN,
            redactor=Redactor([SECRET]),
            clean=clean,
            max_reply=max_reply,
        )

    async def submit(self, count: int = 1) -> None:
        await self.store.add([Item(f"k{n}") for n in range(1, count + 1)])
        for position in range(1, count + 1):
            await self.resubmit(position, 1)

    def stem(self, position: int = 1, attempt: int = 1) -> str:
        return self.names.make_object_name(RUN, position, attempt, TAG)

    async def resubmit(self, position: int, attempt: int) -> None:
        name = f"{self.stem(position, attempt)}.jpg"
        self.bucket.objects[self.names.make_input_key(name)] = b"what was sent"
        await self.record(position, attempt, Submitted(name), State.SUBMITTED)

    async def record(self, position: int, attempt: int, outcome, state: State) -> None:
        record = Record(position, Attempt(attempt, 1.0, 1.0, outcome), state)
        assert (await self.store.commit_records([record]))[0] is not None

    def put(self, name: str, body: bytes, position: int = 1, attempt: int = 1) -> None:
        key = f"{self.names.outputs_prefix}{self.stem(position, attempt)}{name}"
        self.bucket.objects[key] = body

    async def look(self) -> list[OutputArrival]:
        arrivals: list[OutputArrival] = []

        async def emit(arrival: OutputArrival) -> None:
            arrivals.append(arrival)

        await self.watcher.poll(self.store, emit)
        return arrivals

    async def outcome(self):
        """The only outcome of one look; None when nothing was decided."""
        arrived = await self.look()
        assert len(arrived) <= 1
        return arrived[0].outcome if arrived else None


@pytest.fixture
async def desk() -> Desk:
    desk = Desk()
    await desk.submit()
    return desk


def files(reply: Reply) -> dict[str, bytes]:
    return {each.name: each.data for each in reply.files}


async def test_one_output_is_read_when_nothing_has_changed_for_a_while(desk: Desk):
    desk.put(".png", png(1))
    assert await desk.outcome() is None
    await anyio.sleep(QUIET - 1)
    assert await desk.outcome() is None
    await anyio.sleep(1)
    reply = await desk.outcome()
    assert (reply.media_type, reply.data, reply.files) == ("image/png", png(1), ())


@pytest.mark.parametrize("change", [("_b.png", b"more"), (".json", b'{"n": 22}')])
async def test_whatever_changes_is_waited_for_anew(desk: Desk, change: tuple[str, bytes]):
    desk.put(".json", b'{"n": 1}')
    assert await desk.outcome() is None
    await anyio.sleep(QUIET - 1)
    desk.put(*change)
    assert await desk.outcome() is None
    await anyio.sleep(QUIET - 1)
    assert await desk.outcome() is None
    await anyio.sleep(1)
    assert isinstance(await desk.outcome(), Reply)


async def test_the_one_json_is_the_prediction_and_all_files_stay(desk: Desk):
    desk.put(".json", b'{"n": 1}')
    desk.put("_mask.png", png(1))
    desk.put("/tiles/a.txt", b"a")
    desk.put(".log", b"it went well")
    await desk.outcome()
    await anyio.sleep(QUIET)
    reply = await desk.outcome()
    assert (reply.media_type, reply.prediction, reply.log) == (
        "application/json",
        {"n": 1},
        "it went well",
    )
    assert files(reply) == {
        "output.json": b'{"n": 1}',
        "output_mask.png": png(1),
        "output/tiles/a.txt": b"a",
    }


@pytest.mark.parametrize("second", [("_2.json", b"{}"), (".png", png(1))])
async def test_several_outputs_without_one_json_are_kept_together(desk: Desk, second):
    name = "_1.json" if second[0].endswith("json") else ".txt"
    desk.put(name, b"[1]")
    desk.put(".PNG", png(2))
    desk.put(*second)
    await desk.outcome()
    await anyio.sleep(QUIET)
    reply = await desk.outcome()
    if name == ".txt":  # the only one that is JSON, whatever its name is
        assert reply.prediction == [1]
    else:
        assert (reply.media_type, reply.prediction, reply.data) == ("application/zip", None, None)
    assert len(files(reply)) == 3


async def test_a_file_that_is_called_json_comes_before_one_that_only_is_json(desk: Desk):
    desk.put(".txt", b"[1, 2]")
    desk.put(".json", b'"a"')
    await desk.outcome()
    await anyio.sleep(QUIET)
    assert (await desk.outcome()).prediction == "a"


@pytest.mark.parametrize(
    ("outputs", "code"),
    [
        ({".log": b"Segmentation fault"}, "no_output"),
        ({".txt": b""}, "no_output"),
        ({".json": b'{"a": [1, 2'}, "answer_cut_off"),
        ({".json": b'{"a": [1, 2', ".png": b"x"}, "answer_cut_off"),
    ],
)
async def test_what_is_no_prediction_is_a_failure(desk: Desk, outputs, code: str):
    for name, body in outputs.items():
        desk.put(name, body)
    await desk.outcome()
    await anyio.sleep(QUIET)
    failure = await desk.outcome()
    assert isinstance(failure, Failure)
    assert failure.code == code
    assert ".log" not in outputs or "Segmentation fault" in failure.log


async def test_a_log_that_is_asked_for_is_the_prediction():
    desk = Desk(outputs=("{stem}.log",))
    await desk.submit()
    desk.put(".log", b"what it said")
    assert (await desk.outcome()).prediction == "what it said"


async def test_with_patterns_it_is_complete_at_once_when_each_is_met():
    desk = Desk(outputs=("{stem}*.json", "{stem}*.png"))
    await desk.submit()
    desk.put("_boxes.json", b"[1]")
    assert await desk.outcome() is None
    desk.put("_mask.png", png(1))
    reply = await desk.outcome()
    assert reply.prediction == [1]
    assert set(files(reply)) == {"output_boxes.json", "output_mask.png"}


async def test_what_is_missing_is_named_and_still_taken_when_it_comes_late():
    desk = Desk(outputs=("{stem}*.json", "{stem}*.png"))
    await desk.submit()
    desk.put(".json", b"[1]")
    assert await desk.outcome() is None
    await anyio.sleep(QUIET)
    failure = await desk.outcome()
    assert failure.code == "outputs_incomplete"
    assert "{stem}*.png" in failure.message
    await desk.record(1, 1, failure, State.PENDING)
    assert await desk.look() == []
    await desk.resubmit(1, 2)
    desk.put("_late.png", png(1))
    (arrival,) = await desk.look()
    assert (arrival.attempt, arrival.outcome.prediction) == (1, [1])


async def test_time_in_which_the_store_is_away_is_no_quiet(desk: Desk):
    desk.put(".json", b"[1]")
    await desk.outcome()
    desk.bucket.error = BucketUnreachable("away")
    for _ in range(3):
        with pytest.raises(BucketUnreachable):
            await desk.look()
        await anyio.sleep(QUIET)
    desk.bucket.error = None
    assert await desk.outcome() is None
    await anyio.sleep(QUIET)
    assert (await desk.outcome()).prediction == [1]


async def test_outputs_of_others_markers_and_names_that_are_not_recorded_are_ignored(desk: Desk):
    stem = desk.stem()
    for name in (
        "",
        "event-file-1.png",
        f"{stem}",
        f"{stem}/",
        f"{stem[:-1]}x.json",
        f"other1{stem[4:]}.json",
        f"{RUN}-000000001-1.json",
        f"{RUN}-000000001-1-notes.json",
        f"{desk.stem(attempt=2)}.json",
        f"{desk.stem(position=9)}.json",
    ):
        desk.bucket.objects[f"outputs/{name}"] = b"{}"
    await desk.look()
    await anyio.sleep(QUIET)
    assert await desk.look() == []


@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 1000])
async def test_outputs_are_together_whatever_the_page_size(page_size: int):
    desk = Desk(page_size=page_size, outputs=("{stem}.json", "{stem}_b.*"))
    await desk.submit(12)
    for position in range(1, 13):
        for name in (".json", "_a.txt", "_b.txt", "_c/d.txt"):
            desk.put(name, b"[0]" if name == ".json" else b"x", position)
    arrived = await desk.look()
    assert sorted(arrival.item.position for arrival in arrived) == list(range(1, 13))
    assert {len(arrival.outcome.files) for arrival in arrived} == {4}


async def test_outputs_that_are_too_large_together_are_left_there():
    desk = Desk(max_reply=100, clean=True, outputs=("{stem}*",))
    await desk.submit()
    desk.put("_a.txt", b"a" * 60)
    desk.put("_b.txt", b"b" * 60)
    failure = await desk.outcome()
    assert failure.code == "reply_too_large"
    assert "120 bytes" in failure.message
    await desk.watcher.cleanup(desk.store)
    assert len(desk.bucket.objects) == 3


async def test_an_output_that_changes_while_it_is_read_is_read_again(desk: Desk):
    desk.put(".json", b"[1]")
    await desk.look()
    await anyio.sleep(QUIET)
    get = desk.bucket.get

    async def replaced(key, max_bytes=None):
        desk.put(".json", b"[1, 2]")
        return await get(key, max_bytes)

    desk.bucket.get = replaced
    assert await desk.outcome() is None
    desk.bucket.get = get
    assert await desk.outcome() is None
    await anyio.sleep(QUIET)
    assert (await desk.outcome()).prediction == [1, 2]


async def test_secrets_are_removed_from_all_files(desk: Desk):
    desk.put(".json", b'{"echo": "%s"}' % SECRET.encode())
    desk.put(".txt", b"it is " + SECRET.encode())
    desk.put(".log", SECRET.encode())
    await desk.look()
    await anyio.sleep(QUIET)
    reply = await desk.outcome()
    assert SECRET not in repr(reply)
    assert SECRET.encode() not in b"".join(files(reply).values())
    assert "masked" in reply.log


async def test_clean_deletes_the_input_by_its_whole_name_and_every_output():
    desk = Desk(clean=True, outputs=("{stem}.json",))
    await desk.submit(2)
    desk.put(".json", b"[1]")
    desk.put("_a/b.png", b"x")
    (arrival,) = await desk.look()
    await desk.record(1, 1, arrival.outcome, State.SUCCEEDED)
    await desk.watcher.cleanup(desk.store)
    assert set(desk.bucket.objects) == {f"inputs/{desk.stem(2)}.jpg"}
