"""Submitted items, the bucket their outputs come to, and a watcher over it."""

from hashlib import sha256

from batchinfer.backends.bucket_client import MemoryBucket
from batchinfer.backends.output_watcher import BucketOutputWatcher
from batchinfer.backends.redaction import Redactor
from batchinfer.domain import Attempt, Item, Record, State, Submitted
from batchinfer.ports import OutputArrival
from batchinfer.protocols.ai4os.object_names import make_object_name
from batchinfer.protocols.object_ids import make_digest
from batchinfer.testing import MemoryStore
from support.paths import FIXTURES
from support.protocols import AI4OS_BUCKET

RUN = "run1"
TAG = "epoch123" + make_digest(sha256(b"what was sent").hexdigest())
GRACE = 30.0


def fixture(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


OK_LOG = fixture("async_2.5.2_ok_dict.log")
OK_JSON = fixture("async_2.5.2_ok_dict.json")
STRAY_LOG = fixture("async_2.6.0_ok_dict.log")
STRAY = "outputs/tmp-file-nwtfa.json"
VALUE = {"a": 1, "b": None, "c": True, "s": 'it\'s "q"\nnl', "f": 0.1}


class Desk:
    """A run of submitted items, its bucket, and a watcher over it."""

    def __init__(self, page_size: int = 1000) -> None:
        self.bucket, self.store = MemoryBucket(page_size=page_size), MemoryStore()
        self.watcher = BucketOutputWatcher(
            self.bucket,
            protocol=AI4OS_BUCKET,
            run_id=RUN,
            redactor=Redactor(["hidden-secret-0123", "bear"]),
            grace_seconds=GRACE,
        )
        self.arrivals: list[OutputArrival] = []

    async def submit(self, count: int = 1, attempt: int = 1) -> None:
        await self.store.add([Item(f"k{n}") for n in range(1, count + 1)])
        for position in range(1, count + 1):
            await self.resubmit(position, attempt)

    async def resubmit(self, position: int, attempt: int) -> None:
        name = make_object_name(RUN, position, attempt, TAG)
        await self.record(position, attempt, Submitted(name), State.SUBMITTED)

    async def record(self, position: int, attempt: int, outcome, state: State) -> None:
        record = Record(position, Attempt(attempt, 1.0, 1.0, outcome), state)
        assert (await self.store.commit_records([record]))[0] is not None

    def put(self, extension: str, body: bytes, position: int = 1, attempt: int = 1) -> None:
        name = make_object_name(RUN, position, attempt, TAG)
        self.bucket.objects[f"outputs/{name}.{extension}"] = body

    async def look(self) -> list[OutputArrival]:
        before = len(self.arrivals)

        async def emit(arrival: OutputArrival) -> None:
            self.arrivals.append(arrival)

        await self.watcher.poll(self.store, emit)
        return self.arrivals[before:]

    async def outcome(self):
        """The only outcome of one look; None when nothing was decided."""
        arrived = await self.look()
        assert len(arrived) <= 1
        return arrived[0].outcome if arrived else None
